"""Vectors of RTMP bytes: where they are, and how to feed bytes in every way.

The shared ones are read in place and never copied; without them the tests say so, but for CI,
where a missing folder is a failure. Our own have the same form.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyamf
import pytest

_ROOT = Path(__file__).parent.parent.parent
SHARED = _ROOT.parent / "shared" / "vectors"
OWN = _ROOT / "tests" / "vectors"

Vector = dict[str, Any]


def load(name: str) -> list[Any]:
    """Parameters for pytest: every vector of both files of this name."""
    found = []
    for folder, source in ((OWN, "own"), (SHARED, "shared")):
        path = folder / name
        if path.is_file():
            vectors: list[Vector] = json.loads(path.read_text())
            found += [pytest.param(v, id=f"{source}-{v['name']}") for v in vectors]
        elif source == "shared":
            why = f"the shared vectors ({SHARED}) are not here"
            assert not os.environ.get("CI"), why
            found.append(pytest.param({}, marks=pytest.mark.skip(reason=why), id="left-out"))
    return found


def data_of(vector: Vector) -> bytes:
    """The bytes of a vector."""
    if "hex" in vector:
        return bytes.fromhex(vector["hex"])
    return b"".join(bytes.fromhex(text) * times for text, times in vector["hex_repeat"])


def feedings(data: bytes, seed: str) -> Iterator[tuple[str, list[bytes]]]:
    """The same bytes whole, byte by byte and in random pieces, each way with its name."""
    yield "whole", [data]
    yield "byte by byte", [data[index : index + 1] for index in range(len(data))]
    generator = random.Random(seed)
    for attempt in range(3):
        pieces = []
        pos = 0
        while pos < len(data):
            size = generator.randint(1, 200)
            pieces.append(data[pos : pos + size])
            pos += size
        yield f"random pieces {attempt}", pieces


def plain(value: Vector) -> object:
    """The Python value of a tagged one, for the types that RTMP messages hold."""
    kind = value["t"]
    if kind in ("number", "double"):
        return float(value["v"])
    if kind in ("boolean", "string", "long-string", "integer"):
        return value["v"]
    if kind == "undefined":
        return pyamf.Undefined
    if kind == "null":
        return None
    if kind in ("object", "ecma-array"):
        return {key: plain(item) for key, item in value["props"]}
    if kind == "strict-array":
        return [plain(item) for item in value["items"]]
    if kind == "array" and not value["assoc"]:
        return [plain(item) for item in value["dense"]]
    if kind == "avmplus":
        return plain(value["v"])
    raise AssertionError(f"no plain form of {kind}")
