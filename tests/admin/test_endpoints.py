"""Every endpoint: what it says, on which listener, and to whom."""

from __future__ import annotations

import asyncio
import json
from xml.etree import ElementTree

import aiohttp
import pytest

from rtmp_sync.admin import listener, server
from rtmp_sync.cluster.actions import Happened
from rtmp_sync.server.clock import now
from rtmp_sync.server.probes import understand_ping
from rtmp_sync.server.rate_limit import Allowance
from tests.admin.conftest import PASSWORD, Http, ShownOrigin


async def test_status_has_the_names_of_the_contract(http: Http) -> None:
    code, body = await http.ask("/status")
    status = json.loads(body)
    assert code == 200
    assert {key: status[key] for key in ("id", "role", "state", "gate", "epoch", "seq")} == {
        "id": "A",
        "role": "active",
        "state": "ACTIVE",
        "gate": "open",
        "epoch": 3,
        "seq": 17,
    }
    assert status["sync"] == ["B"]
    assert status["lag"] == {"changes": 0, "ms": 0.0}
    assert {key: status["peer"][key] for key in ("id", "state", "link")} == {
        "id": "B",
        "state": "READY",
        "link": "up",
    }
    assert status["codec"] in ("compiled", "pure")
    assert (status["clients"], status["instances"]) == (2, 1)
    assert status["pid"] > 0


async def test_status_and_metrics_tell_what_was_acknowledged_alone(
    http: Http, origin: ShownOrigin
) -> None:
    ledger = origin.watchdog.ledger
    ledger.alone(3, 10, 12, 100.0)
    ledger.together(14, 102.5)
    status = json.loads((await http.ask("/status"))[1])
    assert status["alone"] == {
        "seconds": 2.5,
        "changes": 4,
        "ranges": [{"epoch": 3, "first_seq": 11, "last_seq": 14, "seconds": 2.5}],
    }
    lines = (await http.ask("/metrics"))[1].splitlines()
    assert "rtmp_sync_degraded_seconds_total 2.5" in lines
    assert "rtmp_sync_changes_alone_total 4.0" in lines


async def test_status_names_what_the_link_refused(http: Http, origin: ShownOrigin) -> None:
    origin.replication.alarms["bad_mac"] = "three in a minute"
    status = json.loads((await http.ask("/status"))[1])
    assert status["replication"]["refusals"] == {"bad_mac": 2}
    assert status["replication"]["protocol"] == 2
    assert "bad_mac" in status["alarms"]


async def test_a_standby_tells_how_far_it_is_behind(http: Http, origin: ShownOrigin) -> None:
    origin.watchdog.role = "standby"
    origin.authority.gate_open = False
    status = json.loads((await http.ask("/status"))[1])
    assert status["gate"] == "closed"
    assert status["lag"] == {"changes": 4, "ms": 2.5}


async def test_other_code_than_the_pairs_is_an_alarm(http: Http, origin: ShownOrigin) -> None:
    origin.instances.code.trouble["chat"] = "has another file"
    status = json.loads((await http.ask("/status"))[1])
    assert status["alarms"]["application_differs"] == "chat has another file"


async def test_a_disk_that_takes_nothing_is_an_alarm(http: Http, origin: ShownOrigin) -> None:
    origin.test.persist_failed = True
    assert "persist_failed" in json.loads((await http.ask("/status"))[1])["alarms"]


async def test_a_single_origin_has_no_peer(http: Http, origin: ShownOrigin) -> None:
    origin.replication = None
    origin.watchdog.record = None
    status = json.loads((await http.ask("/status"))[1])
    assert status["sync"] == []
    assert (status["peer"]["id"], status["peer"]["link"]) == (None, "none")


@pytest.mark.parametrize("on", ["admin", "health"])
@pytest.mark.parametrize(("active", "standby"), [(True, False), (False, True), (False, False)])
async def test_health_answers_by_status(
    http: Http, origin: ShownOrigin, on: str, active: bool, standby: bool
) -> None:
    origin.watchdog.active, origin.watchdog.standby = active, standby
    assert (await http.ask("/health/active", on=on))[0] == (200 if active else 503)
    assert (await http.ask("/health/standby", on=on))[0] == (200 if standby else 503)
    assert (await http.ask("/health/live", on=on))[0] == 200


@pytest.mark.parametrize("path", ["/status", "/metrics", "/history", "/failback", "/"])
async def test_the_health_listener_has_checks_and_ping_only(http: Http, path: str) -> None:
    assert (await http.ask(path, on="health"))[0] == 404


