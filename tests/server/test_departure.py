"""An origin that is told to stop while it serves: who is waited for, and how the rest is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from rtmp_sync import Origin
from rtmp_sync.admin.facts import status
from rtmp_sync.protocol.events import CallAnswered
from rtmp_sync.server.clock import now
from rtmp_sync.storage.manifest import load_manifest
from rtmp_sync.wire.constants import CONNECT_APP_SHUTDOWN, VIDEO
from tests.support.http_player import HttpPlayer
from tests.support.origins import config_of, pair_of, until
from tests.support.peer import Peer
from tests.support.publisher import Publisher, key
from tests.support.recordings import film, folder, recording

HTTP = {"listen": "127.0.0.1:0"}
LONG = 600.0  # who waits for it makes a test fail


@asynccontextmanager
async def stopping(
    state: Path, *, seconds: float, **sections: dict[str, Any]
) -> AsyncIterator[Origin]:
    """An origin that serves and, within, is told to stop by the test; afterwards it has ended."""
    origin = Origin(config_of(state, rtmp={"stop_timeout": seconds}, **sections))
    run = asyncio.ensure_future(origin.run())
    try:
        await until(lambda: run.done() or origin.authority.gate_open)
        yield origin
        async with asyncio.timeout(20):
            await run
    finally:
        origin.request_stop()
        origin.request_stop()
        await asyncio.wait([run])


@asynccontextmanager
async def stopping_pair(
    folder: Path, *, seconds: float, drain_seconds: float
) -> AsyncIterator[tuple[Origin, Origin]]:
    """(active, standby): the active one is told to stop within, and has ended afterwards."""
    origins = pair_of(
        folder, rtmp={"stop_timeout": seconds}, failover={"drain_seconds": drain_seconds}
    )
    runs = [asyncio.ensure_future(one.run()) for one in origins]
    try:
        await until(lambda: sorted(roles(origins)) == ["active", "standby"])
        active, standby = sorted(origins, key=lambda one: one.watchdog.role)
        await until(standby.watchdog.health_standby)
        yield active, standby
        async with asyncio.timeout(20):
            await runs[origins.index(active)]
    finally:
        for one in origins:
            one.request_stop()
            one.request_stop()
        await asyncio.wait(runs)


def roles(origins: tuple[Origin, ...]) -> list[str]:
    return [one.watchdog.role for one in origins if hasattr(one, "watchdog")]


async def joined(origin: Origin) -> Peer:
    peer = Peer()
    await peer.connect(origin.rtmp_port, "probe/room", "x", "User")
    return peer


async def test_who_stays_is_served_on_and_waited_for(tmp_path: Path) -> None:
    async with stopping(tmp_path, seconds=LONG) as origin:
        assert status(origin)["stopping"] is None
        staying, leaving = await joined(origin), await joined(origin)
        origin.request_stop()
        for peer in (staying, leaving):
            await peer.status(CONNECT_APP_SHUTDOWN)
        leaving.close()
        await until(lambda: status(origin)["stopping"]["clients"] == 1)
        assert status(origin)["stopping"]["seconds"] > LONG / 2
        head = origin.state.journal.head
        staying.send(staying.rtmp.call("put", "board", "k", 1)[1])
        await until(lambda: origin.state.journal.head > head)
        staying.close()


async def test_nobody_new_is_let_in_while_it_waits(tmp_path: Path) -> None:
    async with stopping(tmp_path, seconds=LONG, http=HTTP) as origin:
        staying = await joined(origin)
        origin.request_stop()
        await staying.status(CONNECT_APP_SHUTDOWN)
        newcomer = Peer()
        answer = await newcomer.connect(origin.rtmp_port, "probe/room", "x", "User")
        assert (answer.ok, answer.info["code"]) == (False, CONNECT_APP_SHUTDOWN)
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{origin.http_port}/probe/room/s.flv") as refused,
        ):
            assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
        staying.close()
        newcomer.close()


async def test_who_does_not_leave_in_time_is_told_before_its_connection_ends(
    tmp_path: Path,
) -> None:
    async with stopping(tmp_path, seconds=0.0) as origin:
        peer = await joined(origin)
        origin.request_stop()
        await peer.ended()
        assert peer.statuses() == [CONNECT_APP_SHUTDOWN]


async def test_a_second_request_waits_for_nobody(tmp_path: Path) -> None:
    async with stopping(tmp_path, seconds=LONG) as origin:
        peer = await joined(origin)
        origin.request_stop()
        await peer.status(CONNECT_APP_SHUTDOWN)
        origin.request_stop()
        await peer.ended()


async def test_browsers_get_the_end_of_their_stream(tmp_path: Path) -> None:
    async with stopping(tmp_path, seconds=0.0, http=HTTP) as origin:
        at = f"127.0.0.1:{origin.http_port}/probe/live/show.flv"
        async with (
            Publisher(origin, "s") as publisher,
            HttpPlayer(f"http://{at}") as by_http,
            HttpPlayer(f"ws://{at}") as by_websocket,
        ):
            await until(lambda: origin.instances.running("probe/live"))
            live = origin.instances.running("probe/live")
            assert live is not None
            show = live.application.stream("show")
            show.play("s")
            show.play("later", reset=False)  # so it does not end with its publisher
            publisher.begin()
            publisher.push(VIDEO, 0, key(b"1"))
            for player in (by_http, by_websocket):
                await player.until(player.media)
            origin.request_stop()
            for player in (by_http, by_websocket):
                await player.over()
                assert player.ended, player.url


async def test_a_recording_under_way_is_complete_afterwards(tmp_path: Path) -> None:
    media = tmp_path / "media"
    media.mkdir()
    async with stopping(tmp_path / "state", seconds=0.0, storage={"media": media}) as origin:
        peer = await recording(origin)
        film(peer, 10)
        peer.send(peer.rtmp.call("createStream")[1])
        await peer.event(CallAnswered, 1)  # everything before it has arrived
        origin.request_stop()
        await peer.ended()
    (info,) = load_manifest(folder(tmp_path))
    assert (info.state, info.duration_ms) == ("closed", 360)


async def test_a_switchover_that_an_operator_has_begun_is_waited_for(tmp_path: Path) -> None:
    async with stopping_pair(tmp_path, seconds=0.0, drain_seconds=LONG) as (active, standby):
        staying = await joined(active)
        asked = asyncio.ensure_future(active.watchdog.request("switchover", "an operator"))
        await until(lambda: active.watchdog.state == "DRAINING")
        active.request_stop()
        await until(lambda: active.departure.under_way)
        staying.close()
        async with asyncio.timeout(20):
            assert (await asked).done
        await until(standby.watchdog.health_active)
    assert [one["reason"] for one in active.history.events() if one["event"] == "switchover"] == [
        "an operator"
    ]


async def test_clients_have_their_time_though_the_other_origin_went_while_it_took_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = 0.0
    monkeypatch.setattr("rtmp_sync.server.departure.now", lambda: now() + later)
    async with stopping_pair(tmp_path, seconds=LONG, drain_seconds=LONG) as (active, standby):
        staying = await joined(active)
        active.request_stop()
        await until(lambda: active.watchdog.state == "DRAINING")
        later = LONG + 1
        standby.request_stop()
        await until(lambda: status(active)["stopping"] is not None)
        assert status(active)["stopping"]["clients"] == 1
        staying.close()
