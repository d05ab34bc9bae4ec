"""What operators order over HTTP: who may, what the watchdog is asked, and what is noted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rtmp_sync.admin.credentials import basic_header
from rtmp_sync.server.watchdog import Result
from tests.admin.conftest import Http, ShownOrigin

ORDERS = ("switchover", "drain", "failback", "failover", "pause", "resume", "resync")
BY = "admin from 127.0.0.1"

Headers = dict[str, str]


async def order(
    http: Http, name: str, headers: Headers, said: object = None
) -> tuple[int, dict[str, Any]]:
    body = None if said is None else json.dumps(said)
    code, text = await http.ask(f"/{name}", method="POST", headers=headers, data=body)
    return code, json.loads(text)


def standby(origin: ShownOrigin, *, holder: str = "B") -> None:
    origin.watchdog.role, origin.watchdog.state = "standby", "READY"
    origin.watchdog.record.holder = holder


@pytest.mark.parametrize("name", ORDERS)
async def test_an_order_needs_credentials_and_a_post(
    http: Http, origin: ShownOrigin, admin: Headers, name: str
) -> None:
    wrong = {"Authorization": basic_header("admin", "wrong")}
    for headers in ({}, wrong):
        assert (await http.ask(f"/{name}", method="POST", headers=headers))[0] == 401
    cross_site = {**admin, "Sec-Fetch-Site": "cross-site"}
    assert (await http.ask(f"/{name}", method="POST", headers=cross_site))[0] == 403
    assert (await http.ask(f"/{name}", headers=admin))[0] == 405
    assert (await http.ask(f"/{name}", on="health", method="POST", headers=admin))[0] == 404
    assert origin.watchdog.asked == []


@pytest.mark.parametrize(
    ("name", "said", "kind", "options"),
    [
        ("switchover", None, "switchover", {}),
        ("switchover", {"to": "B", "drain_seconds": 2.5}, "switchover", {"drain_seconds": 2.5}),
        ("drain", None, "switchover", {"drain_seconds": 30.0}),
        ("drain", {"drain_seconds": 0}, "switchover", {"drain_seconds": 0.0}),
        ("pause", {"reason": "NAS work"}, "pause", {"reason": "NAS work"}),
        ("pause", {}, "pause", {}),
        ("resume", None, "resume", {}),
        ("resync", None, "resync", {}),
    ],
)
async def test_the_watchdog_of_the_active_one_is_asked(
    http: Http,
    origin: ShownOrigin,
    admin: Headers,
    name: str,
    said: object,
    kind: str,
    options: dict[str, Any],
) -> None:
    code, answer = await order(http, name, admin, said)
    assert (code, answer["id"], answer["done"], answer["result"]) == (200, "A", True, "A serves")
    assert origin.watchdog.asked == [(kind, BY, options)]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"force": True, "accept_data_loss": True}, "force"),
        ({"force": True, "accept_data_loss": True, "fenced": True}, "force_fenced"),
    ],
)
async def test_a_closed_one_can_be_forced_to_serve(
    http: Http, origin: ShownOrigin, admin: Headers, said: object, kind: str
) -> None:
    standby(origin)
    assert (await order(http, "failover", admin, said))[0] == 200
    assert origin.watchdog.asked == [(kind, BY, {})]


async def test_a_copy_that_may_lack_something_is_forced_only_when_that_is_accepted(
    http: Http, origin: ShownOrigin, admin: Headers
) -> None:
    standby(origin)
    for said in ({"force": True}, {"force": True, "fenced": True}):
        code, answer = await order(http, "failover", admin, said)
        assert (code, answer["done"]) == (409, False)
        assert "accept_data_loss" in answer["result"]
    origin.listed = True
    assert (await order(http, "failover", admin, {"force": True}))[0] == 200
    assert origin.watchdog.asked == [("force", BY, {})]


async def test_one_that_was_fenced_has_all_that_it_acknowledged(
    http: Http, origin: ShownOrigin, admin: Headers
) -> None:
    standby(origin, holder="A")
    assert (await order(http, "failover", admin, {"force": True, "fenced": True}))[0] == 200
    assert origin.watchdog.asked == [("force_fenced", BY, {})]


async def test_the_active_one_is_not_forced(
    http: Http, origin: ShownOrigin, admin: Headers
) -> None:
    said = {"force": True, "accept_data_loss": True}
    code, answer = await order(http, "failover", admin, said)
    assert (code, answer["ask"]) == (409, "B")
    assert origin.watchdog.asked == []


@pytest.mark.parametrize("name", ["switchover", "drain", "resync"])
async def test_the_standby_says_whom_to_ask(
    http: Http, origin: ShownOrigin, admin: Headers, name: str
) -> None:
    standby(origin)
    code, answer = await order(http, name, admin)
    assert (code, answer["ask"]) == (409, "B")
    assert answer["result"] == "this origin is READY; B holds the service: ask it"
    standby(origin, holder="A")  # nobody serves
    code, answer = await order(http, name, admin)
    assert (code, "ask" in answer) == (409, False)
    assert origin.watchdog.asked == []


@pytest.mark.parametrize("name", ["pause", "resume"])
async def test_any_origin_can_pause_and_resume(
    http: Http, origin: ShownOrigin, admin: Headers, name: str
) -> None:
    standby(origin)
    assert (await order(http, name, admin))[0] == 200
    assert origin.watchdog.asked == [(name, BY, {})]


async def test_a_failback_is_a_switchover_unless_the_first_node_serves(
    http: Http, origin: ShownOrigin, admin: Headers
) -> None:
    code, answer = await order(http, "failback", admin)
    assert (code, answer["result"]) == (200, "A holds the service already")
    assert origin.watchdog.asked == []
    origin.watchdog.record.nodes = ("B", "A")
    assert (await order(http, "failback", admin))[0] == 200
    assert origin.watchdog.asked == [("switchover", BY, {})]


async def test_a_switchover_to_where_the_service_is_has_nothing_to_do(
    http: Http, origin: ShownOrigin, admin: Headers
) -> None:
    for role in ("active", "standby"):
        origin.watchdog.role = role
        code, answer = await order(http, "switchover", admin, {"to": "A"})
        assert (code, answer["result"]) == (200, "A holds the service already")
    origin.watchdog.role = "active"
    code, answer = await order(http, "switchover", admin, {"to": "C"})
    assert (code, answer["result"]) == (409, "'C' is no node of this pair")
    assert origin.watchdog.asked == []


async def test_a_refusal_says_why(http: Http, origin: ShownOrigin, admin: Headers) -> None:
    origin.watchdog.answer = Result(False, "B is not ready")
    code, answer = await order(http, "switchover", admin)
    assert (code, answer) == (409, {"id": "A", "done": False, "result": "B is not ready"})


@pytest.mark.parametrize(
    ("name", "said", "names"),
    [
        ("switchover", {"drain_seconds": -1}, "drain_seconds"),
        ("switchover", {"drain_seconds": 1e9}, "drain_seconds"),
        ("switchover", {"drain_seconds": "5"}, "drain_seconds"),
        ("drain", {"seconds": 5}, "seconds"),
        ("failover", {}, "force"),
        ("failover", {"force": False}, "force"),
        ("pause", {"reason": "x" * 201}, "reason"),
        ("resume", [], ""),
    ],
)
async def test_a_wrong_body_is_named_and_nothing_is_asked(
    http: Http, origin: ShownOrigin, admin: Headers, name: str, said: object, names: str
) -> None:
    code, answer = await order(http, name, admin, said)
    assert code == 400
    assert names in answer["error"]
    assert origin.watchdog.asked == []


async def test_a_body_that_is_no_json_is_wrong(http: Http, admin: Headers) -> None:
    code, _ = await http.ask("/pause", method="POST", headers=admin, data="reason=x")
    assert code == 400


async def test_each_order_and_its_outcome_are_in_the_history(
    http: Http, origin: ShownOrigin, admin: Headers
) -> None:
    await order(http, "pause", admin, {"reason": "NAS work"})
    origin.watchdog.answer = Result(False, "no")
    await order(http, "resync", admin)
    noted = [{**event, "at": 0, "clock": 0} for event in origin.events[1:]]
    author = {"at": 0, "clock": 0, "user": "admin", "address": "127.0.0.1"}
    assert noted == [
        {**author, "event": "order", "order": "pause", "reason": "NAS work"},
        {**author, "event": "order_done", "order": "pause", "result": "A serves"},
        {**author, "event": "order", "order": "resync"},
        {**author, "event": "order_refused", "order": "resync", "result": "no"},
    ]


async def test_the_report_of_a_move_has_its_steps(
    http: Http, origin: ShownOrigin, admin: Headers
) -> None:
    steps = {"drained": 0, "held": 3}
    moved = {"event": "switchover", "to": "B", "epoch": 4, "steps": steps, "row": "step-down"}
    origin.watchdog.answer = Result(True, "B serves in epoch 4", moved)
    _, answer = await order(http, "switchover", admin)
    assert answer["report"] == {"from": "A", "to": "B", "epoch": 4, "steps": steps}
    origin.watchdog.answer = Result(True, "paused", {"event": "paused"})
    assert "report" not in (await order(http, "pause", admin))[1]
