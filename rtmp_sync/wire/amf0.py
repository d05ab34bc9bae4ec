"""AMF0: bytes to values and back. What a value is: `wire.values`."""

from __future__ import annotations

import struct

from rtmp_sync.errors import LocalProtocolError, RemoteProtocolError
from rtmp_sync.wire.amf0_reader import Amf0Reader
from rtmp_sync.wire.amf0_writer import Amf0Output
from rtmp_sync.wire.amf_scan import (
    HAS_AMF3,
    HAS_REFERENCE,
    REFERS_OUTSIDE,
    ScanContext,
    scan,
)
from rtmp_sync.wire.limits import DEFAULT, Limits
from rtmp_sync.wire.primitives import BytesWriter

__all__ = [
    "HAS_AMF3",
    "HAS_REFERENCE",
    "REFERS_OUTSIDE",
    "ScanContext",
    "decode",
    "decode_at",
    "encode",
    "encode_for",
    "scan",
]


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
        raise RemoteProtocolError(f"AMF0: {size - offset} bytes are more than the limit")
    reader = Amf0Reader(data, offset, limits)
    depth = limits.max_depth
    found: list[object] = []
    try:
        while reader.pos < size if count < 0 else len(found) < count:
            reader.left -= 1
            found.append(reader.value(depth))
            if reader.left < 0:
                raise RemoteProtocolError("AMF0: too many values")
    except (IndexError, struct.error):
        raise RemoteProtocolError(
            "AMF0: the input ends inside a value, or a reference points to nothing"
        ) from None
    except RecursionError:  # our caller had used most of Python's stack already
        raise RemoteProtocolError("AMF0: nested too deep") from None
    except UnicodeDecodeError as error:
        raise RemoteProtocolError(f"AMF0: a string is not UTF-8: {error}") from None
    if reader.pos > size:
        raise RemoteProtocolError("AMF0: the input ends inside a value")
    return found, reader.pos


def encode(*values: object) -> bytes:
    """The values back to back in one reference context. Raises LocalProtocolError.

    A dict becomes an object, MixedArray an ECMA array, list/tuple/set a strict array, int a
    double (refused beyond its 53 bits), datetime (naive is UTC) a date. What AMF0 has no form
    for (ByteArray, vectors, Dictionary, E4X XML, externalizable classes) goes behind 0x11.
    """
    return _encode(values, True)


def encode_for(*values: object, avmplus: bool) -> bytes:
    """Values for a receiver that understands 0x11 or not (see `amf0_writer` for what is
    written instead). Raises LocalProtocolError."""
    return _encode(values, avmplus)


def _encode(values: tuple[object, ...], avmplus: bool) -> bytes:
    out = BytesWriter()
    output = Amf0Output(out, avmplus)
    try:
        for value in values:
            output.value(value)
    except RecursionError:  # our caller had used most of Python's stack already
        raise LocalProtocolError("AMF0: nested too deep") from None
    except (struct.error, UnicodeEncodeError) as error:
        raise LocalProtocolError(f"AMF0: {error}") from error
    return out.getvalue()
