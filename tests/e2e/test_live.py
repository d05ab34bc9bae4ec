"""One encoder, three players, all of them ffmpeg: what is played is what was published."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.ffmpeg import (
    Packet,
    decoding_errors,
    make_source,
    packets,
    play,
    publish,
    published,
)
from tests.support.pair import Pair

SECONDS = 15
LATE_FRAME = 140  # in the middle of a group of pictures
JITTER_MS = 1  # FLV times are whole milliseconds


def _tail(source: list[Packet], played: list[Packet]) -> list[Packet]:
    """The part of the source that begins where the player joined."""
    hashes = [packet.hash for packet in source]
    assert played, "the player received nothing"
    assert played[0].hash in hashes, "the first packet played was never published"
    return source[hashes.index(played[0].hash) :]


def _same(source: list[Packet], played: list[Packet], shift: int) -> None:
    """Same packets, same count, same times but for one constant `shift` (ms)."""
    assert [packet.hash for packet in played] == [packet.hash for packet in source]
    for sent, received in zip(source, played, strict=True):
        assert abs(received.dts - sent.dts - shift) <= JITTER_MS
        assert abs(received.pts - sent.pts - shift) <= JITTER_MS


def _check(source: Path, recording: Path) -> None:
    assert decoding_errors(recording) == ""
    published_video, played_video = packets(source, "v"), packets(recording, "v")
    expected = _tail(published_video, played_video)
    assert expected[0].key
    shift = played_video[0].dts - expected[0].dts
    _same(expected, played_video, shift)
    played_audio = packets(recording, "a")
    _same(_tail(packets(source, "a"), played_audio), played_audio, shift)


async def test_three_players_get_the_published_frames(pair: Pair, tmp_path: Path) -> None:
    source = make_source(tmp_path / "source.flv", SECONDS)
    url = pair.url("live/s")
    recordings = [tmp_path / f"player-{index}.flv" for index in range(3)]
    logs = [recording.with_suffix(".log") for recording in recordings]
    players = [await play(url, recordings[0], logs[0])]
    publisher = await publish(source, url, tmp_path / "publisher.log")
    processes = [publisher, *players]
    try:
        await published(publisher, 1)
        processes.append(await play(url, recordings[1], logs[1]))
        await published(publisher, LATE_FRAME)
        processes.append(await play(url, recordings[2], logs[2]))
        async with asyncio.timeout(SECONDS + 30):
            await publisher.communicate()
            assert publisher.returncode == 0, (tmp_path / "publisher.log").read_text()
            for player in processes[1:]:
                await player.communicate()
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
                await process.wait()
    for recording, log in zip(recordings, logs, strict=True):
        assert recording.exists(), log.read_text()
        _check(source, recording)
    late = packets(recordings[2], "v")
    assert len(late) < len(packets(source, "v")) - 100
