"""Property names as they were written before, so that each is converted once.

An application has a few hundred names and says them in every message. The memory is bounded:
long names are not kept, and when it is full it starts anew.
"""

from __future__ import annotations

from typing import Final

from rtmp_sync.errors import LocalProtocolError
from rtmp_sync.wire.u29 import u29

__all__ = ["WRITTEN_AMF0", "WRITTEN_AMF3", "text_of", "write_amf0", "write_amf3"]

_MOST: Final = 4096
_LONGEST: Final = 63  # bytes; up to here AMF3's length is one byte too

WRITTEN_AMF0: Final[dict[str, bytes]] = {}
"""Name -> u16 length and UTF-8. What is not in it: `write_amf0`."""

WRITTEN_AMF3: Final[dict[str, bytes]] = {}
"""Name -> U29 length and UTF-8; the empty name is never in it. What is not in it: `write_amf3`."""


def text_of(key: object) -> str:
    """A property's name: str, or an int in its decimal form."""
    if isinstance(key, str):
        return str(key)
    if isinstance(key, int) and not isinstance(key, bool):
        return str(int(key))
    raise LocalProtocolError(f"AMF: a property's name is a {type(key).__name__}, not a str")


def write_amf0(text: str) -> bytes:
    """A name as AMF0 writes it."""
    raw = text.encode()
    if len(raw) > 0xFFFF:
        raise LocalProtocolError("AMF0: a name is longer than 65535 bytes")
    written = len(raw).to_bytes(2, "big") + raw
    if len(raw) <= _LONGEST:
        if len(WRITTEN_AMF0) >= _MOST:
            WRITTEN_AMF0.clear()
        WRITTEN_AMF0[text] = written
    return written


def write_amf3(text: str) -> bytes:
    """A name as AMF3 writes it where it first appears; it must not be empty."""
    raw = text.encode()
    if len(raw) > _LONGEST:
        return u29(len(raw) << 1 | 1) + raw
    written = bytes((len(raw) << 1 | 1,)) + raw
    if len(WRITTEN_AMF3) >= _MOST:
        WRITTEN_AMF3.clear()
    WRITTEN_AMF3[text] = written
    return written
