"""The applications that are shipped, with the active origin killed in the middle of their use."""

from __future__ import annotations

import signal
from typing import Any

from rtmp_sync import NetConnection
from tests.support.origins import until
from tests.support.pair import Pair


class Guest:
    """Whom the application `chat` may ask."""

    def vote(self, question: str) -> bool:
        return question == "after?"


class Member:
    """Whom the application `presence` may ask."""

    def nudged(self, by: str) -> str:
        return f"hello {by}"


class Player:
    """Whom the application `game` may ask."""

    def draw(self, name: str) -> bool:
        return name == "ann"


async def test_a_talk_a_game_and_who_is_there_survive_a_reload_and_a_kill(pair: Pair) -> None:
    active, _ = await pair.settled()
    async with (
        NetConnection() as ann,
        NetConnection() as bob,
        NetConnection() as guest,
        NetConnection() as moderator,
        NetConnection() as member,
        NetConnection() as watcher,
    ):
        bob.client, member.client, guest.client = Player(), Member(), Guest()
        for player, name in ((ann, "ann"), (bob, "bob")):
            await player.connect(pair.url("game/killed"), name, "player")
            await player.call("sit")
        board = await bob.shared_object("board", persistent=True)
        await guest.connect(pair.url("chat/killed"), "gus", "guest")
        room = await guest.shared_object("room")
        await guest.call("enter")
        await moderator.connect(pair.url("chat/killed"), "mod", "moderator", "secret")
        await member.connect(pair.url("presence/killed"), "mem", "member")
        await watcher.connect(pair.url("presence/killed"), "wat", "watcher")
        who = await watcher.shared_object("who")

        await ann.call("move", 4)
        await guest.call("say", "before")
        assert await moderator.call("ask", "before?") == [0.0, 1.0]
        await member.call("status", "busy")
        for app in ("chat", "game", "presence"):
            done = await pair.run_command("reload", f"{app}/killed")
            assert done.returncode == 0, done
            assert f"nobody disconnected: {app}/killed" in done.stdout
            assert "has the same code" in done.stdout
        everybody = (ann, bob, guest, moderator, member, watcher)
        assert [one.reconnects for one in everybody] == [0] * len(everybody)
        pair.signal(active, signal.SIGKILL)

        assert await bob.call("move", 0) == ""
        await guest.call("say", "after")
        assert await guest.call("enter") == ["gus: before", "gus: after"]
        assert room["question"] == "before?"
        await until(lambda: guest.reconnects and guest.state == "connected")
        assert await moderator.call("ask", "after?") == [1.0, 0.0]
        await until(lambda: member.reconnects and member.state == "connected")
        assert await watcher.call("nudge", "mem") == "hello wat"
        await until(lambda: statuses(who) == {"mem": "busy"})
        await until(lambda: names(room) == ["gus"])
        await until(lambda: [room.get(slot) for slot in ("question", "yes")] == ["after?", 1.0])

        assert await ann.call("draw") is True
        await until(lambda: board.get("winner") == "none")


def names(room: Any) -> list[object]:
    return [room[slot] for slot in room if slot.startswith("user:")]


def statuses(who: Any) -> dict[str, str]:
    return {name: there["status"] for name, there in who.items()}
