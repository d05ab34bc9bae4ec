"""The bytes of messages for one peer.

What is made here depends on the chunk size and the object encoding agreed on, and on nothing
sent before, so it may wait in any queue.
"""

from __future__ import annotations

from rtmp_sync.protocol import replies
from rtmp_sync.wire import amf0, messages
from rtmp_sync.wire.chunk import encode_message
from rtmp_sync.wire.constants import (
    AGGREGATE,
    AUDIO,
    COMMAND,
    COMMAND_AMF3,
    CSID_AUDIO,
    CSID_COMMAND,
    CSID_CONTROL,
    CSID_REPLICATION,
    CSID_SHARED_OBJECT,
    CSID_STREAM,
    CSID_VIDEO,
    DATA,
    DATA_AMF3,
    DEFAULT_CHUNK_SIZE,
    REPLICATION,
    SHARED_OBJECT,
    SHARED_OBJECT_AMF3,
    USER_CONTROL,
    VIDEO,
)

__all__ = ["Composer"]

_CSIDS = {
    AUDIO: CSID_AUDIO,
    VIDEO: CSID_VIDEO,
    AGGREGATE: CSID_VIDEO,
    DATA: CSID_STREAM,
    DATA_AMF3: CSID_STREAM,
    SHARED_OBJECT: CSID_SHARED_OBJECT,
    SHARED_OBJECT_AMF3: CSID_SHARED_OBJECT,
    REPLICATION: CSID_REPLICATION,
}


class Composer:
    """chunk_size: of what we send. object_encoding: 0, or 3 if the peer reads AMF3 too."""

    def __init__(self) -> None:
        self.chunk_size = DEFAULT_CHUNK_SIZE
        self.object_encoding = 0

    def message(
        self, type: int, payload: bytes, *, msid: int = 0, timestamp: int = 0, csid: int = 0
    ) -> bytes:
        """The bytes of a message of any type but 1 to 6. csid 0: the usual one of the type."""
        if csid == 0:
            csid = _CSIDS.get(type) or (CSID_STREAM if msid else CSID_COMMAND)
        return encode_message(type, msid, timestamp, payload, csid, self.chunk_size)

    def command(self, name: str, transaction: float, *values: object, msid: int = 0) -> bytes:
        """The bytes of a command. values: command object first (see protocol.replies)."""
        return self._command(self.encode_values(name, float(transaction), *values), msid)

    def raw_command(self, name: str, transaction: float, raw: bytes, *, msid: int = 0) -> bytes:
        """The same with `raw` AMF0 bytes of the values, which must refer to nothing outside."""
        return self._command(amf0.encode(name, float(transaction)) + raw, msid)

    def _command(self, payload: bytes, msid: int) -> bytes:
        type = COMMAND
        if self.object_encoding == 3:
            type = COMMAND_AMF3
            payload = b"\0" + payload
        csid = CSID_STREAM if msid else CSID_COMMAND
        return encode_message(type, msid, 0, payload, csid, self.chunk_size)

    def encode_values(self, *values: object) -> bytes:
        """AMF0 bytes that this peer can read: without AMF3 if it did not ask for it."""
        return amf0.encode_for(*values, avmplus=self.object_encoding == 3)

    def plain_command(self, name: str, transaction: float, values: replies.Values) -> bytes:
        """AMF0 and type 20 whatever was agreed on: connect and its answer."""
        payload = amf0.encode_for(name, float(transaction), *values, avmplus=False)
        return encode_message(COMMAND, 0, 0, payload, CSID_COMMAND, self.chunk_size)

    def status(
        self, msid: int, level: str, code: str, description: str = "", **more: object
    ) -> bytes:
        """onStatus on a message stream."""
        return self.command(
            "onStatus", 0, *replies.status(level, code, description, **more), msid=msid
        )

    def user_control(self, event: int, value: int = 0, extra: int = 0) -> bytes:
        """A user control message such as STREAM_BEGIN, as host's bytes: it keeps its place."""
        payload = messages.encode_user_control(event, value, extra)
        return encode_message(USER_CONTROL, 0, 0, payload, CSID_CONTROL, self.chunk_size)
