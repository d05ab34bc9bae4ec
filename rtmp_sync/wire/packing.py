"""msgpack as the replication link, the journal and the snapshots use it.

One place for the options, so that every reader and writer agrees: strings are UTF-8 with
lone surrogates let through (an AMF string may hold them), arrays become tuples, bytes stay
opaque, and whatever is malformed is a `RemoteProtocolError`.
"""

from __future__ import annotations

from typing import Any

import msgpack

from rtmp_sync.errors import RemoteProtocolError

__all__ = ["pack", "stream_unpacker", "unpack"]

_ERRORS = "surrogatepass"


def pack(value: object) -> bytes:
    """One value as msgpack."""
    packed: bytes = msgpack.packb(value, unicode_errors=_ERRORS)
    return packed


def unpack(data: bytes, what: str) -> Any:
    """The one value in `data`; `what` names it in the error."""
    try:
        return msgpack.unpackb(data, use_list=False, unicode_errors=_ERRORS)
    except (ValueError, TypeError, RecursionError) as error:
        raise RemoteProtocolError(f"{what}: not valid msgpack: {error}") from error


def stream_unpacker(max_buffer_bytes: int) -> Any:
    """A reader of values that arrive in pieces; same options as `unpack`."""
    return msgpack.Unpacker(
        use_list=False, unicode_errors=_ERRORS, max_buffer_size=max_buffer_bytes
    )
