"""What audio and video messages are, legacy and E-RTMP."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmp_sync.wire import constants as c
from rtmp_sync.wire import media
from rtmp_sync.wire.media import (
    AUDIO,
    DROPPABLE,
    EMPTY,
    END_OF_SEQUENCE,
    KEY_FRAME,
    METADATA,
    SEQUENCE_HEADER,
    UNKNOWN,
    VIDEO,
)

# ModEx: five bytes (size - 1 = 4), then multitrack or coded frames as the next packet type
MODEX = bytes.fromhex("04") + b"\x01\x02\x03\x04\x05"


@pytest.mark.parametrize(
    ("payload", "flags", "codec"),
    [
        (b"", VIDEO | EMPTY, ""),
        (b"\x17\x00\x00\x00\x00\x01", VIDEO | SEQUENCE_HEADER, "avc1"),
        (b"\x17\x01\x00\x00\x00\x65", VIDEO | KEY_FRAME, "avc1"),
        (b"\x27\x01\x00\x00\x00\x41", VIDEO | DROPPABLE, "avc1"),
        (b"\x37\x01\x00\x00\x00\x41", VIDEO | DROPPABLE, "avc1"),
        (b"\x47\x01\x00\x00\x00\x41", VIDEO | KEY_FRAME, "avc1"),
        (b"\x17\x02\x00\x00\x00", VIDEO | END_OF_SEQUENCE, "avc1"),
        (b"\x57\x01", VIDEO, "avc1"),
        (b"\x1c\x00\x00\x00\x00", VIDEO | SEQUENCE_HEADER, "hvc1"),
        (b"\x1c\x01\x00\x00\x00", VIDEO | KEY_FRAME, "hvc1"),
        (b"\x12\x00", VIDEO | KEY_FRAME, "H263"),
        (b"\x24\x00", VIDEO | DROPPABLE, "VP6"),
        (b"\x17", VIDEO | UNKNOWN, "avc1"),
        # E-RTMP
        (b"\x90hvc1\x01", VIDEO | SEQUENCE_HEADER, "hvc1"),
        (b"\x91hvc1\x00\x00\x00\x26", VIDEO | KEY_FRAME, "hvc1"),
        (b"\xa1av01\x12", VIDEO | DROPPABLE, "av01"),
        (b"\x93hvc1\x26", VIDEO | KEY_FRAME, "hvc1"),
        (b"\x92hvc1", VIDEO | END_OF_SEQUENCE, "hvc1"),
        (b"\xd4av01\x02", VIDEO | METADATA, "av01"),
        (b"\x95av01\x80", VIDEO | SEQUENCE_HEADER, "av01"),
        (b"\xd0\x00", VIDEO, ""),  # a command frame has no fourcc
        (b"\x98av01", VIDEO | UNKNOWN, "av01"),
        (b"\x91hv", VIDEO | UNKNOWN, ""),
        (b"\x97" + MODEX + b"\x01hvc1\x00\x00\x00", VIDEO | KEY_FRAME, "hvc1"),
        (b"\x97" + MODEX + b"\x07" + MODEX + b"\x00hvc1", VIDEO | SEQUENCE_HEADER, "hvc1"),
        (b"\x97\xff\x00\x00\x00\x01hvc1", VIDEO | KEY_FRAME, "hvc1"),  # long form of the size
        (b"\x97\xff\x00", VIDEO | UNKNOWN, ""),
        (b"\x97\x20\x00", VIDEO | UNKNOWN, ""),
        (b"\x97", VIDEO | UNKNOWN, ""),
        (b"\x96\x00hvc1\x02\x01", VIDEO | SEQUENCE_HEADER | 2 << media.TRACK_SHIFT, "hvc1"),
        (b"\x96\x11hvc1\x00\x00\x00\x01\x01", VIDEO | KEY_FRAME, "hvc1"),
        (b"\x96\x01hvc1\x02\x00\x00\x01\x01", VIDEO | DROPPABLE, "hvc1"),  # not of track 0
        (b"\xa6\x01hvc1\x02\x00\x00\x01\x01", VIDEO | DROPPABLE, "hvc1"),
        (b"\x96\x04av01\x03\x02", VIDEO | METADATA | 3 << 16, "av01"),
        (b"\x96\x20hvc1\x05\x00\x00\x01\x01", VIDEO | SEQUENCE_HEADER | 5 << 16, "hvc1"),
        (b"\x96\x06hvc1\x02", VIDEO | UNKNOWN, ""),  # multitrack in multitrack
        (b"\x96\x00hvc1", VIDEO | UNKNOWN, ""),
        (b"\x97" + MODEX + b"\x06\x00hvc1\x03", VIDEO | SEQUENCE_HEADER | 3 << 16, "hvc1"),
    ],
)
def test_video_is_what_it_is(payload: bytes, flags: int, codec: str) -> None:
    assert media.classify(c.VIDEO, payload) == flags
    assert media.codec(c.VIDEO, payload) == codec


@pytest.mark.parametrize(
    ("payload", "flags", "codec"),
    [
        (b"", AUDIO | EMPTY, ""),
        (b"\xaf\x00\x12\x10", AUDIO | SEQUENCE_HEADER, "mp4a"),
        (b"\xaf\x01\x21", AUDIO, "mp4a"),
        (b"\xaf", AUDIO | UNKNOWN, "mp4a"),
        (b"\x2f\xff", AUDIO, ".mp3"),
        (b"\xb2\x00", AUDIO, "Speex"),
        (b"\x90OpusOpusHead", AUDIO | SEQUENCE_HEADER, "Opus"),
        (b"\x91Opus\xfc", AUDIO, "Opus"),
        (b"\x92Opus", AUDIO | END_OF_SEQUENCE, "Opus"),
        (b"\x94Opus\x01\x02", AUDIO | METADATA, "Opus"),
        (b"\x93Opus", AUDIO | UNKNOWN, "Opus"),
        (b"\x95\x00mp4a\x01\x12", AUDIO | SEQUENCE_HEADER | 1 << 16, "mp4a"),
        (b"\x95\x05mp4a\x01", AUDIO | UNKNOWN, ""),
        (b"\x95\x04Opus\x02\x01\x02", AUDIO | METADATA | 2 << 16, "Opus"),
        (b"\x95\x01Opus\x02\xfc", AUDIO, "Opus"),
        (b"\x97" + MODEX + b"\x01Opus\xfc", AUDIO, "Opus"),
        (b"\x9f", AUDIO | UNKNOWN, ""),
    ],
)
def test_audio_is_what_it_is(payload: bytes, flags: int, codec: str) -> None:
    assert media.classify(c.AUDIO, payload) == flags
    assert media.codec(c.AUDIO, payload) == codec


def test_data_has_no_flags() -> None:
    assert media.classify(c.DATA, b"\x02\0\0") == 0
    assert media.codec(c.DATA, b"\x02\0\0") == ""


@given(st.sampled_from([c.AUDIO, c.VIDEO]), st.binary(max_size=400))
def test_any_bytes_are_classified(type: int, payload: bytes) -> None:
    flags = media.classify(type, payload)
    assert bool(flags & AUDIO) != bool(flags & VIDEO)
    assert not (flags & UNKNOWN and flags & DROPPABLE)
    assert 0 <= media.track_of(flags) < 256
    media.codec(type, payload)


@given(st.binary(max_size=400))
def test_any_extended_bytes_are_classified(payload: bytes) -> None:
    for type, first in ((c.VIDEO, 0x96), (c.VIDEO, 0x97), (c.AUDIO, 0x95), (c.AUDIO, 0x97)):
        media.classify(type, bytes((first,)) + payload)
        media.codec(type, bytes((first,)) + payload)
