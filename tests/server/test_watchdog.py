"""Two real watchdogs on a real folder; see watchdog_doubles."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from rtmp_sync.cluster.record import Record
from rtmp_sync.cluster.view import CasResult, Outcome, Policy
from rtmp_sync.coordinators.base import Attempt
from rtmp_sync.coordinators.none import NoneCoordinator
from rtmp_sync.errors import ConfigError
from rtmp_sync.server.clock import now
from rtmp_sync.server.guard_pipe import GuardPipe
from rtmp_sync.server.watchdog import Watchdog
from tests.server.watchdog_doubles import (
    TIMING,
    NoProbes,
    OriginDouble,
    PairDouble,
    cut,
    join,
    until,
)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[PairDouble]:
    pair = PairDouble(tmp_path)
    await pair.start()
    yield pair
    await pair.stop()


async def test_the_first_name_serves_and_the_second_is_ready(pair: PairDouble) -> None:
    assert (pair.a.watchdog.role, pair.b.watchdog.role) == ("active", "standby")
    assert pair.a.gate.state == "open"
    assert pair.b.gate.state == "closed"
    assert not pair.b.authority.valid(now())
    assert pair.a.nodes == pair.b.nodes == ("A", "B")
    record = pair.a.watchdog.record
    assert record is not None
    assert record.lists("B", "b1")


async def test_acknowledgements_wait_for_a_peer_in_sync_and_not_for_a_lost_one(
    pair: PairDouble,
) -> None:
    assert pair.a.commit.require_peer
    cut(pair.a, pair.b)
    assert pair.a.commit.require_peer  # until the record says so
    await until(lambda: not pair.a.commit.require_peer)
    record = pair.a.watchdog.record
    assert record is not None
    assert record.sync == ()
    assert "degraded" in pair.a.watchdog.alarms
    join(pair.a, pair.b)
    await until(pair.b.watchdog.health_standby)
    assert pair.a.commit.require_peer


async def test_an_acknowledgement_that_does_not_come_degrades(pair: PairDouble) -> None:
    pair.b.link.deaf = True
    pair.a.write("x")
    await until(lambda: not pair.a.commit.require_peer)
    assert pair.a.watchdog.state == "ACTIVE"
    await until(lambda: not pair.b.watchdog.health_standby())


async def test_a_clean_stop_hands_the_service_over_at_once(pair: PairDouble) -> None:
    await pair.a.watchdog.stop()
    assert pair.a.gate.state == "closed"
    cut(pair.a, pair.b)
    await until(pair.b.watchdog.health_active)
    record = pair.b.watchdog.record
    assert record is not None
    assert (record.holder, record.epoch) == ("B", 2)
    await until(lambda: pair.pair_file.read_bytes() == b"A\\B\\secondaryUP")


async def test_a_dead_host_is_replaced_after_the_wait(pair: PairDouble) -> None:
    until_then = pair.a.authority.deadline
    await pair.crash(pair.a)
    await until(pair.b.watchdog.health_active)
    epoch, opened_at = pair.b.opened[-1]
    assert epoch == 2
    assert opened_at > until_then


async def test_the_service_stays_where_it_is_when_the_old_holder_is_back(
    pair: PairDouble,
) -> None:
    await pair.crash(pair.a)
    await until(pair.b.watchdog.health_active)
    pair.a = pair.make("A", "a2", list(pair.a.log))
    await pair.a.watchdog.start()
    join(pair.a, pair.b)
    await until(pair.a.watchdog.health_standby)
    assert pair.b.watchdog.health_active()
    assert pair.a.gate.state == "closed"


async def test_failback_returns_the_service_and_loses_nothing(pair: PairDouble) -> None:
    result = await pair.a.watchdog.request("switchover", "an operator", drain_seconds=0.0)
    assert result.done, result.text
    assert result.report["event"] == "switchover"
    assert result.report["to"] == "B"
    await until(pair.b.watchdog.health_active)
    pair.b.write("y")
    await until(pair.a.watchdog.health_standby)
    refused = await pair.a.watchdog.request("switchover")
    assert (refused.done, "ask B" in refused.text) == (False, True)
    result = await pair.b.watchdog.request("switchover", "failback")
    assert result.done, result.text
    await until(pair.a.watchdog.health_active)
    assert [entry for entry in pair.a.log if not entry.startswith("e")] == ["y"]
    assert not pair.b.held


async def test_in_async_mode_the_service_is_handed_over_and_taken_over_too(tmp_path: Path) -> None:
    pair = PairDouble(tmp_path, Policy(mode="async", promote_lag_max=100))
    await pair.start()
    assert not pair.a.commit.require_peer
    result = await pair.a.watchdog.request("switchover")
    assert result.done, result.text
    await until(pair.b.watchdog.health_active)
    await until(pair.a.watchdog.health_standby)
    record = pair.b.watchdog.record
    assert record is not None
    assert (record.holder, record.sync) == ("B", ())
    await pair.b.watchdog.stop()
    cut(pair.a, pair.b)
    await until(pair.a.watchdog.health_active)
    await pair.stop()


async def test_in_strict_mode_nothing_is_ever_shown_alone_and_a_lost_peer_may_take_over(
    tmp_path: Path,
) -> None:
    pair = PairDouble(tmp_path, Policy(mode="strict"))
    await pair.start()
    cut(pair.a, pair.b)
    await until(lambda: "peer_unreachable" in pair.a.watchdog.alarms)
    await pair.crash(pair.a)
    assert pair.a.commit.require_peer
    await until(pair.b.watchdog.health_active)
    assert pair.b.commit.require_peer  # though nobody is in sync with it
    assert "degraded" not in [event["event"] for event in pair.a.history.events()]
    await pair.stop()


async def test_after_a_switchover_the_old_active_has_its_time_to_follow(pair: PairDouble) -> None:
    """The time-out counts from the first write held by the new active, not from the day when
    it became a standby: a crash right after a switchover finds the other one in sync."""
    since = now()
    await until(lambda: now() - since > TIMING.ack_timeout)  # B has stood by for longer than that
    pair.a.link.deaf = True
    assert (await pair.a.watchdog.request("switchover")).done
    await until(pair.b.watchdog.health_active)
    pair.a.link.deaf = False
    pair.b.link.feed()
    await until(pair.a.watchdog.health_standby)
    assert "degraded" not in [event["event"] for event in pair.b.history.events()]


async def test_a_node_without_a_peer_looks_no_more_often_than_it_probes(
    pair: PairDouble,
) -> None:
    cut(pair.a, pair.b)
    await until(lambda: not pair.a.commit.require_peer)
    since = now()
    await until(lambda: now() - since > 2 * TIMING.ack_timeout)
    for origin in (pair.a, pair.b):
        assert origin.watchdog.member.next_look(now()) > TIMING.probe_interval / 2


async def test_a_switchover_to_a_peer_that_is_not_ready_is_refused(pair: PairDouble) -> None:
    cut(pair.a, pair.b)
    result = await pair.a.watchdog.request("switchover")
    assert not result.done
    assert pair.a.watchdog.health_active()


async def test_an_operators_reset_of_the_line_returns_the_service(pair: PairDouble) -> None:
    assert (await pair.a.watchdog.request("switchover")).done
    await until(pair.a.watchdog.health_standby)
    await until(lambda: pair.pair_file.read_bytes() == b"A\\B\\secondaryUP")
    pair.pair_file.write_bytes(b"A\\B\r\n")
    await until(pair.a.watchdog.health_active)
    await until(lambda: pair.pair_file.read_bytes() == b"A\\B")


async def test_a_wrong_line_moves_nothing_and_is_reported(pair: PairDouble) -> None:
    pair.pair_file.write_bytes(b"B\\A")
    await until(lambda: "request_rejected" in pair.a.watchdog.alarms)
    pair.pair_file.write_bytes(b"garbage")
    await until(lambda: "config_invalid" in pair.a.watchdog.alarms)
    pair.pair_file.unlink()
    await until(lambda: "config_missing" in pair.a.watchdog.alarms)
    assert pair.a.watchdog.health_active()
    assert not pair.pair_file.exists()


async def test_paused_nobody_takes_over_until_resume(pair: PairDouble) -> None:
    assert (await pair.a.watchdog.request("pause")).done
    await until(lambda: "paused" in pair.b.watchdog.alarms)
    assert not pair.b.watchdog.health_standby()
    await pair.a.watchdog.stop()
    cut(pair.a, pair.b)
    await until(lambda: pair.b.watchdog.record is not None and pair.b.watchdog.record.released)
    assert pair.b.gate.state == "closed"
    assert (await pair.b.watchdog.request("resume")).done
    await until(pair.b.watchdog.health_active)


async def test_a_gate_that_does_not_open_lets_the_other_node_serve(pair: PairDouble) -> None:
    pair.b.gate.stuck = True
    assert (await pair.a.watchdog.request("switchover")).done
    await until(lambda: pair.a.watchdog.health_active() and pair.a.opened[-1][0] > 2)
    assert pair.b.gate.state == "closed"


async def test_a_higher_epoch_seen_anywhere_closes_at_once(pair: PairDouble) -> None:
    pair.a.watchdog.on_fence(99, "B")
    await until(lambda: pair.a.gate.state == "closed")
    assert not pair.a.authority.valid(now())


async def test_a_folder_without_this_node_is_a_wrong_configuration(tmp_path: Path) -> None:
    pair = PairDouble(tmp_path)
    stranger = pair.make("C", "c1")
    with pytest.raises(ConfigError, match="is not in the pair file"):
        await stranger.watchdog.start()
    await stranger.watchdog.stop()
    await pair.stop()


async def test_a_single_origin_serves_at_once_in_a_new_epoch() -> None:
    origin = OriginDouble("s1")
    origin.watchdog = Watchdog(
        origin,
        NoneCoordinator("S", "s1", last_epoch=4),
        boot_id="s1",
        started_at=now(),
        timing=TIMING,
        policy=Policy(),
        overseer=GuardPipe(None),
        probes=NoProbes(),
    )
    await origin.watchdog.start()
    await until(origin.watchdog.health_active)
    assert origin.opened[-1][0] == 5
    assert not origin.commit.require_peer
    await origin.watchdog.stop()
    assert origin.gate.state == "closed"


async def test_without_the_store_the_active_one_holds_on_promises_until_the_link_goes_too(
    pair: PairDouble,
) -> None:
    pair.a.store.away = True
    confirmed_until = pair.a.authority.deadline
    await until(lambda: pair.a.authority.deadline > confirmed_until + 2 * TIMING.t_conf)
    assert pair.a.watchdog.health_active()
    assert "store" in pair.a.watchdog.alarms
    assert not pair.b.watchdog.health_standby()  # it gave its word
    cut(pair.a, pair.b)
    last = pair.a.authority.deadline
    await until(pair.b.watchdog.health_active)
    assert pair.a.gate.state == "closed"
    assert pair.b.opened[-1][1] > last


async def test_with_the_store_away_for_both_nobody_new_opens_and_it_heals(
    pair: PairDouble,
) -> None:
    pair.a.store.away = pair.b.store.away = True
    cut(pair.a, pair.b)
    await until(lambda: pair.a.gate.state == "closed")
    assert pair.b.gate.state == "closed"
    pair.a.store.away = pair.b.store.away = False
    join(pair.a, pair.b)
    await until(lambda: pair.a.watchdog.health_active() != pair.b.watchdog.health_active())


async def test_a_hand_over_of_unknown_outcome_is_settled_before_anybody_serves(
    pair: PairDouble,
) -> None:
    async def unknown(record: Record) -> Attempt:
        pair.a.store.__dict__.pop("cas")
        return Attempt(CasResult(record.nonce, Outcome.UNKNOWN, now()))

    pair.a.store.__dict__["cas"] = unknown
    result = await pair.a.watchdog.request("switchover")
    assert not result.done
    await until(lambda: pair.a.watchdog.health_active() != pair.b.watchdog.health_active())
    record = pair.a.watchdog.record
    assert record is not None
    assert record.epoch > 1


async def test_copies_that_differ_are_recorded_and_repaired(tmp_path: Path) -> None:
    pair = PairDouble(tmp_path, Policy(digest_seconds=0.0))
    await pair.start()
    pair.a.link.equal = False
    await until(lambda: pair.a.link.repairs > 0)
    assert "digest_mismatch" in [event["event"] for event in pair.a.history.events()]
    await until(pair.b.watchdog.health_standby)
    await pair.stop()


async def test_an_error_of_the_watchdog_itself_closes_the_gate(pair: PairDouble) -> None:
    class Wrong:
        async def verify(self) -> str:
            raise RuntimeError("a bug")

    gate, pair.a.gate = pair.a.gate, Wrong()  # type: ignore[assignment]  # a bug's double
    closed = asyncio.Event()

    async def close_gate() -> bool:
        closed.set()
        return True

    pair.a.close_gate = close_gate  # type: ignore[method-assign]  # seen from outside
    await asyncio.wait_for(closed.wait(), 20)
    assert not pair.a.authority.valid(now())
    pair.a.gate = gate


async def test_a_watchdog_that_failed_without_a_guard_leaves_the_service_to_the_peer(
    pair: PairDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody ends this process, and its link and its pings go on as if it were well."""

    def fail(_now: float) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(pair.a.watchdog.member, "turn", fail)
    await until(pair.b.watchdog.health_active)
    assert pair.a.gate.state == "closed"


