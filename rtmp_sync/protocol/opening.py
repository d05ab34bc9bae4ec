"""What is said first on a connection: nearly the same to all, so it is encoded once.

    sizes              Window Acknowledgement Size, of a server Set Peer Bandwidth, Set Chunk Size
    connect accepted   StreamBegin 0, _result of connect, onBWDone

Thousands of clients may come at once. Some of the keys are theirs to choose, so few are kept.
"""

from __future__ import annotations

from functools import lru_cache

from rtmp_sync.protocol import replies
from rtmp_sync.protocol.composer import Composer
from rtmp_sync.wire import messages
from rtmp_sync.wire.chunk import encode_message
from rtmp_sync.wire.constants import (
    CSID_CONTROL,
    DEFAULT_CHUNK_SIZE,
    SET_CHUNK_SIZE,
    SET_PEER_BANDWIDTH,
    STREAM_BEGIN,
    WINDOW_ACKNOWLEDGEMENT_SIZE,
)

__all__ = ["connect_accepted", "control_message", "sizes"]


@lru_cache(maxsize=64)
def sizes(window: int, chunk_size: int, *, of_server: bool) -> bytes:
    """What each end announces of itself, in bytes."""
    said = [(WINDOW_ACKNOWLEDGEMENT_SIZE, messages.encode_u32(window))]
    if of_server:
        said.append((SET_PEER_BANDWIDTH, messages.encode_peer_bandwidth(window)))
    said.append((SET_CHUNK_SIZE, messages.encode_u32(chunk_size)))
    return b"".join(control_message(type, payload) for type, payload in said)


@lru_cache(maxsize=64)
def connect_accepted(
    transaction: float, capabilities: frozenset[str], object_encoding: int, chunk_size: int
) -> bytes:
    """capabilities: keys of E-RTMP that the client has named."""
    composer = Composer()
    composer.object_encoding, composer.chunk_size = object_encoding, chunk_size
    values = replies.connect_success(capabilities, object_encoding)
    return (
        composer.user_control(STREAM_BEGIN, 0)
        + composer.plain_command("_result", transaction, values)
        + composer.command("onBWDone", 0, None)
    )


def control_message(type: int, payload: bytes) -> bytes:
    """A message of at most 10 bytes, which no chunk size cuts."""
    return encode_message(type, 0, 0, payload, CSID_CONTROL, DEFAULT_CHUNK_SIZE)
