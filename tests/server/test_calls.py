"""Remote calls: who may, what is answered, and that keyed ones run once."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pyamf
import pytest

from rtmp_sync import CallError, ConnectionLost, NetConnection, Origin
from rtmp_sync.protocol.events import CallAnswered
from rtmp_sync.server.clock import now
from rtmp_sync.state.access import OTHER
from rtmp_sync.state.calls import BEGUN, MAX_SESSIONS
from rtmp_sync.wire import amf0
from tests.server.conftest import probe
from tests.support.origins import running, take_over, until, url
from tests.support.peer import Peer

KEY = bytes(range(16))


@pytest.fixture
async def user(origin: Origin) -> AsyncIterator[NetConnection]:
    async with NetConnection(reconnect=False) as connection:
        await connection.connect(url(origin, "probe/calls"), "ann", "User")
        yield connection


async def test_a_method_gets_its_client_and_arguments_and_its_value_comes_back(
    user: NetConnection,
) -> None:
    assert await user.call("echo", {"a": [1.0, "x", None]}) == {"a": [1.0, "x", None]}
    assert await user.call("add", 1.0) == 2.0
    assert await user.call("add", 1.0, 2.0, 3.0, 4.0) == 10.0


async def test_a_plain_method_under_another_name(user: NetConnection) -> None:
    assert await user.call("who.am.i") == ["ann", "User"]


@pytest.mark.parametrize(
    "arguments",
    [[1.0, 2.0], (1.0, 2.0), pyamf.MixedArray({"0": 1.0, "1": 2.0})],
    ids=["list", "tuple", "ecma array"],
)
async def test_the_articles_form_is_the_same_call(user: NetConnection, arguments: object) -> None:
    assert await user.call("call2server", "add", arguments) == 3.0
    assert await user.call("call2server", "who.am.i") == ["ann", "User"]
    assert await user.call("call2server", "add", [1.0], {"client": "info"}) == 2.0


async def answer_bytes(peer: Peer, name: str, *arguments: object) -> bytes:
    """The undecoded answer to a command with transaction 7."""
    peer.messages.clear()
    peer.send(peer.rtmp.command(name, 7, None, *arguments))
    await peer.until(lambda: peer.messages)
    return peer.messages[0].payload


@pytest.mark.parametrize("object_encoding", [0.0, 3.0])
@pytest.mark.parametrize("name", ["hidden", "undecorated", "on_connect", "__init__", "vars", "say"])
async def test_a_refused_call_is_answered_with_the_bytes_of_an_unknown_one(
    origin: Origin, name: str, object_encoding: float
) -> None:
    peer = Peer()
    await peer.connect(origin.rtmp_port, "probe", "x", "User", objectEncoding=object_encoding)
    peer.watch_messages()
    unknown = "x" * len(name)  # of the same length, so that only the name differs
    refused = await answer_bytes(peer, name)
    assert refused == (await answer_bytes(peer, unknown)).replace(unknown.encode(), name.encode())
    assert b"NetConnection.Call.Failed" in refused
    assert await answer_bytes(peer, "call2server", name, []) == refused
    peer.close()


async def test_the_whitelist_is_that_of_the_callers_type(origin: Origin) -> None:
    async with NetConnection(reconnect=False) as guest, NetConnection(reconnect=False) as nobody:
        await guest.connect(url(origin, "probe"), "g", "Guest")
        assert await guest.call("who.am.i") == ["g", "Guest"]
        await nobody.connect(url(origin, "probe"))
        for connection, name in ((guest, "echo"), (nobody, "who.am.i")):
            with pytest.raises(CallError, match=r"Call\.Failed: Method not found"):
                await connection.call(name)
        assert origin.instances.whitelists.access("probe").refusals.counts == {
            ("Guest", "echo", "not_allowed"): 1,
            (OTHER, "who.am.i", "not_allowed"): 1,
        }


async def test_the_arguments_of_a_refused_call_are_never_decoded(origin: Origin) -> None:
    peer = Peer()
    await peer.connect(origin.rtmp_port, "probe", "x", "Guest")
    broken = amf0.encode("echo", 5.0, None) + b"\x0a\xff\xff\xff\xff"
    peer.send(peer.rtmp.message(20, broken))
    # nothing of ours waits for transaction 5: what counts is that the connection lives on
    peer.send(peer.rtmp.call("who.am.i")[1])
    assert (await peer.event(CallAnswered)).result == ["x", "Guest"]
    peer.close()


async def test_broken_arguments_of_an_allowed_call_end_the_connection(origin: Origin) -> None:
    peer = Peer()
    await peer.connect(origin.rtmp_port, "probe", "x", "User")
    broken = amf0.encode("echo", 5.0, None) + b"\x0a\xff\xff\xff\xff"
    peer.send(peer.rtmp.message(20, broken))
    await peer.ended()
    peer.close()


@pytest.mark.parametrize(
    ("name", "arguments", "description"),
    [
        ("add", (), "Wrong number of arguments"),
        ("echo", (1.0, 2.0), "Wrong number of arguments"),
        ("crash", (), "Method failed"),
        ("cancelled", (False,), "Method failed"),
        ("cancelled", (True,), "Method failed"),
        ("unsayable", (), "Method failed"),
        ("huge", (), "Method failed"),
    ],
)
async def test_a_failing_call_is_answered_and_the_instance_lives(
    user: NetConnection, name: str, arguments: tuple[object, ...], description: str
) -> None:
    with pytest.raises(CallError, match=description) as caught:
        await user.call(name, *arguments)
    assert caught.value.code == "NetConnection.Call.Failed"
    assert await user.call("echo", "alive") == "alive"


async def test_a_method_may_refuse_with_its_own_code(user: NetConnection) -> None:
    with pytest.raises(CallError) as caught:
        await user.call("refuse")
    assert (caught.value.code, caught.value.description) == ("Probe.No", "not today")


async def test_calls_take_effect_in_the_order_in_which_they_were_sent(origin: Origin) -> None:
    peer = Peer()
    await peer.connect(origin.rtmp_port, "probe", "x", "User")
    for number in range(20):
        peer.send(peer.rtmp.call("put", "board", "k", number)[1])
        peer.send(peer.rtmp.call("count")[1])
    answers = await peer.event(CallAnswered, 40)
    assert answers.result == 20.0
    peer.close()


async def test_the_server_calls_the_client(user: NetConnection) -> None:
    class Methods:
        def told(self, value: object) -> object:
            if value == "fail":
                raise CallError("Mine", "no")
            return [value, "heard"]

    user.client = Methods()
    assert await user.call("tell", "hello") == ["hello", "heard"]
    with pytest.raises(CallError) as caught:
        await user.call("tell", "fail")
    assert caught.value.code == "Mine"


async def test_a_call_to_a_client_that_goes_away_fails(origin: Origin, user: NetConnection) -> None:
    peer = Peer()
    await peer.connect(origin.rtmp_port, "probe/calls", "gone", "User")
    (instance,) = origin.instances
    client = next(one for one in instance.clients.values() if one.user_name == "gone")
    asked = asyncio.ensure_future(client.call("told"))
    await peer.command("told")
    peer.close()
    with pytest.raises(ConnectionLost):
        await asked
    with pytest.raises(ConnectionLost):
        await client.call("told")


# --- exactly once


def numbered(peer: Peer, name: str, number: int, *arguments: object, lowest: int = 1) -> int:
    numbers = {"callNumber": float(number), "lowestOpen": float(lowest)}
    transaction, data = peer.rtmp.call(name, *arguments, command_object=numbers)
    peer.send(data)
    return transaction


async def keyed_peer(origin: Origin) -> Peer:
    peer = Peer()
    await peer.connect(origin.rtmp_port, "probe/keyed", "k", "User", sessionKey=KEY.hex())
    return peer


async def test_a_repeated_call_gets_the_stored_result_also_on_another_connection(
    origin: Origin,
) -> None:
    first = await keyed_peer(origin)
    numbered(first, "count", 1)
    numbered(first, "count", 1)
    assert (await first.event(CallAnswered, 2)).result == 1.0
    second = await keyed_peer(origin)
    await first.ended()  # its client has come back, so it is dead
    numbered(second, "count", 1)
    numbered(second, "count", 2)
    assert (await second.event(CallAnswered, 2)).result == 2.0
    second.close()


async def test_a_repeated_error_is_the_same_error(origin: Origin) -> None:
    peer = await keyed_peer(origin)
    numbered(peer, "refuse", 1)
    numbered(peer, "refuse", 1)
    first, second = await peer.event(CallAnswered, 1), await peer.event(CallAnswered, 2)
    assert not second.ok
    assert first.values == second.values
    peer.close()


async def test_a_repeat_joins_the_run_that_is_going_on(origin: Origin) -> None:
    peer = await keyed_peer(origin)
    numbered(peer, "slow", 1)
    await until(lambda: origin.state.call_outcome(KEY, 1) is BEGUN)
    again = await keyed_peer(origin)
    numbered(again, "slow", 1)
    numbered(again, "count", 2)
    assert (await again.event(CallAnswered)).result == 2.0
    probe(origin).release.set()
    assert (await again.event(CallAnswered, 2)).result == 2.0
    again.close()


async def test_of_those_who_asked_for_a_call_that_runs_only_who_is_there_is_remembered(
    origin: Origin,
) -> None:
    peer = await keyed_peer(origin)
    numbered(peer, "slow", 1)
    await until(lambda: origin.state.call_outcome(KEY, 1) is BEGUN)
    (instance,) = origin.instances
    (waiting,) = instance.calls._running.values()
    for _ in range(70):
        former, peer = peer, await keyed_peer(origin)
        await former.ended()
        numbered(peer, "slow", 1)
        numbered(peer, "who.am.i", 2)
        await peer.event(CallAnswered)
    assert len(waiting) < 64
    probe(origin).release.set()
    assert (await peer.event(CallAnswered, 2)).result == 1.0
    peer.close()


async def test_who_asks_for_a_call_that_runs_without_end_is_cut_off(origin: Origin) -> None:
    peer = await keyed_peer(origin)
    for _ in range(70):
        numbered(peer, "slow", 1)
    await peer.ended()
    probe(origin).release.set()


async def test_a_repeat_joins_a_run_whose_session_had_to_make_room(origin: Origin) -> None:
    peer = await keyed_peer(origin)
    numbered(peer, "slow", 1)
    await until(lambda: origin.state.call_outcome(KEY, 1) is BEGUN)
    for number in range(MAX_SESSIONS):
        origin.state.begin_call(number.to_bytes(16), 1, 1)
    assert origin.state.call_outcome(KEY, 1) is None
    numbered(peer, "slow", 1)
    numbered(peer, "count", 2)
    assert (await peer.event(CallAnswered)).result == 2.0  # one run, and this one
    probe(origin).release.set()
    await peer.event(CallAnswered, 3)
    peer.close()


async def test_a_call_that_was_begun_before_a_restart_is_interrupted_and_not_run_again(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as origin:
        probe(origin).release = asyncio.Event()
        peer = await keyed_peer(origin)
        numbered(peer, "count", 1)
        numbered(peer, "slow", 2)
        await peer.event(CallAnswered)
        await origin.committed()
    peer.close()
    async with running(tmp_path) as origin:
        peer = await keyed_peer(origin)
        numbered(peer, "slow", 2)
        answer = await peer.event(CallAnswered)
        assert isinstance(answer.result, dict)
        assert answer.result["code"] == "NetConnection.Call.Interrupted"
        numbered(peer, "count", 1)
        numbered(peer, "count", 3)
        assert (await peer.event(CallAnswered, 2)).result == 1.0
        assert (await peer.event(CallAnswered, 3)).result == 3.0
        peer.close()


async def test_more_than_64_open_calls_end_the_connection(origin: Origin) -> None:
    peer = await keyed_peer(origin)
    for number in range(1, 66):
        numbered(peer, "echo", number, "x")
    await peer.ended()
    peer.close()


async def test_a_session_key_without_numbers_is_an_ordinary_call(origin: Origin) -> None:
    peer = await keyed_peer(origin)
    peer.send(peer.rtmp.call("count")[1])
    assert (await peer.event(CallAnswered)).result == 1.0
    assert origin.state.sessions == {}
    peer.close()


async def test_the_configuration_switches_methods_off_and_gives_them_to_others(
    tmp_path: Path,
) -> None:
    apps = {"probe": {"allow": {"User": {"echo": False}, "Guest": ["add"]}}}
    async with running(tmp_path, apps=apps) as origin, NetConnection(reconnect=False) as user:
        await user.connect(url(origin, "probe"), "u", "User")
        with pytest.raises(CallError, match="Method not found"):
            await user.call("echo", 1)
        assert await user.call("add", 1.0) == 2.0
        async with NetConnection(reconnect=False) as guest:
            await guest.connect(url(origin, "probe"), "g", "Guest")
            assert await guest.call("add", 1.0) == 2.0
            with pytest.raises(CallError, match="Method not found"):
                await guest.call("who.am.i")


@pytest.mark.parametrize("name", ["slow", "stubborn"])
async def test_a_call_that_runs_over_a_promotion_of_the_same_process_is_interrupted(
    origin: Origin, name: str
) -> None:
    peer = await keyed_peer(origin)
    numbered(peer, name, 1)
    await until(lambda: origin.state.call_outcome(KEY, 1) is BEGUN)
    await take_over(origin)
    again = await keyed_peer(origin)
    numbered(again, name, 1)
    answer = await again.event(CallAnswered)
    assert isinstance(answer.result, dict)
    assert answer.result["code"] == "NetConnection.Call.Interrupted"
    again.close()


# --- what is left of calls by the end of an origin


def interrupted(origin: Origin) -> list[dict[str, object]]:
    names = ("scope", "method", "session", "number")
    return [
        {name: event[name] for name in names}
        for event in origin.history.events()
        if event["event"] == "call_interrupted"
    ]


async def test_who_takes_over_names_the_calls_that_ran_and_does_so_once(tmp_path: Path) -> None:
    async with running(tmp_path) as origin:
        probe(origin).release = asyncio.Event()
        peer = await keyed_peer(origin)
        numbered(peer, "count", 1)
        numbered(peer, "slow", 2)
        await peer.event(CallAnswered)
        await origin.committed()
    peer.close()
    told = [
        {"scope": "probe/keyed", "method": "slow", "session": KEY.hex()[:8], "number": 2},
    ]
    async with running(tmp_path) as origin:
        assert interrupted(origin) == told
        await take_over(origin)
        assert interrupted(origin) == told


async def test_so_many_interrupted_calls_that_history_would_hold_nothing_else_are_counted(
    origin: Origin,
) -> None:
    for number in range(150):
        origin.state.begin_call(number.to_bytes(16), 1, 1, "probe/keyed", "slow")
    await take_over(origin)
    assert len(interrupted(origin)) == 100
    (counted,) = [one for one in origin.history.events() if one["event"] == "calls_interrupted"]
    assert counted["count"] == 150


def last_written(directory: Path, seconds: float) -> None:
    """Make all files look as if they had been written so long ago."""
    then = time.time() - seconds
    for path in directory.iterdir():
        os.utime(path, (then, then))


@pytest.mark.parametrize(("away_seconds", "repeated"), [(300, True), (700, False)])
async def test_a_session_outlives_a_pair_that_is_away_for_less_than_ten_minutes(
    tmp_path: Path, away_seconds: int, repeated: bool
) -> None:
    """Also when clients had less time to come back, and its objects are gone."""
    async with running(tmp_path) as origin:
        peer = await keyed_peer(origin)
        numbered(peer, "count", 1)
        await peer.event(CallAnswered)
        await origin.committed()
    peer.close()
    last_written(tmp_path, away_seconds)
    async with running(tmp_path) as origin:
        assert "probe/keyed" not in origin.state.instances
        origin.turn.writable().expire_sessions(now())
        assert bool(origin.state.sessions) is repeated
        if repeated:
            peer = await keyed_peer(origin)
            numbered(peer, "count", 1)
            numbered(peer, "count", 2)
            assert (await peer.event(CallAnswered, 1)).result == 1.0  # what it was then
            assert (await peer.event(CallAnswered, 2)).result == 1.0  # the count began anew
            peer.close()


async def test_who_waits_for_a_call_that_ended_without_authority_asks_again(origin: Origin) -> None:
    async with NetConnection() as connection:
        await connection.connect(url(origin, "probe/calls"), "ann", "User")
        asked = asyncio.ensure_future(connection.call("slow"))
        await until(lambda: origin.state.open_calls())
        origin.authority.revoke()  # for a moment, as in a stall; the same epoch goes on
        probe(origin).release.set()
        with pytest.raises(CallError, match="Interrupted"):
            await asked
        assert connection.reconnects == 1
        assert await connection.call("echo", "on") == "on"
