"""Marks: the parts of a digest that can be added and taken away.

A digest is the sum, modulo 2^128, of one blake2b mark per entry. Replacing an entry costs
one subtraction and one addition, so the digest of a million slots is always at hand, and
two nodes that hold the same entries have the same sum whatever order they came in.
"""

from __future__ import annotations

import struct
from hashlib import blake2b
from typing import Final

from rtmp_sync.wire.packing import pack

__all__ = ["MASK", "finish_digest", "mark", "slot_mark", "tombstone_mark"]

MASK: Final = (1 << 128) - 1
_SLOT: Final = struct.Struct(">QI")


def mark(*parts: object) -> int:
    """The mark of an entry made of plain values."""
    return int.from_bytes(blake2b(pack(parts), digest_size=16).digest(), "little")


def slot_mark(key: str, value: bytes, version: int) -> int:
    """The mark of a slot: the hot one, so it is packed by hand."""
    name = key.encode("utf-8", "surrogatepass")
    entry = _SLOT.pack(version, len(name)) + name + value
    return int.from_bytes(blake2b(entry, digest_size=16).digest(), "little")


def tombstone_mark(key: str, version: int) -> int:
    return mark("deleted", key, version)


def finish_digest(total: int, line: tuple[int, int], epoch: int, history_id: str) -> bytes:
    """The digest of a state. total: the sum of the marks of its instances and sessions.
    line: of versions, (highest of what is gone, the last epoch that skipped some)."""
    return mark(total.to_bytes(16), line, epoch, history_id).to_bytes(16)
