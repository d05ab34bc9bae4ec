"""The stream of the live bench: 2 Mbit/s, made once, sent by the clock.

H.264 at 30 frames a second with a key frame every 2 s, and 43 AAC frames a second. Frames have
the sizes of a usual encoder's and bytes that no decoder would take, but for their beginning:

    FLV tag header, "STAMP", nanoseconds u64 of CLOCK_MONOTONIC when it was sent, filler
"""

from __future__ import annotations

import random
from struct import Struct
from typing import NamedTuple

from rtmp_sync.wire.constants import AUDIO, CSID_AUDIO, CSID_VIDEO, VIDEO

BITS_PER_SECOND = 2_000_000
PERIOD_MS = 2000
FRAMES, SOUNDS = 60, 86  # of one period
SOUND_BYTES = 360
KEY_FRAME_SHARE = 0.16  # of a period's bytes

# A decoder configuration of 1280x720, High profile, and one of 44.1 kHz stereo.
AVC_HEADER = bytes.fromhex(
    "17000000000164001fffe1001867640 01facd9405005bb016a02020280000003008000001e478c18cb"
    "01000568ebecb22c".replace(" ", "")
)
AAC_HEADER = bytes.fromhex("af001210")
CSIDS = {AUDIO: CSID_AUDIO, VIDEO: CSID_VIDEO}

_MARK = b"STAMP"
_STAMP = Struct(">Q")


class Frame(NamedTuple):
    """at_ms: in the period. The payload without its stamp is `head`, then `filler`."""

    at_ms: float
    type: int
    head: bytes
    filler: bytes

    def stamped(self, now_ns: int) -> bytes:
        return self.head + _MARK + _STAMP.pack(now_ns) + self.filler


def stamp_of(payload: bytes) -> int | None:
    """When it was sent; None: it has no stamp."""
    at = payload.find(_MARK, 0, 16)
    return None if at < 0 else int(_STAMP.unpack_from(payload, at + len(_MARK))[0])


def is_key_frame(type: int, payload: bytes) -> bool:
    return type == VIDEO and payload[:2] == b"\x17\x01"


def period() -> list[Frame]:
    """The frames of 2 seconds, in the order of their times; the same in every run."""
    chance = random.Random(1)
    frame_bytes = BITS_PER_SECOND * PERIOD_MS / 8000 - SOUNDS * SOUND_BYTES
    weights = [chance.uniform(0.4, 1.6) for _ in range(FRAMES - 1)]
    per_weight = frame_bytes * (1 - KEY_FRAME_SHARE) / sum(weights)
    sizes = [frame_bytes * KEY_FRAME_SHARE, *(weight * per_weight for weight in weights)]
    frames = [
        Frame(
            number * PERIOD_MS / FRAMES,
            VIDEO,
            (b"\x27" if number else b"\x17") + b"\x01\0\0\0",
            chance.randbytes(int(size)),
        )
        for number, size in enumerate(sizes)
    ]
    frames += [
        Frame(
            (number + 0.5) * PERIOD_MS / SOUNDS, AUDIO, b"\xaf\x01", chance.randbytes(SOUND_BYTES)
        )
        for number in range(SOUNDS)
    ]
    return sorted(frames)
