"""The chat room."""

from __future__ import annotations

import pytest

from rtmp_sync import CallError, ConnectError, NetConnection, Origin
from tests.support.origins import until, url


async def test_guests_see_each_other_and_hear_what_is_said(origin: Origin) -> None:
    async with NetConnection(reconnect=False) as ann, NetConnection(reconnect=False) as bob:
        heard: list[tuple[object, ...]] = []
        for connection, name in ((ann, "ann"), (bob, "bob")):
            await connection.connect(url(origin, "chat/room"), name, "guest")
        room = await ann.shared_object("room")
        room.on_message = lambda *message: heard.append(message)
        assert await ann.call("enter") == []
        await bob.call("enter")
        await bob.call("say", "hello")
        await until(lambda: heard == [("said", "bob", "hello")])
        assert sorted(room.values()) == ["ann", "bob"]
        assert await ann.call("enter") == ["bob: hello"]
        await bob.close()
        await until(lambda: list(room.values()) == ["ann"])


async def test_only_a_moderator_sets_the_topic(origin: Origin) -> None:
    async with NetConnection(reconnect=False) as ann, NetConnection(reconnect=False) as mod:
        await ann.connect(url(origin, "chat/room"), "ann", "guest")
        with pytest.raises(CallError, match="Method not found"):
            await ann.call("topic", "cats")
        await mod.connect(url(origin, "chat/room"), "mod", "moderator", "secret")
        await mod.call("topic", "cats")
        assert (await ann.shared_object("room"))["topic"] == "cats"


@pytest.mark.parametrize("arguments", [("mod", "moderator", "guess"), ("mod", "moderator"), ()])
async def test_who_may_not_come_in(origin: Origin, arguments: tuple[object, ...]) -> None:
    with pytest.raises(ConnectError, match="Rejected"):
        await NetConnection(reconnect=False).connect(url(origin, "chat/room"), *arguments)


async def test_an_empty_line_is_refused_with_the_rooms_own_code(origin: Origin) -> None:
    async with NetConnection(reconnect=False) as ann:
        await ann.connect(url(origin, "chat/room"), "ann", "guest")
        with pytest.raises(CallError) as caught:
            await ann.call("say", " ")
        assert caught.value.code == "Chat.EmptyLine"
        with pytest.raises(CallError, match=r"Argument 1 \(text\) must be a string"):
            await ann.call("say", 5)
