"""Change: the only thing that is ever replicated, journalled and folded into the state.

Every Change has the same six members, so a batch is one msgpack array of arrays. What they
mean depends on the kind:

| kind             | scope    | name          | key         | value        | version      |
|------------------|----------|---------------|-------------|--------------|--------------|
| OBJECT_CREATED   | instance | object        |             |              | its first    |
| SLOT_SET         | instance | object        | slot        | AMF bytes    | the object's |
| SLOT_DELETED     | instance | object        | slot        |              | the object's |
| CLEARED          | instance | object        |             |              | the object's |
| OBJECT_GONE      | instance | object        |             |              |              |
| CLIENT_JOINED    | instance | client id     |             | client info  |              |
| CLIENT_LEFT      | instance | client id     |             |              |              |
| INSTANCE_STARTED | instance |               |             |              |              |
| INSTANCE_STOPPED | instance |               |             |              |              |
| CALL_BEGUN       | instance | lowest open   | session hex | method       | call number  |
| CALL_FINISHED    |          |               | session hex | result       | call number  |
| SESSION_GONE     |          |               | session hex |              |              |
| EPOCH_STARTED    |          | history id    | boot id     | b"lossy"/b"" | epoch        |

An object's name carries its namespace: "P:" persistent, "T:" temporary, "V:" application
variables. A scope is "app/instance". `docs: replication.md`, "Position and identity".
"""

from __future__ import annotations

from typing import Final, NamedTuple

from rtmp_sync.errors import LocalProtocolError, RemoteProtocolError
from rtmp_sync.wire.packing import pack, unpack

OBJECT_CREATED: Final = 1
SLOT_SET: Final = 2
SLOT_DELETED: Final = 3
CLEARED: Final = 4
OBJECT_GONE: Final = 5
CLIENT_JOINED: Final = 6
CLIENT_LEFT: Final = 7
INSTANCE_STARTED: Final = 8
INSTANCE_STOPPED: Final = 9
CALL_BEGUN: Final = 10
CALL_FINISHED: Final = 11
SESSION_GONE: Final = 12
EPOCH_STARTED: Final = 13

_LAST_KIND: Final = EPOCH_STARTED

LOSSY: Final = b"lossy"

# A replication message is at most 1 MiB; one Change must fit with its envelope and names.
MAX_VALUE_BYTES: Final = 768 * 1024
# Three of them, four bytes a character, beside the value; each is below AMF's 65,535 bytes.
MAX_NAME_CHARS: Final = 16 * 1024 - 1


class Change(NamedTuple):
    kind: int
    scope: str
    name: str
    key: str
    value: bytes
    version: int


def check_size(change: Change) -> None:
    """Raise LocalProtocolError when the Change could not be carried by the link."""
    if len(change.value) > MAX_VALUE_BYTES:
        raise LocalProtocolError(
            f"a value of {len(change.value)} bytes is above the limit of {MAX_VALUE_BYTES}"
        )
    if max(len(change.scope), len(change.name), len(change.key)) > MAX_NAME_CHARS:
        raise LocalProtocolError(f"a name is longer than {MAX_NAME_CHARS} characters")


def encode_changes(changes: list[Change]) -> bytes:
    return pack(changes)


def decode_changes(data: bytes) -> list[Change]:
    """The Changes of a batch, every member checked; raises RemoteProtocolError."""
    items = unpack(data, "batch")
    if type(items) is not tuple:
        raise RemoteProtocolError("batch: not an array of changes")
    return [_checked(item) for item in items]


def _checked(item: object) -> Change:
    if type(item) is not tuple or len(item) != 6:
        raise RemoteProtocolError("batch: a change has six members")
    kind, scope, name, key, value, version = item
    if (
        type(kind) is not int
        or not 1 <= kind <= _LAST_KIND
        or type(scope) is not str
        or type(name) is not str
        or type(key) is not str
        or type(value) is not bytes
        or type(version) is not int
        or version < 0
        or len(value) > MAX_VALUE_BYTES
    ):
        raise RemoteProtocolError(f"batch: malformed change of kind {kind!r}")
    if kind == CALL_BEGUN and not (name.isascii() and name.isdigit()):
        raise RemoteProtocolError("batch: a call begun names the lowest open call number")
    return Change(kind, scope, name, key, value, version)
