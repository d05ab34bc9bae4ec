"""Calls that must harm nobody but who makes them, on a pair at work: the table of the guide."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from rtmp_sync import CallError, ConnectionLost, NetConnection
from tests.support.health_sampler import HealthSampler
from tests.support.load import Load
from tests.support.pair import Node, Pair, now

GUIDE = Path(__file__).parents[2] / "docs" / "applications.md"


class Bad(NamedTuple):
    """What the guide calls it, the call, and the description that the guide states; None: the
    connection ends."""

    what: str
    name: str
    arguments: tuple[object, ...]
    answer: str | None


CALLS = [
    Bad("a method of other user types", "hidden", (), "Method not found (NAME)."),
    Bad("one without `@allow`", "unmarked", (), "Method not found (NAME)."),
    Bad("a private one", "_count", ("x",), "Method not found (NAME)."),
    Bad("an inherited name", "__class__", (), "Method not found (NAME)."),
    Bad("an inherited name", "constructor", (), "Method not found (NAME)."),
    Bad("an inherited name", "committed", (), "Method not found (NAME)."),
    Bad("too few or too many arguments", "double", (), "Wrong number of arguments: "),
    Bad("too few or too many arguments", "double", (1, 2), "Wrong number of arguments: "),
    Bad("an argument of another type", "double", ("one",), "Argument 1 (number) must be a number"),
    Bad("a message above `rtmp.max_message_bytes`", "echo", ("x" * 10_000_000,), None),
    Bad("a method that raises", "crash", (), "Method failed (NAME)."),
    Bad("one that does not end within `call_timeout`", "endless", (), "did not end within "),
    Bad("one that blocks the loop", "block", (), "The method blocked the server and was stopped"),
]


def stated(what: str) -> str:
    """The row of the guide's table."""
    (row,) = [line for line in GUIDE.read_text().splitlines() if line.startswith(f"| {what} |")]
    return row


async def test_a_bad_call_has_its_stated_outcome_and_the_pair_stays_as_it_is(pair: Pair) -> None:
    async with (
        HealthSampler(pair) as health,
        Load(pair.url("proof/beside")) as load,
        NetConnection(reconnect=False) as bystander,
    ):
        await bystander.connect(pair.url("rogue/one"), "bob", "User")
        await load.acknowledged(200)
        active, _ = await pair.settled()
        at, before = now(), await together(pair, active)
        for bad in CALLS:
            async with NetConnection(reconnect=False) as ann:
                await ann.connect(pair.url("rogue/one"), "ann", "User")
                load.history.fault(now(), bad.what)
                await judge(ann, bad)
                if bad.answer is not None:
                    assert await ann.call("double", 21.0) == 42.0, bad.what
            assert await bystander.call("double", 2.0) == 4.0, bad.what
            if bad.name != "block":  # then the other origin may have heard nothing for too long
                assert await together(pair, active) == before, bad.what
        await load.everyone_served(at)
        assert await bystander.call("counts") == {"block": 1.0}
        await load.rest()
        await load.full_read("last-reader")
    assert load.history.problems() == []
    assert health.both == []
    still, _ = await pair.settled()
    assert (still.id, still.pid) == (active.id, active.pid)


async def together(pair: Pair, active: Node) -> list[object]:
    """What changes when the active origin goes on without the other one, or loses it."""
    status = await pair.status(active)
    assert status is not None
    replication = status["replication"]
    return [status["alone"], replication["links_lost"], replication["full_resyncs"]]


async def judge(caller: NetConnection, bad: Bad) -> None:
    if bad.answer is None:
        with pytest.raises(ConnectionLost):
            await caller.call(bad.name, *bad.arguments)
        assert "the connection ends" in stated(bad.what)
        return
    with pytest.raises(CallError) as caught:
        await caller.call(bad.name, *bad.arguments)
    assert caught.value.code == "NetConnection.Call.Failed"
    assert bad.answer.replace("NAME", bad.name) in caught.value.description
    assert bad.answer.strip().rstrip(":") in stated(bad.what)
