"""How much, and how long, a peer may make us wait and hold."""

from __future__ import annotations

from dataclasses import dataclass

from rtmp_sync.wire.limits import DEFAULT, Limits

__all__ = ["ConnectionLimits"]


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits of one connection; each excess raises RemoteProtocolError. Times in seconds.

    max_message_bytes: longest message (nginx-rtmp takes 1 MiB, gortmplib 10).
    max_partial_bytes: unfinished messages of all chunk streams together.
    max_chunk_streams: chunk streams with an unfinished message at one time.
    max_streams: message streams that exist at one time.
    max_protocol_bytes: answers to control messages (pings, windows) that wait to be sent.
    values: of the AMF values in one message.
    handshake_timeout: for the handshake, and again for the connect command behind it.
    message_timeout: of silence inside a message.
    ping_interval: of silence before a ping is sent; 0: never. ping_timeout: for any sign of life.
    fmt3_repeats_timestamp: see wire.chunk.ChunkReader.
    """

    max_message_bytes: int = 4 * 1024 * 1024
    max_partial_bytes: int = 8 * 1024 * 1024
    max_chunk_streams: int = 64
    max_streams: int = 256
    max_protocol_bytes: int = 1024 * 1024
    values: Limits = DEFAULT
    handshake_timeout: float = 5.0
    message_timeout: float = 10.0
    ping_interval: float = 30.0
    ping_timeout: float = 30.0
    fmt3_repeats_timestamp: bool = True