@pytest.mark.parametrize("on", ["admin", "health"])
async def test_ping_succeeds_with_the_right_credentials(http: Http, on: str) -> None:
    query = {"auser": "admin", "apswd": PASSWORD}
    code, body = await http.ask("/admin/ping", on=on, params=query)
    result = ElementTree.fromstring(body)
    assert code == 200
    assert result.tag == "result"
    assert result.findtext("level") == "status"
    assert result.findtext("code") == "NetConnection.Call.Success"
    assert result.findtext("timestamp")
    assert understand_ping(code, body.encode()) is True


@pytest.mark.parametrize("query", [{}, {"auser": "admin", "apswd": "x"}, {"apswd": PASSWORD}])
async def test_ping_rejects_wrong_credentials(http: Http, query: dict[str, str]) -> None:
    code, body = await http.ask("/admin/ping", params=query)
    result = ElementTree.fromstring(body)
    assert code == 200
    assert result.findtext("level") == "error"
    assert result.findtext("code") == "NetConnection.Connect.Rejected"
    assert result.findtext("description")
    assert understand_ping(code, body.encode()) is None


async def test_ping_is_an_error_when_the_origin_is_not_well(
    http: Http, origin: ShownOrigin
) -> None:
    origin.test.ok = False
    query = {"auser": "admin", "apswd": PASSWORD}
    code, body = await http.ask("/admin/ping", params=query)
    result = ElementTree.fromstring(body)
    assert result.findtext("level") == "error"
    assert result.findtext("code") == "NetConnection.Call.Failed"
    assert result.findtext("description") == "the loop is 2 s late <&>"
    assert understand_ping(code, body.encode()) is False


async def test_history_needs_credentials(http: Http, admin: dict[str, str]) -> None:
    assert (await http.ask("/history"))[0] == 401
    code, body = await http.ask("/history", headers=admin)
    assert code == 200
    assert json.loads(body)["events"][0]["event"] == "started"


async def test_another_site_cannot_use_the_operators_browser(
    http: Http, admin: dict[str, str]
) -> None:
    headers = {**admin, "Sec-Fetch-Site": "cross-site"}
    assert (await http.ask("/failback", method="POST", headers=headers))[0] == 403


async def test_metrics_name_what_an_operator_watches(http: Http, origin: ShownOrigin) -> None:
    origin.watchdog.alarms["store_slow"] = "0.3 s"
    origin.watchdog.ledger.happened(Happened("failover", {"reason": "hung"}))
    origin.watchdog.ledger.happened(Happened("digest_mismatch"))
    origin.watchdog.ledger.acted("take-over")
    origin.watchdog.renewals.took(0.25, now())
    code, body = await http.ask("/metrics")
    assert code == 200
    for line in (
        'rtmp_sync_role{role="active"} 1.0',
        'rtmp_sync_role{role="standby"} 0.0',
        "rtmp_sync_gate_open 1.0",
        "rtmp_sync_loop_lag_seconds 0.003",
        "rtmp_sync_renew_seconds 0.25",
        "rtmp_sync_renew_worst_seconds 0.25",
        "rtmp_sync_renewals_total 1.0",
        "rtmp_sync_renewals_failed_total 0.0",
        "rtmp_sync_epoch 3.0",
        "rtmp_sync_head_seq 17.0",
        "rtmp_sync_acked_seq 16.0",
        "rtmp_sync_clients 2.0",
        'rtmp_sync_alarm{alarm="store_slow"} 1.0',
        "rtmp_sync_partial_resyncs_total 2.0",
        'rtmp_sync_failovers_total{reason="hung"} 1.0',
        'rtmp_sync_events_total{event="started"} 1.0',
        'rtmp_sync_failover_rows_total{row="take-over"} 1.0',
        'rtmp_sync_link_refusals_total{reason="bad_mac"} 2.0',
        "rtmp_sync_digest_mismatches_total 1.0",
        "rtmp_sync_written_seq 17.0",
        "rtmp_sync_persist_failed 0.0",
        "rtmp_sync_persist_failures_total 2.0",
        "rtmp_sync_compactions_total 4.0",
        "rtmp_sync_backlog_changes 12.0",
        "rtmp_sync_link_queue_bytes 70.0",
        "rtmp_sync_outbox_bytes 1234.0",
        "rtmp_sync_waiting_bytes 90.0",
        "rtmp_sync_replays_total 3.0",
        "rtmp_sync_replays_failed_total 1.0",
        "rtmp_sync_replays_refused_total 2.0",
        "rtmp_sync_connections_total 9.0",
        'rtmp_sync_refused_connections_total{reason="denied"} 6.0',
        "rtmp_sync_received_bytes_total 1.0",
        "rtmp_sync_sent_bytes_total 2.0",
        "rtmp_sync_received_messages_total 3.0",
        "rtmp_sync_sent_messages_total 4.0",
        "rtmp_sync_dropped_frames_total 5.0",
        "rtmp_sync_live_streams 0.0",
        "rtmp_sync_loop_blocked_total 1.0",
        'rtmp_sync_http_hooks_total{hook="on_play",result="refused"} 3.0',
        'rtmp_sync_admin_refused_total{reason="credentials"} 2.0',
        'rtmp_sync_calls_total{application="text",method="setText",user_type="Type1"} 7.0',
        'rtmp_sync_refused_calls_total{application="text",method="setText",'
        'reason="not_allowed",user_type="Guest"} 5.0',
    ):
        assert line in body.splitlines()


