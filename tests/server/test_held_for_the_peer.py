"""I8 over a real origin whose standby acknowledges nothing: whatever is said waits.

Each case lets something uncommitted happen and then has the origin say one thing of one kind.
Nothing of it may leave before the standby has everything; media and protocol control do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rtmp_sync import Origin
from rtmp_sync.protocol.events import (
    CallAnswered,
    CommandReceived,
    ConnectAnswered,
    SharedObjectReceived,
    StatusReceived,
)
from rtmp_sync.server.session import Session
from rtmp_sync.wire import amf0
from rtmp_sync.wire import shared_object as so
from rtmp_sync.wire.chunk import Message, encode_message
from rtmp_sync.wire.constants import (
    AUDIO,
    PING_REQUEST,
    PING_RESPONSE,
    SO_CHANGE,
    SO_CLEAR,
    SO_REMOVE,
    SO_SEND,
    SO_STATUS,
    SO_SUCCESS,
    SO_USE_SUCCESS,
    USER_CONTROL,
    VIDEO,
)
from rtmp_sync.wire.messages import encode_user_control
from tests.server.conftest import probe
from tests.support.origins import until
from tests.support.peer import Peer
from tests.support.standby import Standby, paired

KEY = bytes(range(16))
FRAME = b"\xaf\1frame"
PONG = PING_RESPONSE.to_bytes(2, "big")


@dataclass
class Scene:
    """An active origin with two clients: both use `board`; one publishes, the other plays."""

    origin: Origin
    standby: Standby
    writer: Peer
    listener: Peer  # on whom each case looks, if it makes no client of its own
    newcomers: list[Peer] = field(default_factory=list)

    def session(self, peer: Peer) -> Session:
        port = peer.writer.get_extra_info("sockname")[1]
        [found] = [one for one in self.origin.sessions._all if one.address == f"127.0.0.1:{port}"]
        return found

    def call(self, name: str, *arguments: object, msid: int = 0) -> None:
        """The listener asks."""
        if msid:
            self.listener.send(self.listener.rtmp.command(name, 0, None, *arguments, msid=msid))
        else:
            self.listener.send(self.listener.rtmp.call(name, *arguments)[1])

    async def newcomer(self, app: str, *arguments: str, **params: object) -> Peer:
        """Asks to come in; not answered yet."""
        peer = await Peer().open(self.origin.rtmp_port)
        self.newcomers.append(peer)
        peer.watch_messages(chunk_size=128)
        peer.send(peer.rtmp.connect({"app": app, **params}, *arguments))
        return peer


@asynccontextmanager
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with paired(tmp_path) as (origin, standby):
        probe(origin).release = asyncio.Event()
        one = Scene(origin, standby, Peer(), Peer())
        await one.writer.connect(origin.rtmp_port, "probe/room", "writer", "User")
        await one.listener.connect(
            origin.rtmp_port, "probe/room", "listener", "User", sessionKey=KEY.hex()
        )
        for peer in (one.writer, one.listener):
            peer.so("board", so.EVENT_USE)
            await peer.so_until(2)
            for number in (1, 2):
                peer.send(peer.rtmp.call("createStream")[1])
                await peer.event(CallAnswered, number)
        one.writer.send(one.writer.rtmp.command("publish", 0, None, "s", "live", msid=1))
        await one.writer.until(lambda: one.writer.statuses())
        one.call("play", "s", msid=1)
        await one.listener.until(lambda: "NetStream.Play.Start" in one.listener.statuses())
        numbered(one, "slow", 1)
        await until(lambda: origin.state.call_outcome(KEY, 1) is not None)
        await until(lambda: origin.commit.level == origin.state.journal.head)
        for peer in (one.writer, one.listener):
            peer.events.clear()
            peer.watch_messages()
        try:
            yield one
        finally:
            probe(origin).release.set()
            for peer in (one.writer, one.listener, *one.newcomers):
                peer.close()


def numbered(one: Scene, name: str, number: int) -> None:
    numbers = {"callNumber": float(number), "lowestOpen": 1.0}
    one.listener.send(one.listener.rtmp.call(name, command_object=numbers)[1])


async def something_uncommitted(one: Scene) -> None:
    """What the case's answer would give away."""
    head = one.origin.state.journal.head
    one.writer.send(one.writer.rtmp.command("put", 0, None, "elsewhere", "k", 1))
    await until(lambda: one.origin.state.journal.head > head)
    await until(lambda: one.origin.commit.head == one.origin.state.journal.head)
    assert one.origin.commit.level < one.origin.commit.head


def said(peer: Peer) -> list[Message]:
    """All that is neither media nor the protocol's own."""
    return [
        message
        for message in peer.messages
        if (message.type > USER_CONTROL + 2 and message.type not in (AUDIO, VIDEO))
        or (message.type == USER_CONTROL and message.payload[:2] != PONG)
    ]


