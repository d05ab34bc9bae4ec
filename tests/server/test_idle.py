"""Clients that nothing comes from and nothing goes to are let go; signs of life do not count."""

from __future__ import annotations

from pathlib import Path

from rtmp_sync.protocol.events import StatusReceived
from rtmp_sync.wire.constants import CONNECT_IDLE_TIMEOUT, VIDEO
from tests.support.origins import running, until
from tests.support.peer import Peer
from tests.support.publisher import Publisher, key


async def test_an_idle_client_is_told_so_though_it_answers_pings(tmp_path: Path) -> None:
    rtmp = {"idle_timeout": 0.3, "ping_interval": 0.05, "ping_timeout": 5.0}
    async with running(tmp_path, rtmp=rtmp) as origin:
        peer = Peer()
        await peer.connect(origin.rtmp_port, "probe")
        status = await peer.event(StatusReceived)
        assert status.info["code"] == CONNECT_IDLE_TIMEOUT
        await until(lambda: peer.closed)


async def test_who_publishes_and_who_plays_are_not_idle(tmp_path: Path) -> None:
    async with running(tmp_path, rtmp={"idle_timeout": 0.3}) as origin:
        idle, player = Peer(), Peer()
        async with Publisher(origin, "s") as publisher:
            publisher.begin()
            await player.join(origin.rtmp_port)
            player.tell("play", "s")
            await idle.connect(origin.rtmp_port, "probe")
            time_ms = 0

            def gone() -> bool:
                nonlocal time_ms
                time_ms += 1
                publisher.push(VIDEO, time_ms, key())
                return idle.closed

            await until(gone)
            assert not player.closed
            assert len(origin.sessions) == 2
        player.close()


async def test_without_the_key_nobody_is_idle(tmp_path: Path) -> None:
    async with running(tmp_path) as origin:
        assert origin.sessions._idle._timer is None
