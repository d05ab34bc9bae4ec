"""Versions of shared objects over takeovers: who returns gets exactly what it lacks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from rtmp_sync import Origin
from rtmp_sync.state.fold import LOSSY_VERSION_STEP
from rtmp_sync.state.shared_object import MAX_TOMBSTONES
from rtmp_sync.wire import amf0
from rtmp_sync.wire import shared_object as so
from rtmp_sync.wire.constants import SO_CHANGE, SO_CLEAR, SO_REMOVE, SO_SUCCESS, SO_USE_SUCCESS
from tests.support.origins import take_over
from tests.support.peer import Peer

Told = list[tuple[int, str, object]]


@asynccontextmanager
async def client(origin: Origin) -> AsyncIterator[Peer]:
    peer = Peer()
    await peer.connect(origin.rtmp_port, "probe/room", "x", "User")
    try:
        yield peer
    finally:
        peer.close()


async def use(peer: Peer, version: int, count: int, name: str = "board") -> tuple[int, Told]:
    """Use it with what was seen before; (its version, what one is told)."""
    peer.so(name, so.EVENT_USE, version=version, persistent=True)
    await peer.until(lambda: len(peer.so_events()) >= count)
    (message,) = peer.so_messages()
    return message.version, await peer.so_until(count)


async def write(peer: Peer, *events: bytes, name: str = "board") -> int:
    """Each a message of its own; the version of the last."""
    version = 0
    for event in events:
        peer.events.clear()
        peer.so(name, event, persistent=True)
        await peer.until(lambda: peer.so_events())
        version = peer.so_messages()[-1].version
    peer.events.clear()
    return version


def change(key: str, value: object) -> bytes:
    return so.event_request_change(key, amf0.encode(value))


async def seen(origin: Origin) -> int:
    """The version up to which somebody has seen `board`: {a: 1, b: 2}, and then changes it to
    {a: 1, c: 3}."""
    async with client(origin) as peer:
        await use(peer, 0, 2)
        version = await write(peer, change("a", 1), change("b", 2))
        await write(peer, so.event_request_remove("b"), change("c", 3))
        return version


EVERYTHING: Told = [
    (SO_USE_SUCCESS, "", None),
    (SO_CLEAR, "", None),
    (SO_CHANGE, "a", 1.0),
    (SO_CHANGE, "c", 3.0),
]


async def test_after_a_takeover_that_lost_nothing_one_gets_what_changed(origin: Origin) -> None:
    version = await seen(origin)
    await take_over(origin)
    async with client(origin) as peer:
        now, told = await use(peer, version, 3)
        assert now == version + 2
        assert told == [(SO_USE_SUCCESS, "", None), (SO_CHANGE, "c", 3.0), (SO_REMOVE, "b", None)]
    async with client(origin) as peer:
        assert await use(peer, version + 2, 1) == (version + 2, [(SO_USE_SUCCESS, "", None)])


@pytest.mark.parametrize("ahead", [-2, 0, 1, 100, LOSSY_VERSION_STEP - 1])
async def test_after_one_that_may_have_lost_something_no_version_of_before_counts(
    origin: Origin, ahead: int
) -> None:
    """One may have seen what this copy never had, under versions that it gives anew."""
    version = await seen(origin) + 2
    await take_over(origin, lossy=True)
    async with client(origin) as peer:
        now, told = await use(peer, version + ahead, 4)
        assert now == version + LOSSY_VERSION_STEP
        assert told == EVERYTHING
        assert await write(peer, change("d", 4)) == now + 1
    async with client(origin) as peer:
        assert await use(peer, now, 2) == (
            now + 1,
            [(SO_USE_SUCCESS, "", None), (SO_CHANGE, "d", 4.0)],
        )


@pytest.mark.parametrize("lossy", [False, True])
async def test_a_new_object_begins_above_every_version_that_its_instance_ever_used(
    origin: Origin, lossy: bool
) -> None:
    version = await seen(origin)
    async with client(origin) as peer:
        peer.so("passing", so.EVENT_USE)
        await peer.so_until(2)
        peer.so("passing", change("k", 1))
        await peer.so_until(1)
        highest = origin.state.instances["probe/room"].highest
        assert highest > version
        peer.so("passing", so.EVENT_RELEASE)
        peer.send(peer.rtmp.call("echo", 1)[1])
        await peer.until(lambda: peer.events)
    assert origin.state.find("probe/room", "passing", "T") is None
    await take_over(origin, lossy=lossy)
    async with client(origin) as peer:
        peer.so("passing", so.EVENT_USE, version=highest)
        await peer.until(lambda: len(peer.so_events()) == 2)
        assert peer.so_messages()[0].version == highest + 1 + lossy * LOSSY_VERSION_STEP
        assert [kind for kind, _, _ in peer.so_events()] == [SO_USE_SUCCESS, SO_CLEAR]


async def test_past_the_bound_of_tombstones_one_gets_everything(origin: Origin) -> None:
    async with client(origin) as peer:
        await use(peer, 0, 2)
        keys = [f"k{number}" for number in range(MAX_TOMBSTONES + 1)]
        first = await write(peer, b"".join(change(key, 1) for key in [*keys, "kept"]))
        second = await write(peer, so.event_request_remove(keys[0]))
        peer.so("board", *(so.event_request_remove(key) for key in keys[1:]), persistent=True)
        await peer.so_until(MAX_TOMBSTONES)
    await take_over(origin)
    async with client(origin) as peer:
        _, told = await use(peer, first, 3)
        assert [kind for kind, _, _ in told] == [SO_USE_SUCCESS, SO_CLEAR, SO_CHANGE]
    async with client(origin) as peer:
        _, told = await use(peer, second, 1 + MAX_TOMBSTONES)
        assert [kind for kind, _, _ in told] == [SO_USE_SUCCESS] + [SO_REMOVE] * MAX_TOMBSTONES


async def test_an_unconfirmed_write_that_is_repeated_after_a_takeover_is_confirmed_again(
    origin: Origin,
) -> None:
    version = await seen(origin)
    await take_over(origin)
    async with client(origin) as peer:
        await use(peer, version + 2, 1)
        peer.so("board", change("c", 3), persistent=True)
        assert await peer.so_until(1) == [(SO_SUCCESS, "c", None)]
