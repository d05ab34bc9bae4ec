"""A takeover as applications and their clients live it."""

from __future__ import annotations

import asyncio
import signal

import pytest

from rtmp_sync import CallError, NetConnection
from tests.support.pair import Pair, within


async def test_what_a_hung_origin_leaves_goes_on_where_it_was(pair: Pair) -> None:
    active, standby = await pair.settled()
    async with NetConnection() as ann, NetConnection(reconnect=False) as bob:
        for connection, name in ((ann, "ann"), (bob, "bob")):
            await connection.connect(pair.url("lives/hung"), name, "Writer")
        board = await bob.shared_object("board")  # temporary, and of one who does not come back
        await board.set("k", 1)
        assert [await ann.call("learn", what) for what in ("a", "b")] == [1.0, 2.0]
        slow = asyncio.ensure_future(ann.call("slow"))
        film = await bob.create_stream()
        await film.publish("film")
        while (await ann.call("story"))[3] is not True:
            pass
        pair.signal(active, signal.SIGSTOP)
        await pair.becomes_active(standby, seconds=15)

        with pytest.raises(CallError) as interrupted:
            await slow
        assert interrupted.value.code == "NetConnection.Call.Interrupted"
        history = await pair.history(standby) or []
        told = [event for event in history if event.get("scope") == "lives/hung"]
        assert [(one["event"], one["method"]) for one in told] == [("call_interrupted", "slow")]

        said, learned, lessons, _ = await ann.call("story")
        assert said[:3] == ["promote", "disconnect ann failover", "connect ann"]
        assert learned == [["ann", "a", False], ["ann", "b", False]]  # by replays
        assert lessons == 2.0
        assert await ann.call("learn", "c") == 3.0

        assert dict(await ann.shared_object("board")) == {"k": 1.0}
        await (await ann.create_stream()).publish("film")

        async def bob_is_gone() -> bool:
            return "disconnect bob failover" in (await ann.call("story"))[0]

        await within(40, "the grace of those who do not come back ends", bob_is_gone)
    await pair.settled()
