"""The chat room."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from rtmp_sync import CallError, ConnectError, NetConnection, Origin
from tests.support.origins import take_over, until, url


class Voter:
    """What the server may ask a guest. says: None never answers."""

    def __init__(self, says: object) -> None:
        self.says = says
        self.asked: list[str] = []

    async def vote(self, question: str) -> object:
        self.asked.append(question)
        if self.says is None:
            await asyncio.Event().wait()
        return self.says


async def enter(origin: Origin, who: NetConnection, name: str, says: object) -> Voter:
    who.client = voter = Voter(says)
    await who.connect(url(origin, "chat/room"), name, "guest")
    return voter


async def moderate(origin: Origin, who: NetConnection) -> None:
    await who.connect(url(origin, "chat/room"), "mod", "moderator", "secret")


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


async def test_clients_change_the_room_by_calls_alone(origin: Origin) -> None:
    async with NetConnection(reconnect=False) as ann:
        await ann.connect(url(origin, "chat/room"), "ann", "guest")
        await ann.call("enter")
        room = await ann.shared_object("room")
        with pytest.raises(CallError, match="NoWriteAccess"):
            await room.set("topic", "mine")
        assert list(room.values()) == ["ann"]


async def test_a_moderator_asks_everybody_and_who_is_silent_has_no_vote(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    module: Any = sys.modules["rtmp_sync_apps.chat"]
    monkeypatch.setattr(module, "VOTE_SECONDS", 0.05)
    async with (
        NetConnection(False) as ann,
        NetConnection(False) as bob,
        NetConnection(False) as eve,
        NetConnection(False) as odd,
        NetConnection(False) as mod,
    ):
        voter = await enter(origin, ann, "ann", True)
        for one, name, says in ((bob, "bob", False), (eve, "eve", None), (odd, "odd", "perhaps")):
            await enter(origin, one, name, says)
        room = await ann.shared_object("room")
        changes: list[list[str]] = []
        room.on_sync = lambda items: changes.append([one["name"] for one in items])
        with pytest.raises(CallError, match="Method not found"):
            await ann.call("ask", "cats?")
        await moderate(origin, mod)
        assert await mod.call("ask", "cats?") == [1.0, 1.0]
        assert voter.asked == ["cats?"]
        await until(lambda: dict(room) == {"question": "cats?", "yes": 1.0, "no": 1.0})
        assert changes == [["question", "yes", "no"]]


async def test_what_was_asked_is_taken_down_after_a_while_also_after_a_takeover(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    module: Any = sys.modules["rtmp_sync_apps.chat"]
    async with NetConnection() as ann, NetConnection() as mod:
        await enter(origin, ann, "ann", True)
        await moderate(origin, mod)
        room = await ann.shared_object("room")
        await mod.call("ask", "cats?")
        await mod.call("topic", "cats")
        monkeypatch.setattr(module, "SHOWN_SECONDS", 0.01)
        await take_over(origin)
        await until(lambda: dict(room) == {"topic": "cats"})
