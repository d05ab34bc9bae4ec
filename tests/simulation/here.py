"""Whose code runs at this instant: what the product's clock and random numbers answer to it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

from rtmp_sync.cluster import pace, pair_file, record
from rtmp_sync.coordinators import etcd, file, file_io
from rtmp_sync.server import turn
from rtmp_sync.state import snapshot
from tests.simulation.nas import Nas

__all__ = ["HERE", "product_on"]

# Of reading every 50 ms after a link's end: as long for the fast numbers as the 5 s for the
# default ones, and a third of all reads less.
HASTE_SECONDS = 1.5


class Here:
    """clock: of the process that runs now."""

    clock: Callable[[], float]
    chance: random.Random

    def now(self) -> float:
        return self.clock()

    def token_hex(self, count: int) -> str:
        return f"{self.chance.getrandbits(8 * count):x}"


HERE = Here()

# Pure, and every read asks for the same few:
_decode = lru_cache(maxsize=4096)(record.decode)
_parse = lru_cache(maxsize=256)(pair_file.parse)


@contextmanager
def product_on(nas: Nas, *, keep_records: int, chunk_bytes: int) -> Iterator[None]:
    """The modules that reach for the system reach for the simulated one."""
    places: list[tuple[object, str, object]] = [
        (file, "now", HERE.now),
        (file, "secrets", HERE),
        (file, "decode", _decode),
        (file, "parse", _parse),
        (etcd, "now", HERE.now),
        (etcd, "decode", _decode),
        (turn, "now", HERE.now),
        (pace, "HASTE_SECONDS", HASTE_SECONDS),
        (file_io, "os", nas),
        (file_io, "open", nas.open_file),
        (file_io, "KEEP_RECORDS", keep_records),
        (snapshot, "CHUNK_BYTES", chunk_bytes),
    ]
    missing = object()
    before = [(module, name, vars(module).get(name, missing)) for module, name, _ in places]
    for module, name, value in places:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in before:
            if value is missing:
                delattr(module, name)
            else:
                setattr(module, name, value)
