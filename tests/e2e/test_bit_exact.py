"""What is published is what is played, recorded and played again, to the last byte and millisecond.

Encoders' real payloads are published by our own client; of each message its type, its time and the
hash of its bytes are compared. Past the 24 bits of a plain timestamp and across the 32 bits of any.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence

import pytest

from rtmp_sync.protocol.events import MediaReceived
from rtmp_sync.storage.segment import Segment
from rtmp_sync.wire import amf0, media
from rtmp_sync.wire.constants import DATA
from rtmp_sync.wire.flv import FlvTag
from rtmp_sync.wire.messages import data_name
from tests.support.clips import CODECS, PLAIN, current_ffmpeg
from tests.support.flv_tags import Tag, read_messages, read_tags, same_frames, same_messages, tag_of
from tests.support.single import Single
from tests.support.stream_ends import publishing, send_tags, watching

from .programs.scene import Clip, Scene

TEXT = "onTextData"
WRAPS = {"24 bits": (1 << 24) - 1000, "32 bits": (1 << 32) - 1000}
wraps = pytest.mark.parametrize("begin_ms", WRAPS.values(), ids=WRAPS)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("bit_exact")
    (folder / "media").mkdir()
    origin = Single(storage={"media": folder / "media"})
    try:
        asyncio.run(origin.start())
        yield Scene(origin, folder)
    finally:
        origin.clean_up()


def told(messages: Iterable[FlvTag | MediaReceived]) -> list[Tag]:
    """All that a publisher said but onMetaData, which a recording completes."""
    return [tag_of(one) for one in messages if one.type != DATA or data_name(one.payload) == TEXT]


def moved(tags: Sequence[Tag], by_ms: int) -> list[Tag]:
    return [tag._replace(ms=tag.ms + by_ms & 0xFFFFFFFF) for tag in tags]


def with_captions(clip: Clip) -> Clip:
    """A line of text behind every tenth tag."""
    messages: list[FlvTag] = []
    for number, tag in enumerate(clip.messages):
        messages.append(tag)
        if number % 10 == 0:
            text = amf0.encode(TEXT, {"text": f"line {number}"})
            messages.append(FlvTag(DATA, tag.timestamp, text))
    return Clip(clip.file, messages)


async def replayed(scene: Scene, name: str) -> list[Tag]:
    async with watching(scene.address, name) as witness:
        await witness.end()
        return told(witness.messages)


@pytest.mark.parametrize("codecs", CODECS)
async def test_it_is_the_same_live_in_the_file_and_played_again(scene: Scene, codecs: str) -> None:
    clip = with_captions(await scene.clip(codecs))
    sent, file = told(clip.messages), scene.new()
    name = file.stem
    copy = ("-map", "0", "-c", "copy", "-copyts", "-f", "flv", str(file))
    async with (
        watching(scene.address, name) as live,
        scene.running(current_ffmpeg(), "-nostdin", "-i", scene.url(name), *copy) as ffmpeg,
    ):
        await scene.playing(name, players=2)
        await scene.publish(clip, name, "record")
        await live.end()
        same_messages(sent, told(live.messages))
        await ffmpeg.done()
    assert "times equal" in same_frames(clip.tags, read_tags(file))
    await scene.logged("segment", stream=name, state="closed")
    (recording,) = scene.recorded_files(name)
    same_messages(sent, told(read_messages(recording)))
    same_messages(sent, await replayed(scene, name))


@wraps
async def test_times_that_wrap_are_as_published(scene: Scene, begin_ms: int) -> None:
    clip, name = await scene.clip(PLAIN), scene.new().stem
    sent = told(clip.messages)
    async with watching(scene.address, name) as live:
        await scene.publish(clip, name, "record", shift_ms=begin_ms)
        await live.end()
        same_messages(moved(sent, begin_ms), told(live.messages))
    await scene.logged("segment", stream=name, state="closed")
    (recording,) = scene.recorded_files(name)
    same_messages(sent, told(read_messages(recording)))  # a recording begins at 0
    same_messages(sent, await replayed(scene, name))


@wraps
async def test_a_late_joiner_gets_the_times_as_published(scene: Scene, begin_ms: int) -> None:
    """From the key frame of second 1 on, which is where the wrap is."""
    clip, name = await scene.clip(PLAIN), scene.new().stem
    messages = [one for one in clip.messages if not tag_of(one).flags & media.END_OF_SEQUENCE]
    sent = moved(told(messages), begin_ms)
    keys = [number for number, tag in enumerate(sent) if tag.is_key]
    async with publishing(scene.address, name) as stream, watching(scene.address, name) as early:
        await send_tags(stream, messages, shift_ms=begin_ms)
        await early.at_least(len(sent))
        async with watching(scene.address, name) as late:
            expected = [tag for tag in sent[keys[-1] :] if not tag.flags & media.SEQUENCE_HEADER]
            await late.at_least(len(expected) + 2)
            frames = [tag for tag in told(late.messages) if not tag.flags & media.SEQUENCE_HEADER]
    same_messages(expected, frames)


@wraps
async def test_a_recording_that_is_as_long_is_played_on_in_time(
    scene: Scene, begin_ms: int
) -> None:
    """Its first segment begins there, the second was appended by a publisher."""
    clip, name = await scene.clip(PLAIN), scene.new().stem
    write_segment(scene, name, clip, begin_ms)
    await scene.publish(clip, name, "append")
    closed = await scene.logged("segment", stream=name, state="closed")
    sent = told(clip.messages)
    second = [tag for tag in sent if not tag.flags & media.SEQUENCE_HEADER]  # the same: once
    async with watching(scene.address, name) as witness:
        witness.forget()
        await witness.stream.seek(begin_ms)
        await witness.end()
        got = told(witness.messages)
    same_messages(moved(sent, begin_ms) + moved(second, closed["start_ms"]), got)


def write_segment(scene: Scene, name: str, clip: Clip, begin_ms: int) -> None:
    facts = {"stream": name, "node": "solo", "epoch": 1.0, "number": 1.0}
    segment = Segment({**facts, "startMs": float(begin_ms), "gapMs": 0.0})
    folder = scene.folder / "media/live/_definst_" / f"{name}.rec"
    folder.mkdir(parents=True)
    data = bytearray(segment.begin())
    for tag in clip.messages:
        if tag.type != DATA:
            flags = media.classify(tag.type, tag.payload)
            data += segment.tag(tag.type, tag.timestamp, tag.payload, flags)
    for at, patch in segment.end():
        data[at : at + len(patch)] = patch
    (folder / "000001-000001.flv").write_bytes(data)