async def waits_for(one: Scene, do: Callable[[], None]) -> None:
    """Do something of which the listener is told, later."""
    outbox = one.session(one.listener).outbox
    size = outbox.size
    do()
    await until(lambda: outbox.size > size)


async def pinged(peer: Peer) -> None:
    """Have the origin answer a ping: what it says before that has come too."""
    ping = encode_user_control(PING_REQUEST, 7)
    peer.send(encode_message(USER_CONTROL, 0, 0, ping, 2, 4096))
    await peer.until(lambda: any(message.payload[:2] == PONG for message in peer.messages))


def answered(*, ok: bool, text: str = "") -> Callable[[Peer], object]:
    return lambda peer: [
        one
        for one in peer.events
        if isinstance(one, CallAnswered) and one.ok is ok and text in str(one.result)
    ]


def connected(*, ok: bool) -> Callable[[Peer], object]:
    return lambda peer: [
        one for one in peer.events if isinstance(one, ConnectAnswered) and one.ok is ok
    ]


def status(code: str) -> Callable[[Peer], object]:
    return lambda peer: code in peer.statuses()


def commanded(name: str) -> Callable[[Peer], object]:
    return lambda peer: [
        one for one in peer.events if isinstance(one, CommandReceived) and one.name == name
    ]


def so_event(*kinds: int) -> Callable[[Peer], object]:
    return lambda peer: set(kinds) <= {kind for kind, _, _ in peer.so_events()}


def asks(name: str, *arguments: object) -> Callable[[Scene], None]:
    return lambda one: one.call(name, *arguments)


def board(*raw: bytes, by_writer: bool = False) -> Callable[[Scene], None]:
    return lambda one: (one.writer if by_writer else one.listener).so("board", *raw)


def change(key: str, value: object) -> bytes:
    return so.event_request_change(key, amf0.encode(value))


def reuse(one: Scene) -> None:
    obj = one.origin.state.find("probe/room", "board", "T")
    assert obj is not None
    one.listener.so("board", so.EVENT_USE, version=obj.version)


def refused_write(one: Scene) -> None:
    one.session(one.listener).client.write_access = "/open"
    one.listener.so("board", change("k", 1))


def joined(one: Scene) -> None:
    numbered(one, "slow", 1)
    probe(one.origin).release.set()


Do = Callable[[Scene], Awaitable[Peer] | None]

CASES: dict[str, tuple[Do, Callable[[Peer], object]]] = {
    "the result of a call that writes": (asks("count"), answered(ok=True)),
    "the result of a call that changes nothing": (asks("echo", 1), answered(ok=True)),
    "the error of a call": (asks("crash"), answered(ok=False, text="Method failed")),
    "a method's own error": (asks("refuse"), answered(ok=False, text="not today")),
    "a refused call": (asks("hidden"), answered(ok=False, text="not found")),
    "a call with wrong arguments": (asks("echo"), answered(ok=False, text="Wrong number")),
    "a call that was joined": (
        joined,
        lambda peer: len([e for e in peer.events if isinstance(e, CallAnswered)]) == 2,
    ),
    "a change by another": (board(change("k", 1), by_writer=True), so_event(SO_CHANGE)),
    "a success": (board(change("k", 1)), so_event(SO_SUCCESS)),
    "a refused write": (refused_write, so_event(SO_STATUS, SO_REMOVE)),
    "a removal": (
        board(change("k", 1), so.event_request_remove("k"), by_writer=True),
        so_event(SO_REMOVE),
    ),
    "a removal of nothing": (board(so.event_request_remove("none")), so_event(SO_REMOVE)),
    "a clear": (board(so.EVENT_REQUEST_CLEAR, by_writer=True), so_event(SO_CLEAR)),
    "a send": (board(so.event_send(amf0.encode("hi")), by_writer=True), so_event(SO_SEND)),
    "an initial dump": (
        lambda one: one.listener.so("elsewhere", so.EVENT_USE),
        so_event(SO_USE_SUCCESS, SO_CHANGE),
    ),
    "a version": (reuse, so_event(SO_USE_SUCCESS)),
    "a refused object": (
        lambda one: one.listener.so("x" * 17_000, so.EVENT_USE),
        so_event(SO_STATUS),
    ),
    "a server call": (asks("tell", 1), commanded("told")),
    "a server's notice": (
        lambda one: one.session(one.listener).client.notify("noticed", 1),
        commanded("noticed"),
    ),
    "a disconnect": (
        lambda one: one.session(one.listener).client.disconnect("go"),
        status("NetConnection.Connect.Closed"),
    ),
    "a new stream": (asks("createStream"), answered(ok=True)),
    "an encoder's question": (asks("FCPublish", "film"), commanded("onFCPublish")),
    "the status of a publisher": (
        lambda one: one.call("publish", "other", "live", msid=2),
        status("NetStream.Publish.Start"),
    ),
    "the refusal of a publisher": (
        lambda one: one.call("publish", "s", "live", msid=2),
        status("NetStream.Publish.BadName"),
    ),
    "the status of a player": (
        lambda one: one.call("pause", True, 0, msid=1),
        status("NetStream.Pause.Notify"),
    ),
    "the end of a stream": (
        lambda one: one.writer.send(one.writer.rtmp.command("closeStream", 0, None, msid=1)),
        status("NetStream.Play.UnpublishNotify"),
    ),
    "an accepted connect": (
        lambda one: one.newcomer("probe/room", "new", "User"),
        connected(ok=True),
    ),
    "a rejected connect": (
        lambda one: one.newcomer("probe/room", "rejected", "User"),
        connected(ok=False),
    ),
    "a connect of the reserved type": (
        lambda one: one.newcomer("probe/room", "x", "Origin"),
        connected(ok=False),
    ),
    "a connect to no application": (lambda one: one.newcomer("none"), connected(ok=False)),
    "a redirected connect": (
        lambda one: one.newcomer("probe/room", "moved", "User"),
        connected(ok=False),
    ),
}