async def test_a_link_that_cannot_be_made_once_the_store_is_back_ends_the_signs_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard then starts the origin anew, which says what is wrong with its configuration."""
    pair = PairDouble(tmp_path)

    async def refuse(nodes: tuple[str, str]) -> None:
        raise ConfigError("replication.listen", "x", "cannot listen there")

    monkeypatch.setattr(pair.a, "nodes_known", refuse)
    pair.a.store.away = True
    await pair.a.watchdog.start()
    pair.a.store.away = False
    await until(lambda: all(loop.done() for loop in pair.a.watchdog._loops))
    await pair.a.watchdog.stop()


async def test_a_gate_is_told_for_how_long_it_may_be_open_and_only_while_it_is(
    pair: PairDouble,
) -> None:
    held = pair.a.gate.held_until
    seen = len(held)
    await until(lambda: len(held) > seen + 3)
    assert held[-1] <= pair.a.authority.deadline
    assert held == sorted(held)
    assert not pair.b.gate.held_until
    await pair.a.watchdog.request("switchover")
    await until(pair.b.watchdog.health_active)
    seen = len(held)
    await until(lambda: len(pair.b.gate.held_until) > 5)
    assert len(held) == seen


async def test_a_gate_whose_opening_outlasts_the_authority_is_closed_again(
    pair: PairDouble,
) -> None:
    """As a script of the operator's may that takes its time."""
    opening = pair.b.open_gate
    closed: list[float] = []

    async def slowly(epoch: int) -> bool:
        pair.b.open_gate = opening  # type: ignore[method-assign]  # once
        pair.b.store.away = True
        await until(lambda: not pair.b.watchdog.member.may_open(epoch, now()))
        is_open = await opening(epoch)
        pair.b.close_gate = see_close  # type: ignore[method-assign]  # seen from outside
        return is_open

    closing = pair.b.close_gate

    async def see_close() -> bool:
        closed.append(now())
        pair.b.store.away = False
        return await closing()

    pair.b.open_gate = slowly  # type: ignore[method-assign]  # see above
    await pair.crash(pair.a)
    await until(lambda: bool(closed))
    await until(pair.b.watchdog.health_active)  # in another epoch, once the store is back


