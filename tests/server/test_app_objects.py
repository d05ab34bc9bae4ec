"""What an application does with shared objects beside reading and writing them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rtmp_sync import Application, CallError, NetConnection, Origin
from rtmp_sync.protocol.events import CallAnswered
from rtmp_sync.server.shared_objects import MAX_WAITING
from rtmp_sync.wire import amf0
from rtmp_sync.wire import shared_object as so
from rtmp_sync.wire.constants import (
    SO_CHANGE,
    SO_CLEAR,
    SO_CREATION_FAILED,
    SO_SEND,
    SO_SUCCESS,
    SO_USE_SUCCESS,
)
from tests.server.conftest import probe
from tests.support.origins import APPS, running, take_over, until, url
from tests.support.peer import Peer

ROOM = "probe/room"


@pytest.fixture
async def peer(origin: Origin) -> AsyncIterator[Peer]:
    """A client that uses the object "board"."""
    peer = Peer()
    await peer.connect(origin.rtmp_port, ROOM, "ann", "User")
    peer.so("board", so.EVENT_USE)
    await peer.so_until(2)
    yield peer
    peer.close()


def set_to(key: str, value: object) -> bytes:
    return so.event_request_change(key, amf0.encode(value))


async def answered(peer: Peer) -> None:
    """The origin has read what the peer sent before."""
    transaction, data = peer.rtmp.call("who.am.i")
    peer.send(data)
    await peer.until(
        lambda: any(
            isinstance(one, CallAnswered) and one.transaction == transaction for one in peer.events
        )
    )


async def test_what_clients_ask_of_a_locked_object_waits_and_all_of_it_is_one_message(
    application: Application, peer: Peer
) -> None:
    board = application.shared_object("board")
    with board.locked():
        with board.locked():
            board["a"] = 1
            peer.so("board", set_to("b", 2), so.event_send(amf0.encode("hello")))
            await answered(peer)
        board["c"] = 3
        await answered(peer)
        assert "b" not in board
        assert not peer.so_messages()
    assert board["b"] == 2.0
    await peer.until(peer.so_messages)
    (message,) = peer.so_messages()
    assert peer.so_events() == [
        (SO_CHANGE, "a", 1.0),
        (SO_CHANGE, "c", 3.0),
        (SO_SUCCESS, "b", None),
        (SO_SEND, "", "hello"),
    ]
    assert message.version == board.version


async def test_an_unlock_too_many_is_an_error(application: Application) -> None:
    board = application.shared_object("board")
    with pytest.raises(RuntimeError, match="not locked"):
        board.unlock()
    board.lock()
    with pytest.raises(RuntimeError, match="is locked"):
        board.release()
    board.unlock()


async def test_who_leaves_while_it_is_locked_has_asked_for_nothing(
    origin: Origin, application: Application, peer: Peer
) -> None:
    board = application.shared_object("board")
    with board.locked():
        peer.so("board", set_to("b", 2))
        await answered(peer)
        peer.close()
        await until(lambda: not application.clients)
    assert "b" not in board


async def test_who_wanted_to_use_it_and_has_left_does_not(
    origin: Origin, application: Application
) -> None:
    board = application.shared_object("board")
    other = Peer()
    await other.connect(origin.rtmp_port, ROOM, "bob", "User")
    with board.locked():
        other.so("board", so.EVENT_USE)
        await answered(other)
        assert not other.so_messages()
        other.close()
        await until(lambda: len(application.clients) == 1)
    instance = origin.instances.running(ROOM)
    assert instance is not None
    assert instance.shared_objects.users("board", "T") == 1


async def test_what_is_too_much_for_a_locked_object_is_refused(
    application: Application, peer: Peer
) -> None:
    board = application.shared_object("board")
    with board.locked():
        for number in range(MAX_WAITING):
            peer.so("board", set_to("n", number))
        peer.so("board", so.event_send(amf0.encode("over")), set_to("over", 1))
        events = await peer.so_until(2)
        assert "over" in [key for _, key, _ in events]
    assert board["n"] == MAX_WAITING - 1
    await answered(peer)
    assert SO_SEND not in [kind for kind, _, _ in peer.so_events()]
    assert "over" not in board


async def test_the_application_hears_what_clients_send(
    application: Application, peer: Peer
) -> None:
    heard: list[object] = []
    board = application.shared_object("board")

    async def listen(handler: str, *arguments: object) -> None:
        heard.append((handler, *arguments))
        if handler == "bad":
            raise RuntimeError("a bug")

    board.on_message = listen
    board.send("mine")
    peer.so("board", so.event_send(amf0.encode("bad")))
    peer.so("board", so.event_send(amf0.encode("move", 1.0, "x")))
    await until(lambda: len(heard) == 2)
    assert heard == [("bad",), ("move", 1.0, "x")]


async def test_on_sync_may_be_a_coroutine_function(application: Application, peer: Peer) -> None:
    heard: list[object] = []
    board = application.shared_object("board")

    async def listen(items: object) -> None:
        await asyncio.sleep(0)
        heard.append(items)

    board.on_sync = listen
    peer.so("board", set_to("k", 1))
    await until(lambda: heard)


async def returns_with(origin: Origin, version: int) -> list[int]:
    """The kinds of events that a client gets which comes back to "board"."""
    peer = Peer()
    await peer.connect(origin.rtmp_port, ROOM, "ann", "User")
    peer.so("board", so.EVENT_USE, version=version)
    await peer.until(peer.so_messages)
    kinds = [kind for kind, _, _ in peer.so_events()]
    peer.close()
    return kinds


async def test_who_is_resync_depth_behind_gets_everything(
    origin: Origin, application: Application
) -> None:
    board = application.shared_object("board")
    for number in range(5):
        board[f"k{number}"] = number
    everything = [SO_USE_SUCCESS, SO_CLEAR, *[SO_CHANGE] * 5]
    seen = board.version - 3
    assert board.resync_depth == -1
    assert await returns_with(origin, seen) == [SO_USE_SUCCESS, *[SO_CHANGE] * 3]
    board.resync_depth = 4
    assert await returns_with(origin, seen) == [SO_USE_SUCCESS, *[SO_CHANGE] * 3]
    board.resync_depth = 3
    assert await returns_with(origin, seen) == everything
    board.resync_depth = 4
    board.purge(seen + 1)
    assert await returns_with(origin, seen) == everything
    assert await returns_with(origin, seen + 1) == [SO_USE_SUCCESS, *[SO_CHANGE] * 2]


async def test_objects_are_cleared_by_pattern(
    origin: Origin, application: Application, peer: Peer
) -> None:
    board, kept = application.shared_object("board"), application.shared_object("kept")
    board["k"] = kept["k"] = 1
    stored = application.shared_object("boards/1", persistent=True)
    stored["k"] = 1
    stored.release()
    application.vars["board"] = 1
    assert application.clear_shared_objects("board*") == 2
    assert (len(board), len(kept), len(application.vars)) == (0, 1, 1)
    assert origin.state.find(ROOM, "boards/1", "P") is None
    await peer.until(lambda: (SO_CLEAR, "", None) in peer.so_events())
    assert application.clear_shared_objects("/") == 2
    assert not kept


async def test_a_released_object_ends_with_its_last_user(
    origin: Origin, application: Application, peer: Peer
) -> None:
    board, other = application.shared_object("board"), application.shared_object("other")
    other.release()
    assert origin.state.find(ROOM, "other", "T") is None
    held = origin.state.find(ROOM, "held", "V")
    assert held is not None
    assert list(held.slots) == ["board"]
    board["k"] = 1
    board.release()
    assert origin.state.find(ROOM, "board", "T") is not None
    peer.so("board", so.EVENT_RELEASE)
    await until(lambda: origin.state.find(ROOM, "board", "T") is None)


async def test_clients_make_no_more_than_they_may(tmp_path: Path) -> None:
    limits = {"max_shared_objects": 2, "max_slots": 3, "max_object_bytes": 1060}
    async with (
        running(tmp_path, apps={"directory": APPS, "probe": limits}) as origin,
        NetConnection(reconnect=False) as user,
    ):
        await user.connect(url(origin, ROOM), "ann", "User")
        board = await user.shared_object("board")
        other = await user.shared_object("other")
        with pytest.raises(CallError) as refused:
            await user.shared_object("third")
        assert refused.value.code == SO_CREATION_FAILED
        for key in "abc":
            await board.set(key, 1)
        with pytest.raises(CallError):
            await board.set("d", 1)
        await board.delete("a")
        await board.set("d", 1)
        await other.set("k", "x" * 1050)
        with pytest.raises(CallError):
            await other.set("k", "x" * 1070)
        with pytest.raises(CallError):
            await other.set("l", "x" * 10)
        await other.set("k", "x" * 10)
        await other.set("l", "x" * 10)
        instance = origin.instances.running(ROOM)
        assert instance is not None
        mine = instance.application.shared_object("other")
        mine["big"] = "x" * 2000
        await other.set("k", "x" * 5)
        with pytest.raises(CallError):
            await other.set("k", "x" * 6)
        await board.delete("d")
        await board.set("d", "x" * 1000)
        await board.delete("d")
        await board.set("d", "x" * 1000)
        await other.clear()
        await other.set("k", "x" * 1050)


async def test_what_is_flushed_survives(application: Application) -> None:
    stored = application.shared_object("stored", persistent=True)
    stored["k"] = 1
    await stored.flush()


@dataclass
class Score:
    points: int = 0
    leader: str | None = None
    history: list[int] = field(default_factory=list)

    def add(self, points: int) -> None:
        self.points += points


@dataclass(frozen=True, slots=True)
class Fixed:
    needed: str
    points: int = 0


async def test_the_fields_of_a_dataclass_are_slots(application: Application, peer: Peer) -> None:
    board = application.shared_object("board")
    score = board.typed(Score)
    assert (score.points, score.leader, score.history) == (0, None, [])
    score.add(2)
    score.add(3)
    score.history = [*score.history, 5]
    assert dict(board) == {"points": 5.0, "history": [5.0]}
    assert isinstance(score.points, int)
    assert score == board.typed(Score)
    assert repr(score) == "Score(points=5, leader=None, history=[5])"
    del score.points
    assert score.points == 0


async def test_a_slot_that_is_not_what_its_field_says_is_told(application: Application) -> None:
    board = application.shared_object("board")
    score = board.typed(Score)
    with pytest.raises(ValueError, match="slot points: must be a whole number, not a string"):
        score.points = "many"  # type: ignore[assignment]  # the mistake that is tested
    board["points"] = "many"
    with pytest.raises(ValueError, match="slot points"):
        _ = score.points


async def test_a_frozen_dataclass_only_reads(application: Application) -> None:
    board = application.shared_object("board")
    fixed = board.typed(Fixed)
    with pytest.raises(AttributeError, match="no slot needed"):
        _ = fixed.needed
    board["needed"] = "x"
    assert fixed.needed == "x"
    with pytest.raises(AttributeError):
        fixed.points = 1  # type: ignore[misc]  # the mistake that is tested
    with pytest.raises(TypeError, match="no dataclass"):
        board.typed(str)


async def test_a_lock_ends_with_its_origin(origin: Origin, application: Application) -> None:
    application.shared_object("board").lock()
    application.shared_object("board")["k"] = 1
    await take_over(origin)
    async with NetConnection(reconnect=False) as connection:
        await connection.connect(url(origin, ROOM), "ann", "User")
        board = await connection.shared_object("board")
        assert board["k"] == 1.0
        await board.set("k", 2)
    assert probe(origin).said
