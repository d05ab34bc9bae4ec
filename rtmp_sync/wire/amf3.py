"""AMF3: bytes to values and back. What a value is: `wire.values`."""

from __future__ import annotations

import struct

from rtmp_sync.errors import LocalProtocolError, RemoteProtocolError
from rtmp_sync.wire.amf3_reader import Amf3Reader
from rtmp_sync.wire.amf3_writer import Amf3Writer
from rtmp_sync.wire.limits import DEFAULT, Limits
from rtmp_sync.wire.primitives import BytesWriter

__all__ = ["decode", "decode_at", "encode"]


def decode(data: bytes | bytearray | memoryview, limits: Limits = DEFAULT) -> list[object]:
    """All values of one message, back to back. Raises RemoteProtocolError and nothing else."""
    return decode_at(data if type(data) is bytes else bytes(data), 0, -1, limits)[0]


def decode_at(
    data: bytes, offset: int, count: int, limits: Limits = DEFAULT
) -> tuple[list[object], int]:
    """`count` values from `offset` on (-1: up to the end) in one reference context.

    Returns the values and the offset behind them. Raises RemoteProtocolError.
    """
    size = len(data)
    if size - offset > limits.max_bytes:
        raise RemoteProtocolError(f"AMF3: {size - offset} bytes are more than the limit")
    reader = Amf3Reader(data, offset, limits)
    depth = limits.max_depth
    found: list[object] = []
    try:
        while reader.pos < size if count < 0 else len(found) < count:
            reader.left -= 1
            found.append(reader.value(depth))
            if reader.left < 0:
                raise RemoteProtocolError("AMF3: too many values")
    except (IndexError, struct.error):
        raise RemoteProtocolError(
            "AMF3: the input ends inside a value, or a reference points to nothing"
        ) from None
    except RecursionError:  # our caller had used most of Python's stack already
        raise RemoteProtocolError("AMF3: nested too deep") from None
    except UnicodeDecodeError as error:
        raise RemoteProtocolError(f"AMF3: a string is not UTF-8: {error}") from None
    if reader.pos > size:
        raise RemoteProtocolError("AMF3: the input ends inside a value")
    return found, reader.pos


def encode(*values: object) -> bytes:
    """The values back to back in one reference context. Raises LocalProtocolError.

    bytes become a ByteArray, int beyond 29 bits a double (refused beyond its 53 bits), a dict an
    anonymous dynamic object, list/tuple/set an array, datetime (naive is UTC) a date.
    """
    out = BytesWriter()
    writer = Amf3Writer(out)
    try:
        for value in values:
            writer.value(value)
    except RecursionError:  # our caller had used most of Python's stack already
        raise LocalProtocolError("AMF3: nested too deep") from None
    except (struct.error, UnicodeEncodeError) as error:
        raise LocalProtocolError(f"AMF3: {error}") from error
    return out.getvalue()