async def test_when_others_close_the_gate_the_service_goes_on_all_the_same(
    pair: PairDouble,
) -> None:
    pair.a.gate.state = "closed"
    await until(lambda: "fenced" in names(pair.a))
    await until(lambda: pair.a.watchdog.health_active() != pair.b.watchdog.health_active())


async def test_a_gate_that_others_opened_is_closed(pair: PairDouble) -> None:
    pair.b.gate.state = "open"
    await until(lambda: pair.b.gate.state == "closed")
    assert pair.a.watchdog.health_active()


async def test_a_store_that_says_that_something_changed_is_read_at_once(tmp_path: Path) -> None:
    """Its reads by themselves are an hour apart."""
    slow = replace(TIMING, probe_interval=3600.0, hb_interval=3600.0)
    pair = PairDouble(tmp_path, timing=slow)
    await pair.a.watchdog.start()
    for _ in range(20):
        reads = pair.a.store.reads
        pair.a.store.tell()
        await until(lambda reads=reads: pair.a.store.reads > reads)  # type: ignore[misc]  # now
    await pair.stop()


async def test_what_a_turn_did_is_said_once_for_people_and_the_rest_for_who_looks_closely(
    pair: PairDouble,
) -> None:
    with capture_logs() as said:
        await pair.a.watchdog.request("switchover", "an operator")
        await until(pair.b.watchdog.health_active)
        await until(lambda: sum(1 for line in said if line["event"] == "turn") > 50)
    turns = [line for line in said if line["event"] == "turn"]
    told = [line["sentence"] for line in turns if line["log_level"] == "info"]
    assert "switching over: an operator" in told
    assert all(one != other for one, other in pairwise(told))
    assert any(line["log_level"] == "debug" for line in turns)


