"""The article's demo."""

from __future__ import annotations

import pytest

from rtmp_sync import CallError, NetConnection, Origin
from tests.support.origins import until, url


@pytest.mark.parametrize("call", [("setText", "hello"), ("call2server", "setText", ["hello"])])
async def test_everyone_sees_the_text_that_one_sets(
    origin: Origin, call: tuple[str, object]
) -> None:
    async with NetConnection(reconnect=False) as one, NetConnection(reconnect=False) as two:
        await one.connect(url(origin, "text/first"), "one", "Type1")
        await two.connect(url(origin, "text/first"), "two", "Type1", object_encoding=3)
        seen = await two.shared_object("text", persistent=True)
        assert await one.call(*call) == "hello"
        await until(lambda: dict(seen) == {"txt": "hello"})
        assert await two.call("getText") == "hello"


async def test_clients_may_set_slots_of_any_object(origin: Origin) -> None:
    async with NetConnection(reconnect=False) as one:
        await one.connect(url(origin, "text/first"), "one", "Type1")
        other = await one.shared_object("other")
        await other.set("k", 1)
        text = await one.shared_object("text", persistent=True)
        await text.set("txt", "mine")
        assert await one.call("getText") == "mine"


async def test_instances_share_nothing(origin: Origin) -> None:
    async with NetConnection(reconnect=False) as one, NetConnection(reconnect=False) as two:
        await one.connect(url(origin, "text/first"), "one", "Type1")
        await two.connect(url(origin, "text/second"), "two", "Type1")
        await one.call("setText", "here")
        assert await two.call("getText") == ""


async def test_who_names_no_type_may_call_nothing(origin: Origin) -> None:
    async with NetConnection(reconnect=False) as one:
        await one.connect(url(origin, "text"))
        with pytest.raises(CallError, match="Method not found"):
            await one.call("setText", "x")
