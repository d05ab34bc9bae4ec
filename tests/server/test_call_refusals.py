"""Calls that must not harm: each has its outcome, its caller goes on, and others notice nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from rtmp_sync import CallError, ConnectionLost, NetConnection, Origin
from rtmp_sync.protocol.events import CallAnswered
from rtmp_sync.server import refusals
from rtmp_sync.server.running_calls import MAX_RUNNING
from tests.server.conftest import probe
from tests.server.test_calls import KEY, numbered
from tests.support.origins import APPS, running, until, url
from tests.support.peer import Peer

RATES = """
[User]
echo = { rate = "1/h", burst = 2 }
"who.*" = { total = "1/h", total_burst = 3 }
"""


@pytest.fixture
async def limited(tmp_path: Path) -> AsyncIterator[Origin]:
    """An origin where a method may run for 50 ms, with rates."""
    file = tmp_path / "probe.toml"
    file.write_text(RATES)
    apps = {"directory": APPS, "probe": {"call_timeout": 0.05, "whitelist": file}}
    async with running(tmp_path / "state", apps=apps) as origin:
        probe(origin).said.clear()
        probe(origin).release = asyncio.Event()
        yield origin
        probe(origin).release.set()


async def user(origin: Origin, name: str = "ann", *, reconnect: bool = False) -> NetConnection:
    connection = NetConnection(reconnect=reconnect)
    await connection.connect(url(origin, "probe/room"), name, "User")
    return connection


@pytest.fixture
async def others(origin: Origin) -> AsyncIterator[NetConnection]:
    """Somebody else in the same instance, who must notice nothing."""
    bystander = await user(origin, "bob")
    yield bystander
    assert await bystander.call("echo", "well") == "well"
    await bystander.close()


@pytest.mark.parametrize(
    "name",
    [
        *("hidden", "undecorated", "nonsense", "__class__", "__init__", "constructor", "toString"),
        *("__proto__", "_judge", "_surroundings", "committed", "on_connect", "x" * 60_000),
    ],
)
@pytest.mark.parametrize("form", ["plain", "the article's"])
async def test_what_is_no_method_for_the_caller_is_not_found(
    origin: Origin, others: NetConnection, name: str, form: str
) -> None:
    async with await user(origin) as ann:
        for _ in range(2):
            with pytest.raises(CallError, match="Method not found") as caught:
                await (ann.call(name) if form == "plain" else ann.call("call2server", name, []))
            assert caught.value.code == "NetConnection.Call.Failed"
        assert await ann.call("echo", 1.0) == 1.0


@pytest.mark.parametrize(
    ("name", "arguments", "sentence"),
    [
        ("add", (), "Wrong number of arguments: 0, not at least 1 (add)."),
        ("echo", (1.0, 2.0), "Wrong number of arguments: 2, not 1 (echo)."),
        ("add", ("one",), "Argument 1 (first) must be a number, not a string (add)."),
        ("add", (1.0, 2.0, {}), "Argument 3 must be a number, not an object (add)."),
        ("typed", (1.5, "up"), "Argument 1 (count) must be a whole number"),
        ("typed", (1.0, "left"), "Argument 2 (how) must be one of 'up', 'down', not a string"),
        ("typed", (1.0, "up", ["a", 5.0]), "Argument 3 (names[1]) must be a string"),
        ("call2server", ("add", ["one"]), "Argument 1 (first) must be a number"),
    ],
)
async def test_wrong_arguments_are_named_and_the_method_does_not_run(
    origin: Origin,
    others: NetConnection,
    name: str,
    arguments: tuple[object, ...],
    sentence: str,
) -> None:
    async with await user(origin) as ann:
        with pytest.raises(CallError) as caught:
            await ann.call(name, *arguments)
        assert caught.value.code == "NetConnection.Call.Failed"
        assert sentence in caught.value.description
        assert await ann.call("recall") == []


async def test_a_method_gets_its_arguments_in_the_types_of_its_hints(origin: Origin) -> None:
    async with await user(origin) as ann:
        assert await ann.call("typed", 2.0, "down", ["a"]) == "int 2 down ['a']"
        assert await ann.call("typed", 2.0, "down") == "int 2 down None"


async def test_a_message_of_ten_megabytes_ends_its_own_connection(
    origin: Origin, others: NetConnection
) -> None:
    ann = await user(origin)
    with pytest.raises(ConnectionLost):
        await ann.call("echo", "x" * 10_000_000)
    async with await user(origin) as again:
        assert await again.call("echo", "x" * 3_000_000) == "x" * 3_000_000


async def test_a_method_that_raises_is_answered_without_a_traceback(
    origin: Origin, others: NetConnection
) -> None:
    async with await user(origin) as ann:
        with pytest.raises(CallError) as caught:
            await ann.call("crash")
        assert str(caught.value) == "NetConnection.Call.Failed: Method failed (crash)."


@pytest.mark.parametrize("keyed", [False, True])
async def test_a_method_that_never_returns_is_cancelled_and_its_caller_told(
    limited: Origin, keyed: bool
) -> None:
    async with await user(limited, reconnect=keyed) as ann, await user(limited, "bob") as bob:
        endless = asyncio.ensure_future(ann.call("slow"))
        assert await bob.call("add", 1.0) == 2.0
        assert await ann.call("add", 1.0) == 2.0
        with pytest.raises(CallError, match=r"did not end within 0\.05 s \(slow\)"):
            await endless


async def test_a_method_that_ends_when_it_is_cancelled_has_its_result(limited: Origin) -> None:
    async with await user(limited) as ann:
        assert await ann.call("stubborn") == "done all the same"


async def test_one_that_does_not_end_when_cancelled_keeps_its_place_only(limited: Origin) -> None:
    async with await user(limited) as ann:
        endless = asyncio.ensure_future(ann.call("immortal"))
        await until(lambda: probe(limited).said.count(("cancelled",)) > 1)
        assert not endless.done()
        assert await ann.call("add", 1.0) == 2.0
        probe(limited).release.set()
        assert await endless is None


async def test_a_client_has_so_many_running_calls_and_not_one_more(
    origin: Origin, others: NetConnection
) -> None:
    async with await user(origin) as ann:
        waiting = [asyncio.ensure_future(ann.call("slow")) for _ in range(MAX_RUNNING)]
        await until(lambda: origin.tasks.running == MAX_RUNNING)
        with pytest.raises(CallError, match=r"Too many calls are running \(echo\)"):
            await ann.call("echo", 1.0)
        probe(origin).release.set()
        await asyncio.gather(*waiting)
        assert await ann.call("echo", 1.0) == 1.0


async def test_who_calls_too_often_is_told_so_and_others_are_not(limited: Origin) -> None:
    async with await user(limited) as ann, await user(limited, "bob") as bob:
        assert [await ann.call("echo", n) for n in (1.0, 2.0)] == [1.0, 2.0]
        with pytest.raises(CallError, match=r"Called too often \(echo\)"):
            await ann.call("echo", 3.0)
        assert await bob.call("echo", 4.0) == 4.0
        assert await ann.call("add", 1.0) == 2.0


async def test_who_repeats_a_call_that_ran_gets_its_result_however_often(limited: Origin) -> None:
    peer = Peer()
    await peer.connect(limited.rtmp_port, "probe", "k", "User", sessionKey=KEY.hex())
    for number in (1, 2, 3, 1, 2, 1):
        numbered(peer, "echo", number, float(number))
    await peer.event(CallAnswered, 6)
    answers = [event for event in peer.events if isinstance(event, CallAnswered)]
    assert [event.result for event in answers if event.ok] == [1.0, 2.0, 1.0, 2.0, 1.0]
    assert [event.ok for event in answers] == [True, True, False, True, True, True]
    peer.close()


async def test_a_total_is_that_of_all_clients(limited: Origin) -> None:
    async with await user(limited) as ann, await user(limited, "bob") as bob:
        for one in (ann, bob, ann):
            await one.call("who.am.i")
        with pytest.raises(CallError, match="Called too often"):
            await bob.call("who.am.i")


async def test_calls_are_counted_by_type_method_and_reason(limited: Origin) -> None:
    async with await user(limited) as ann:
        answers: list[object] = []
        for name in ("hidden", "nonsense", "add", "echo", "echo", "echo"):
            arguments = [] if name == "add" else ["x"]
            answers += await asyncio.gather(ann.call(name, *arguments), return_exceptions=True)
        assert [isinstance(one, CallError) for one in answers] == [True] * 3 + [False] * 2 + [True]
        access = limited.instances.whitelists.access("probe")
        assert access.calls == {("User", "echo"): 2}
        assert access.refusals.counts == {
            ("User", "hidden", "not_allowed"): 1,
            ("User", "(other)", "not_allowed"): 1,
            ("User", "add", "arguments"): 1,
            ("User", "echo", "rate"): 1,
        }


async def test_a_flood_of_refused_calls_writes_a_few_lines_that_tell_of_the_rest(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> list[dict[str, object]]:
        return [dict(line) for line in lines if line["event"] == "call_refused"]

    async def flood(one: NetConnection) -> None:
        calls = (one.call("nonsense") for _ in range(50))
        assert len(await asyncio.gather(*calls, return_exceptions=True)) == 50

    async with await user(origin) as ann, await user(origin, "bob") as bob:
        with capture_logs() as lines:
            await flood(ann)
            assert len(refused()) == refusals.LINES_OF_CLIENT
            await flood(bob)
            assert len(refused()) == 2 * refusals.LINES_OF_CLIENT
            monkeypatch.setattr(refusals, "PERIOD_SECONDS", 0.0)
            await asyncio.gather(ann.call("__class__"), return_exceptions=True)
            last = refused()[-1]
        assert last["left_out"] == 40
        assert [last[key] for key in ("user_name", "user_type", "method", "reason")] == [
            *("ann", "User", "__class__", "not_allowed")
        ]