async def test_a_guard_that_is_gone_is_told_once(pair: PairDouble) -> None:
    pair.a.overseer.lost = True
    await until(lambda: "guard_lost" in pair.a.watchdog.alarms)
    await until(lambda: names(pair.a).count("guard_lost") == 1)
    assert pair.a.watchdog.health_active()


async def test_where_the_load_balancer_looks_goes_to_the_other_node(pair: PairDouble) -> None:
    pair.b.lb_age = 0.25
    await until(lambda: pair.b.link.reported.get("lb_checks_age") == 0.25)
    assert pair.a.link.reported["lb_checks_age"] == -1.0
    await until(lambda: pair.b.watchdog.member.view(now()).lb_checks_age == 0.25)


def names(origin: OriginDouble) -> list[str]:
    return [event["event"] for event in origin.history.events()]


async def test_each_node_looks_whether_it_sees_what_the_other_writes(pair: PairDouble) -> None:
    for origin in (pair.a, pair.b):
        await until(lambda one=origin: one.watchdog.store["coherent"] is True)  # type: ignore[misc]  # now

    def noticed() -> bool:
        pair.b.watchdog.on_store_nonce("what A never wrote", False)
        alarmed = "nas_not_coherent" in pair.b.watchdog.alarms
        assert pair.b.watchdog.store["coherent"] is not alarmed
        return alarmed

    await until(noticed)
    assert "nas_not_coherent" in names(pair.b)
    await until(lambda: "nas_not_coherent" in names(pair.a))  # it cannot see it by itself
    join(pair.a, pair.b)  # a new link, a new test
    await until(lambda: "nas_not_coherent" not in pair.b.watchdog.alarms)
    assert "nas_coherent" in names(pair.b)


async def test_a_promise_that_is_refused_is_not_asked_for_at_the_speed_of_the_link(
    pair: PairDouble,
) -> None:
    asked: list[float] = []

    async def refuse(epoch: int) -> float | None:
        asked.append(now())
        return None

    pair.a.link.promise = refuse  # type: ignore[method-assign]  # as a peer in doubt does
    pair.a.store.away = True
    await until(lambda: pair.a.gate.state == "closed")  # at the end of its authority
    assert 0 < len(asked) < 20  # from half of it on: else it would be thousands
