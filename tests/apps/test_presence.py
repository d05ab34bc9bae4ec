"""Who is there."""

from __future__ import annotations

from typing import Any

import pytest

from rtmp_sync import CallError, ConnectError, NetConnection, Origin
from tests.support.origins import take_over, until, url


class Member:
    """What the server may ask a member."""

    def __init__(self) -> None:
        self.idle = 0.0

    def nudged(self, by: str) -> str:
        return f"hello {by}"

    def idleSeconds(self) -> float:
        return self.idle


async def come(origin: Origin, who: NetConnection, name: str, kind: str = "member") -> None:
    who.client = Member()
    await who.connect(url(origin, "presence/team"), name, kind)


def seen(who: Any) -> dict[str, str]:
    return {name: there["status"] for name, there in who.items()}


def application(origin: Origin) -> Any:
    instance = origin.instances.running("presence/team")
    assert instance is not None
    return instance.application


async def test_everybody_stays_there_over_a_takeover(origin: Origin) -> None:
    async with NetConnection() as ann, NetConnection() as bob, NetConnection() as eve:
        await come(origin, ann, "ann")
        await come(origin, bob, "bob")
        await come(origin, eve, "eve", "watcher")
        who = await eve.shared_object("who")
        await bob.call("status", "busy")
        await until(lambda: seen(who) == {"ann": "here", "bob": "busy"})
        absent: list[Any] = []
        who.on_sync = lambda items: absent.extend(one for one in items if one["code"] == "delete")
        await take_over(origin)
        await until(lambda: bob.reconnects and bob.state == "connected")
        assert await eve.call("nudge", "bob") == "hello eve"
        await until(lambda: seen(who) == {"ann": "here", "bob": "busy"})
        await ann.call("status", "away")
        await until(lambda: seen(who) == {"ann": "away", "bob": "busy"})
        await bob.close()
        await until(lambda: seen(who) == {"ann": "away"})
        assert [one["name"] for one in absent] == ["bob"]


async def test_who_does_not_come_back_after_a_takeover_is_gone_at_the_next_look(
    origin: Origin,
) -> None:
    async with NetConnection(False) as ann, NetConnection() as eve:
        await come(origin, ann, "ann")
        await come(origin, eve, "eve", "watcher")
        who = await eve.shared_object("who")
        await take_over(origin)
        await until(lambda: eve.reconnects and eve.state == "connected")
        assert seen(who) == {"ann": "here"}
        await application(origin).look()
        await until(lambda: not who)


async def test_who_does_nothing_for_long_is_idle(origin: Origin) -> None:
    async with NetConnection(False) as ann, NetConnection(False) as bob:
        await come(origin, ann, "ann")
        await come(origin, bob, "bob")
        who = await ann.shared_object("who")
        bob.client = None  # it answers with an error
        member: Any = ann.client
        member.idle = 1000.0
        await application(origin).look()
        await until(lambda: seen(who) == {"ann": "idle", "bob": "here"})
        member.idle = 0.0
        await application(origin).look()
        await until(lambda: seen(who)["ann"] == "here")


async def test_a_name_is_one_members_alone(origin: Origin) -> None:
    async with NetConnection(False) as ann, NetConnection(False) as eve:
        await come(origin, ann, "ann")
        for name in ("ann", ""):
            with pytest.raises(ConnectError, match="Rejected"):
                await come(origin, NetConnection(False), name)
        await come(origin, eve, "eve", "watcher")
        with pytest.raises(CallError, match="Method not found"):
            await eve.call("status", "here")
        with pytest.raises(CallError, match="bob is not here"):
            await eve.call("nudge", "bob")
        ann.client = None
        with pytest.raises(CallError, match="ann does not answer"):
            await eve.call("nudge", "ann")
