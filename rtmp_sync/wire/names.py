"""Property names as they were read and written before, so that each is converted once.

An application has a few hundred names and says them in every message, mostly in the same order.
The memory is bounded: long names are not kept, and when it is full it starts anew.
"""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Final, final

from rtmp_sync.errors import LocalProtocolError
from rtmp_sync.wire.primitives import read_i64_be
from rtmp_sync.wire.u29 import u29

if TYPE_CHECKING:
    from mypy_extensions import i64

__all__ = [
    "BEFORE_AMF0",
    "BEFORE_AMF3",
    "COMPILED",
    "EMPTY",
    "WRITTEN_AMF0",
    "WRITTEN_AMF3",
    "ReadName",
    "read_name",
    "text_of",
    "write_amf0",
    "write_amf3",
]

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


COMPILED: Final = type(write_amf3) is not FunctionType
"""Whether mypyc compiled this: then `stands_at` costs less than a slice, else much more."""


@final
class ReadName:
    """A name that was read before: its bytes with the length before them, `size` of them.

    `next` is what last came behind it: the first guess, which no bytes are equal to at first.
    """

    __slots__ = ("_head", "_shift", "_tail", "next", "raw", "size", "text")

    def __init__(self, raw: bytes, size: int, text: str) -> None:
        self.raw = raw
        self.size = size
        self.text = text
        self.next: ReadName = _NO_GUESS if size else self
        self._shift: i64 = 64 - 8 * size if 0 < size < 8 else 0
        self._head: i64 = read_i64_be(raw + bytes(8), 0) >> self._shift
        self._tail: i64 = read_i64_be(bytes(8) + raw, len(raw))

    def stands_at(self, data: bytes, pos: i64) -> bool:
        """Whether data holds its bytes there: up to 16 bytes are compared as two numbers."""
        size: i64 = self.size
        end = pos + size
        if size == 0:
            return False
        if size > 16 or end + 8 > len(data):
            return data[pos:end] == self.raw
        if read_i64_be(data, pos) >> self._shift != self._head:
            return False
        return size <= 8 or read_i64_be(data, end - 8) == self._tail


_NO_GUESS: Final = ReadName(b"never", 0, "")
BEFORE_AMF0: Final = ReadName(b"", 1, "")
"""What the first name of an AMF0 object comes behind."""
BEFORE_AMF3: Final = ReadName(b"", 1, "")
"""What the first name of an AMF3 object comes behind."""
EMPTY: Final = ReadName(b"", 1, "")
"""The empty name. It is never a guess: the end of an object begins with the same bytes."""

_READ: Final[dict[bytes, ReadName]] = {}  # AMF0's begin with 0, AMF3's with their odd length


def read_name(before: ReadName, raw: bytes, prefix: int) -> ReadName:
    """The name in `raw` behind a length of `prefix` bytes, when the guess behind `before` was
    wrong. Not for the empty name, whose bytes end an object. Raises UnicodeDecodeError."""
    name = _READ.get(raw)
    if name is None:
        name = ReadName(raw, len(raw), raw[prefix:].decode())
        if len(raw) > prefix + _LONGEST:
            return name
        if len(_READ) >= _MOST:
            for old in (*_READ.values(), BEFORE_AMF0, BEFORE_AMF3, EMPTY):
                old.next = _NO_GUESS  # else chains of old names would outlive the memory
            _READ.clear()
        _READ[raw] = name
    before.next = name
    return name
