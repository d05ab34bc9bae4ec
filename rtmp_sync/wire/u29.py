"""AMF3's unsigned integers of 29 bits: 7 bits in each of up to three bytes, 8 in the fourth."""

from __future__ import annotations

from typing import Final

from rtmp_sync.errors import LocalProtocolError

__all__ = ["u29"]


def _u29_of(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    if number < 0x4000:
        return bytes((number >> 7 | 0x80, number & 0x7F))
    if number < 0x200000:
        return bytes((number >> 14 | 0x80, number >> 7 & 0x7F | 0x80, number & 0x7F))
    if number < 0x20000000:
        return bytes(
            (
                number >> 22 | 0x80,
                number >> 15 & 0x7F | 0x80,
                number >> 8 & 0x7F | 0x80,
                number & 0xFF,
            )
        )
    raise LocalProtocolError(f"AMF3: {number} does not fit 29 bits")


_WRITTEN: Final[list[bytes]] = [_u29_of(number) for number in range(0x4000)]


def u29(number: int) -> bytes:
    """1 to 4 bytes; raises LocalProtocolError for what does not fit. number: not negative."""
    return _WRITTEN[number] if number < 0x4000 else _u29_of(number)
