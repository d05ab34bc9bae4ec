"""RTMPS by ffmpeg: publisher and player, and a certificate that is replaced between them."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

from tests.support.certificates import Authority
from tests.support.ffmpeg import decoding_errors, make_source, packets, play, publish, published
from tests.support.pair import within
from tests.support.single import Single, free_ports

SECONDS = 5


async def test_ffmpeg_publishes_and_plays_while_the_certificate_is_replaced(
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path)
    files = [tmp_path / "shown.pem", tmp_path / "shown.key"]
    for source, file in zip(authority.sign("first"), files, strict=True):
        shutil.copy(source, file)
    (port,) = free_ports(1)
    rtmps = {
        "tls_listen": f"127.0.0.1:{port}",
        "tls_certificate": files[0],
        "tls_key": files[1],
    }
    url = f"rtmps://127.0.0.1:{port}/live/s"
    recording = tmp_path / "player.flv"
    clip = await asyncio.to_thread(make_source, tmp_path / "source.flv", SECONDS)
    single = Single(rtmp=rtmps)
    processes = []
    try:
        await single.start()
        processes.append(await publish(clip, url, tmp_path / "publisher.log"))
        await published(processes[0], 1)
        for source, file in zip(authority.sign("second"), files, strict=True):
            os.replace(source, file)

        async def replaced() -> bool:
            return "certificate_replaced" in single.logs()

        await within(10, "the certificate is replaced", replaced)
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
        single.clean_up()
