"""Times one AMF codec in a process of its own; prints microseconds per call as JSON.

    python amf_worker.py pyamf|rtmp_sync

Needs nothing but the codec (pyamf is there in either case), so that it also runs where neither
rtmp_sync nor rich is installed. All codecs get the same values and the same bytes.
"""

from __future__ import annotations

import json
import sys
import timeit
from collections.abc import Callable
from functools import partial
from typing import Any

import pyamf

SECONDS = 0.05  # about this much for one sample
SAMPLES = 9

CASES: dict[str, list[Any]] = {
    "command": ["setText", 7.0, None, "hello world"],
    "200 slots": [
        {
            f"slot{number:03}": (number * 1.5, f"value {number}", number % 8 == 2, None)[number % 4]
            for number in range(200)
        }
    ],
    "1,000 objects": [
        [
            {
                "id": float(number),
                "name": f"user {number}",
                "online": number % 3 == 0,
                "score": number * 0.5,
                "room": "lobby",
            }
            for number in range(1000)
        ]
    ],
}


def pyamf_codec(encoding: int) -> tuple[Callable[..., bytes], Callable[[bytes], list[Any]]]:
    def encode(*values: Any) -> bytes:
        written: bytes = pyamf.encode(*values, encoding=encoding).getvalue()
        return written

    def decode(data: bytes) -> list[Any]:
        return list(pyamf.decode(data, encoding=encoding))

    return encode, decode


def own_codec(encoding: int) -> tuple[Callable[..., bytes], Callable[[bytes], list[Any]]]:
    from rtmp_sync.wire import amf0, amf3

    codec = amf3 if encoding == 3 else amf0
    return codec.encode, codec.decode


def microseconds(call: Callable[[], object]) -> float:
    timer = timeit.Timer(call)
    timer.timeit(1)
    calls = max(1, int(SECONDS / max(timer.timeit(3) / 3, 1e-7)))
    return min(timer.repeat(SAMPLES, calls)) / calls * 1e6


def main(name: str) -> None:
    figures: dict[str, float] = {}
    for encoding in (0, 3):
        encode, decode = (own_codec if name == "rtmp_sync" else pyamf_codec)(encoding)
        for case, values in CASES.items():
            data = pyamf.encode(*values, encoding=encoding).getvalue()
            assert decode(data) == values, case
            assert decode(encode(*values)) == values, case
            label = f"AMF{encoding} {{}} {case}"
            figures[label.format("encode")] = microseconds(partial(encode, *values))
            figures[label.format("decode")] = microseconds(partial(decode, data))
    kind = pyamf.get_encoder(0).__class__.__module__.partition(".")[0]
    if name == "rtmp_sync":
        from rtmp_sync import codec

        kind = codec.running()
    print(json.dumps({"kind": kind, "figures": figures}))


if __name__ == "__main__":
    main(sys.argv[1])