async def test_metrics_tell_of_a_disk_that_failed(http: Http, origin: ShownOrigin) -> None:
    origin.persistence.failed = True
    lines = (await http.ask("/metrics"))[1].splitlines()
    assert "rtmp_sync_persist_failed 1.0" in lines


async def test_the_page_shows_the_state_and_escapes_what_it_shows(
    http: Http, origin: ShownOrigin
) -> None:
    origin.watchdog.alarms["<b>"] = "<script>"
    code, body = await http.ask("/")
    assert code == 200
    assert "ACTIVE" in body
    assert "B READY" in body
    assert "<script>" not in body


async def test_the_page_says_what_to_do_and_how_the_service_moved(
    http: Http, origin: ShownOrigin
) -> None:
    origin.watchdog.alarms["paused"] = "automatic decisions are off"
    steps = {"noticed": 3, "opened": 9}
    origin.note("failover", **{"from": "B", "to": "A", "reason": "hung", "steps": steps})
    _, body = await http.ask("/")
    assert "→ `rtmp-sync resume` when the work is done" in body
    assert "failover B → A (hung)" in body
    assert "noticed 3 ms, opened 9 ms" in body


async def test_status_tells_the_last_moves_newest_first(http: Http, origin: ShownOrigin) -> None:
    for epoch in range(1, 9):
        origin.note("in_sync")
        origin.note("switchover", to="A", epoch=epoch, row="hand over")
    moves = json.loads((await http.ask("/status"))[1])["last_moves"]
    assert [move["epoch"] for move in moves] == [8, 7, 6, 5, 4]
    assert {key for move in moves for key in move} == {"at", "event", "to", "epoch"}


async def test_a_standby_tells_whether_its_copy_is_complete(
    http: Http, origin: ShownOrigin
) -> None:
    assert json.loads((await http.ask("/status"))[1])["complete"] is True
    origin.watchdog.role, origin.watchdog.record.holder = "standby", "B"
    for origin.listed in (True, False):
        assert json.loads((await http.ask("/status"))[1])["complete"] is origin.listed


async def test_an_address_that_guesses_is_told_to_wait(
    origin: ShownOrigin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtmp_sync.admin.access.API", Allowance(per_second=1e-6, burst=25.0))
    admin = server.AdminServer(origin)  # type: ignore[arg-type] # it has what is read of an Origin
    await admin.start()
    wrong = {"auser": "admin", "apswd": "guess"}
    async with aiohttp.ClientSession() as session:
        http = Http(admin, session)
        codes = [(await http.ask("/admin/ping", params=wrong))[0] for _ in range(4)]
        assert codes == [200] * 3 + [429]  # 11 each
        codes = [(await http.ask("/health/live"))[0] for _ in range(20)]
        assert codes == [200] * 20
    await admin.stop()


async def test_whatever_else_an_address_asks_its_health_checks_are_answered(
    origin: ShownOrigin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtmp_sync.admin.access.API", Allowance(per_second=1e-6, burst=5.5))
    admin = server.AdminServer(origin)  # type: ignore[arg-type] # it has what is read of an Origin
    await admin.start()
    async with aiohttp.ClientSession() as session:
        http = Http(admin, session)
        codes = [(await http.ask("/status"))[0] for _ in range(7)]
        assert codes == [200] * 5 + [429] * 2
        for path in ("/health/live", "/health/active", "/health/standby"):
            assert (await http.ask(path))[0] in (200, 503)
    await admin.stop()


async def test_a_connection_on_which_nothing_is_asked_is_closed(
    origin: ShownOrigin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reaches the port must not use up the descriptors of the process."""
    monkeypatch.setattr(listener, "IDLE_SECONDS", 0.1)
    admin = server.AdminServer(origin)  # type: ignore[arg-type] # it has what is read of an Origin
    await admin.start()
    for address in admin.addresses:
        for said in (b"", b"GET /health/live HTTP/1.1\r\nHost: he"):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(said)
            async with asyncio.timeout(10):
                assert await reader.read() == b""
            writer.close()
    await admin.stop()
