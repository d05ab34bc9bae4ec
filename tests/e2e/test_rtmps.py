"""RTMPS by ffmpeg and under load, with certificates that are replaced meanwhile."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rtmp_sync.protocol.events import CallAnswered
from tests.support.certificates import Authority
from tests.support.ffmpeg import decoding_errors, make_source, packets, play, publish, published
from tests.support.pair import within
from tests.support.single import Single, free_ports
from tests.support.tls_peer import TlsPeer

SECONDS = 5
CLIENTS = 200
NAMES = ("first", "second", "third", "fourth")  # of the certificates, in their order


class TlsOrigin(Single):
    """Shows the certificate of the first name."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self._files = folder / "shown.pem", folder / "shown.key"
        for source, file in zip(self.authority.sign(NAMES[0]), self._files, strict=True):
            shutil.copy(source, file)
        (self.port,) = free_ports(1)
        certificate, key = self._files
        listen = f"127.0.0.1:{self.port}"
        super().__init__(
            rtmp={"tls_listen": listen, "tls_certificate": certificate, "tls_key": key}
        )
        self._replaced = 0

    async def replace(self, name: str) -> None:
        """Show another certificate from now on, as certificate programs do it."""
        for source, file in zip(self.authority.sign(name), self._files, strict=True):
            os.replace(source, file)
        self._replaced += 1

        async def replaced() -> bool:
            return self.logs().count("certificate_replaced") >= self._replaced

        await within(15, "the certificate is replaced", replaced)


@pytest.fixture
async def origin(tmp_path: Path) -> AsyncIterator[TlsOrigin]:
    origin = TlsOrigin(tmp_path)
    try:
        await origin.start()
        yield origin
    finally:
        origin.clean_up()


async def test_ffmpeg_publishes_and_plays_while_the_certificate_is_replaced(
    tmp_path: Path, origin: TlsOrigin
) -> None:
    url = f"rtmps://127.0.0.1:{origin.port}/live/s"
    recording = tmp_path / "player.flv"
    clip = await asyncio.to_thread(make_source, tmp_path / "source.flv", SECONDS)
    processes = []
    try:
        processes.append(await publish(clip, url, tmp_path / "publisher.log"))
        await published(processes[0], 1)
        await origin.replace("second")
        processes.append(await play(url, recording, tmp_path / "player.log"))
        async with asyncio.timeout(SECONDS + 20):
            for process in processes:
                await process.communicate()
                assert process.returncode == 0, (tmp_path / "publisher.log").read_text()
        assert decoding_errors(recording) == ""
        hashes = [packet.hash for packet in packets(clip, "v")]
        played = [packet.hash for packet in packets(recording, "v")]
        assert len(played) > 25  # a second and more
        assert played == hashes[-len(played) :]
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
                await process.wait()


class Talker:
    """Asks all the time, and never in vain."""

    def __init__(self, authority: Authority) -> None:
        self.peer = TlsPeer(authority)
        self.answers = 0

    async def come(self, port: int) -> None:
        assert (await self.peer.connect(port, "live")).ok

    async def talk(self) -> None:
        while True:
            self.peer.send(self.peer.rtmp.call("releaseStream", "any")[1])
            assert (await self.peer.event(CallAnswered)).ok
            self.peer.events.clear()
            self.answers += 1


async def keep_connecting(origin: TlsOrigin, shown: list[str]) -> None:
    while True:
        peer = TlsPeer(origin.authority)
        assert (await peer.connect(origin.port, "live")).ok
        shown.append(peer.shown)
        peer.close()


async def test_a_certificate_is_replaced_under_load_and_no_client_notices(
    origin: TlsOrigin,
) -> None:
    talkers = [Talker(origin.authority) for _ in range(CLIENTS)]
    for talker in talkers:
        await talker.come(origin.port)
    shown: list[str] = []
    async with asyncio.TaskGroup() as load:  # any that is dropped or refused ends it
        tasks = [load.create_task(talker.talk()) for talker in talkers]
        tasks.append(load.create_task(keep_connecting(origin, shown)))
        for name in NAMES[1:]:
            await origin.replace(name)
            newcomer, answers = len(shown) + 1, [talker.answers for talker in talkers]

            async def went_on(newcomer: int = newcomer, answers: list[int] = answers) -> bool:
                pairs = zip(talkers, answers, strict=True)
                return len(shown) > newcomer and all(one.answers > had for one, had in pairs)

            await within(15, "everybody is answered, and somebody new comes in", went_on)
            assert shown[-1] == name  # it began after the replacement
        assert "tls_handshake_failed" not in origin.logs()
        for task in tasks:
            task.cancel()
    assert {talker.peer.shown for talker in talkers} == {NAMES[0]}
    assert shown == sorted(shown, key=NAMES.index)  # none saw an older one again
    for talker in talkers:
        talker.peer.close()
