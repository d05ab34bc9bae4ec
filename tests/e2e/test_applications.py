"""The applications that are shipped, with the active origin killed in the middle of their use."""

from __future__ import annotations

import signal
from typing import Any

from rtmp_sync import NetConnection
from tests.support.origins import until
from tests.support.pair import Pair


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
        NetConnection() as member,
        NetConnection() as watcher,
    ):
        bob.client, member.client = Player(), Member()
        for player, name in ((ann, "ann"), (bob, "bob")):
            await player.connect(pair.url("game/killed"), name, "player")
            await player.call("sit")
        board = await bob.shared_object("board", persistent=True)
        await guest.connect(pair.url("chat/killed"), "gus", "guest")
        room = await guest.shared_object("room")
        await guest.call("enter")
        await member.connect(pair.url("presence/killed"), "mem", "member")
        await watcher.connect(pair.url("presence/killed"), "wat", "watcher")
        who = await watcher.shared_object("who")

        await ann.call("move", 4)
        await guest.call("say", "before")
        await member.call("status", "busy")
        for app in ("game", "presence"):
            done = await pair.run_command("reload", f"{app}/killed")
            assert done.returncode == 0, done
            assert f"nobody disconnected: {app}/killed" in done.stdout
            assert "has the same code" in done.stdout
        assert [one.reconnects for one in (ann, bob, member, watcher)] == [0] * 4
        pair.signal(active, signal.SIGKILL)

        assert await bob.call("move", 0) == ""
        await guest.call("say", "after")
        assert await guest.call("enter") == ["gus: before", "gus: after"]
        await until(lambda: member.reconnects and member.state == "connected")
        assert await watcher.call("nudge", "mem") == "hello wat"
        await until(lambda: statuses(who) == {"mem": "busy"})
        await until(lambda: list(room.values()) == ["gus"])

        assert await ann.call("draw") is True
        await until(lambda: board.get("winner") == "none")


def statuses(who: Any) -> dict[str, str]:
    return {name: there["status"] for name, there in who.items()}