@pytest.mark.parametrize("kind", CASES)
async def test_it_waits_until_the_standby_has_everything(tmp_path: Path, kind: str) -> None:
    do, arrived = CASES[kind]
    async with scene(tmp_path) as one:
        one.standby.hold_back()
        await something_uncommitted(one)
        made = do(one)
        peer = await made if made is not None else one.listener
        outbox = one.session(peer).outbox
        await until(lambda: outbox.size)
        await pinged(one.writer)
        if not one.session(peer).ended:  # of one that is to go nothing is read
            await pinged(peer)
        assert said(peer) == []
        assert outbox.size
        one.standby.take_all()
        await peer.until(lambda: arrived(peer))


async def test_media_passes_what_waits_on_other_streams(tmp_path: Path) -> None:
    async with scene(tmp_path) as one:
        one.standby.hold_back()
        await something_uncommitted(one)
        one.call("count")
        await until(lambda: one.session(one.listener).outbox.size)
        one.writer.send(one.writer.rtmp.message(AUDIO, FRAME, msid=1, timestamp=40))
        await one.listener.until(lambda: one.listener.media())
        assert said(one.listener) == []
        one.standby.take_all()
        await one.listener.event(CallAnswered)


async def test_what_waited_comes_in_the_order_in_which_it_was_said(tmp_path: Path) -> None:
    async with scene(tmp_path) as one:
        one.standby.hold_back()
        await something_uncommitted(one)
        for number in range(5):
            await waits_for(one, lambda: one.writer.so("board", change("k", number)))  # noqa: B023  # called at once
            await waits_for(one, lambda: one.call("echo", number))  # noqa: B023  # called at once
        one.session(one.listener).client.disconnect("the end")
        one.standby.take_all()
        await one.listener.ended()
        changes = [value for _, _, value in one.listener.so_events()]
        answers = [e.result for e in one.listener.events if isinstance(e, CallAnswered)]
        assert changes == answers == [0.0, 1.0, 2.0, 3.0, 4.0]
        assert isinstance(one.listener.events[-1], StatusReceived)


async def test_what_waits_over_an_abandoned_switchover_still_waits(tmp_path: Path) -> None:
    async with scene(tmp_path) as one:
        one.standby.hold_back()
        await something_uncommitted(one)
        one.call("count")
        await until(lambda: one.session(one.listener).outbox.size)
        one.origin.hold_writes(True)
        one.origin.hold_writes(False)
        one.call("echo", 1)
        one.writer.send(one.writer.rtmp.message(AUDIO, FRAME, msid=1, timestamp=40))
        await one.listener.until(lambda: one.listener.media())
        assert said(one.listener) == []
        one.standby.take_all()
        await one.listener.event(CallAnswered, 2)


async def test_who_is_told_something_before_it_is_sent_away_hears_it(tmp_path: Path) -> None:
    """All of it in one turn that changes something, on an origin that waits for nobody."""
    async with scene(tmp_path) as one:
        one.origin.commit.set_require_peer(False)
        session = one.session(one.listener)
        (instance,) = one.origin.instances
        instance.application.vars["k"] = 1
        session.client.notify("noticed", 1)
        session.client.disconnect("go")
        await one.listener.ended()
        kinds = [type(event) for event in one.listener.events]
        assert kinds == [CommandReceived, StatusReceived]
        assert not any(isinstance(event, SharedObjectReceived) for event in one.listener.events)
