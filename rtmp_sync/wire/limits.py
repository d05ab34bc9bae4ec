"""How much of a peer's AMF is read before the peer is taken for hostile."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEFAULT", "MAX_DEPTH", "STORED", "Limits"]

MAX_DEPTH = 256
"""No limit on nesting may be set above this, and nothing is written deeper. The codecs recurse
two to four times per level, which fits on any stack; real values stay under 20 levels."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one message's values; each excess raises RemoteProtocolError.

    max_depth: containers inside each other, the AMF0 to AMF3 switch and externalizable
        wrappers counted too.
    max_values: values of all kinds in one message. While containers are open the count may run
        to twice this before it is noticed; it is exact at the end of each container.
    max_bytes: length of the message.
    max_byte_arrays: pyamf's ByteArray brings a codec of its own along, about 1.7 KB for two
        bytes on the wire, so they have a count of their own.
    """

    max_depth: int = 64
    max_values: int = 100_000
    max_bytes: int = 4 * 1024 * 1024
    max_byte_arrays: int = 4096

    def __post_init__(self) -> None:
        if not 0 < self.max_depth <= MAX_DEPTH:
            raise ValueError(f"max_depth = {self.max_depth}: must be 1 to {MAX_DEPTH}")


DEFAULT = Limits()

STORED = Limits(max_depth=MAX_DEPTH, max_values=1 << 30, max_bytes=1 << 30, max_byte_arrays=1 << 30)
"""For values that were checked when they came in, or that an application made: the limits of a
configuration may be wider than `DEFAULT`."""
