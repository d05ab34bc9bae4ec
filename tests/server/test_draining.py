"""Before a switchover: clients are asked to leave, nobody new is let in, no address is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rtmp_sync import NetConnection, Origin
from rtmp_sync.protocol.events import StatusReceived
from rtmp_sync.wire.constants import (
    AUDIO,
    CAPS_MULTITRACK,
    CAPS_RECONNECT,
    CONNECT_APP_SHUTDOWN,
    CONNECT_RECONNECT_REQUEST,
)
from tests.support.origins import running, until, url
from tests.support.peer import Peer


@pytest.fixture
async def origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Origin]:
    async with running(tmp_path) as origin:
        # the watchdog of a single origin says at each of its turns that nothing is drained
        monkeypatch.setattr(origin, "drain", lambda on: None)
        yield origin


async def connected(origin: Origin, **params: object) -> Peer:
    peer = Peer()
    await peer.connect(origin.rtmp_port, "probe/room", "x", "User", **params)
    return peer


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"capsEx": float(CAPS_RECONNECT)}, CONNECT_RECONNECT_REQUEST),
        ({"capsEx": float(CAPS_RECONNECT | CAPS_MULTITRACK)}, CONNECT_RECONNECT_REQUEST),
        ({"capsEx": float(CAPS_MULTITRACK)}, CONNECT_APP_SHUTDOWN),
        ({"capsEx": "1"}, CONNECT_APP_SHUTDOWN),
        ({"capsEx": float("nan")}, CONNECT_APP_SHUTDOWN),
        ({"capsEx": float("inf")}, CONNECT_APP_SHUTDOWN),
        ({}, CONNECT_APP_SHUTDOWN),
    ],
)
async def test_each_client_is_asked_in_the_way_that_it_understands(
    origin: Origin, params: dict[str, object], code: str
) -> None:
    peer = await connected(origin, **params)
    origin.sessions.drain(True)
    status = await peer.event(StatusReceived)
    assert (status.msid, status.info["code"]) == (0, code)
    assert "tcUrl" not in status.info
    peer.close()


async def test_a_client_is_asked_once_and_served_on(origin: Origin) -> None:
    peer = await connected(origin)
    origin.sessions.drain(True)
    origin.sessions.drain(True)
    await peer.event(StatusReceived)
    peer.send(peer.rtmp.call("put", "board", "k", 1)[1])
    await until(lambda: origin.state.journal.head > 0)
    assert peer.statuses() == [CONNECT_APP_SHUTDOWN]
    peer.close()


async def test_the_clients_that_are_still_here_are_counted(origin: Origin) -> None:
    assert origin.sessions.drain(False) is None
    peers = [await connected(origin) for _ in range(2)]
    assert origin.sessions.drain(True) == 2
    peers[0].close()
    await until(lambda: origin.sessions.drain(True) == 1)
    peers[1].close()
    await until(lambda: origin.sessions.drain(True) == 0)


async def test_nobody_new_is_let_in_while_draining(origin: Origin) -> None:
    origin.sessions.drain(True)
    peer = Peer()
    answer = await peer.connect(origin.rtmp_port, "probe/room", "x", "User")
    assert (answer.ok, answer.info["code"]) == (False, CONNECT_APP_SHUTDOWN)
    await peer.ended()
    origin.sessions.drain(False)
    answer = await Peer().connect(origin.rtmp_port, "probe/room", "x", "User")
    assert answer.ok


async def test_publishers_and_players_are_asked_too_and_go_on_until_then(origin: Origin) -> None:
    async with NetConnection() as publisher, NetConnection() as player:
        said: list[object] = []
        for client in (publisher, player):
            await client.connect(url(origin, "probe/live"), "x", "User")
            client.on_status = lambda info: said.append(info["code"])
        published = await publisher.create_stream()
        await published.publish("s", "live")
        played = await player.create_stream()
        await played.play("s")
        origin.sessions.drain(True)
        await until(lambda: said == [CONNECT_RECONNECT_REQUEST] * 2)
        published.send(AUDIO, 40, b"\xaf\x01sound")
        async for message in played:
            if message.type == AUDIO:  # after what every player is told first
                assert message.payload == b"\xaf\x01sound"
                break
        assert publisher.reconnects == player.reconnects == 0


async def test_our_client_loses_no_call_to_a_drain_that_is_called_off(origin: Origin) -> None:
    async with NetConnection() as client:
        await client.connect(url(origin, "probe"), "Ann", "User")
        origin.sessions.drain(True)
        assert await client.call("count") == 1
        assert client.reconnects == 0
        origin.sessions.drain(False)
        await until(lambda: client.reconnects == 1)
        assert await client.call("count") == 2
