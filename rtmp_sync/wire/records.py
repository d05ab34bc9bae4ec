"""The messages of the replication link and the records of the journal file, as bytes.

A message of the link is the payload of one RTMP message of type REPLICATION:

    before AUTH    msgpack [kind, field, field, …]                  HELLO, CHALLENGE, AUTH, BYE
    after AUTH     msgpack [link_seq, epoch, kind, body, mac]       everything; body: [field, …]
                   mac = HMAC-SHA256(session key, lane u8, link_seq u64, epoch u64, kind u8, body)
                         truncated to 16 bytes

A record of the journal file is one batch:

    length u32 | crc32 u32 | first seq u64 | count u32 | msgpack array of Changes
                             `---------------- crc32 and length are over these ----'

Integers are big-endian. `docs: replication.md`, the table of messages.
"""

from __future__ import annotations

import hmac
import struct
import zlib
from typing import Any, Final, NamedTuple

from rtmp_sync.errors import LocalProtocolError, RemoteProtocolError
from rtmp_sync.wire.packing import pack, unpack
from rtmp_sync.wire.refusals import LinkRefused, Reason

# Bigger than this and the peer does not speak our protocol: snapshots come in 64 KiB chunks.
MAX_MESSAGE_BYTES: Final = 1024 * 1024
MAC_BYTES: Final = 16
NONCE_BYTES: Final = 32

# Chunk streams: what is urgent never queues behind bulk.
LANE_URGENT: Final = 8
LANE_DELTA: Final = 9
LANE_SNAPSHOT: Final = 10
LANE_MEDIA: Final = 11
LANES: Final = (LANE_URGENT, LANE_DELTA, LANE_SNAPSHOT, LANE_MEDIA)


class Hello(NamedTuple):
    """Dialer to acceptor, first of all. key_id names the secret, see `cluster.link`."""

    protocol_min: int
    protocol_max: int
    pair_id: str
    node_id: str
    boot_id: str
    nonce: bytes
    key_id: str


class Challenge(NamedTuple):
    protocol: int
    node_id: str
    boot_id: str
    nonce: bytes
    mac: bytes


class Auth(NamedTuple):
    mac: bytes


class Role(NamedTuple):
    """copy_epoch and copy_seq are the sender's position; state is a name of failover.md."""

    epoch: int
    holder: str
    gate_open: bool
    serving: bool
    state: str
    copy_epoch: int
    copy_seq: int


class SyncRequest(NamedTuple):
    """history_id "?" asks for a full copy. The answers carry the request's number."""

    request_id: int
    history_id: str
    copy_epoch: int
    seq: int


class SyncContinue(NamedTuple):
    request_id: int
    history_id: str
    from_seq: int


class SyncFull(NamedTuple):
    """A snapshot follows. previous_id "": there was no history before this one."""

    request_id: int
    history_id: str
    previous_id: str
    previous_end: int
    copy_epoch: int
    cut_seq: int
    objects: int
    forgotten_highest: int
    digest: bytes


class SnapshotChunk(NamedTuple):
    request_id: int
    number: int
    data: bytes


class SnapshotEnd(NamedTuple):
    request_id: int
    chunks: int
    digest: bytes


class Delta(NamedTuple):
    first_seq: int
    changes: bytes


class Ack(NamedTuple):
    applied_seq: int


class Heartbeat(NamedTuple):
    """copy_epoch and head_seq are the sender's position.

    Times are seconds: lb_checks_age since the load balancer last looked (-1: never), sent_at
    by the sender's clock.
    """

    copy_epoch: int
    head_seq: int
    gate_open: bool
    healthy: bool
    lb_checks_age: float
    loop_lag: float
    sent_at: float


class PromiseRequest(NamedTuple):
    request_id: int
    epoch: int


class Promise(NamedTuple):
    """valid_ms 0: refused."""

    request_id: int
    valid_ms: int


class Fence(NamedTuple):
    epoch: int
    holder: str


class Switchover(NamedTuple):
    """step: "prepare", "ready", "abort" or "done"."""

    step: str
    switch_id: str
    final_seq: int
    deadline_seconds: float
    epoch: int


class DigestRequest(NamedTuple):
    seq: int


class DigestResponse(NamedTuple):
    """digest b"": the asked seq lies inside a batch and was passed; ask again."""

    seq: int
    digest: bytes


class Bye(NamedTuple):
    code: str
    text: str


class Replay(NamedTuple):
    """A call that the active ran, for the standby to run too. Since version 2.

    seq: of the last Change that the call made, or the head before it when it made none; the
    record follows it on the lane. client: who called, arguments: with what; opaque here.
    """

    seq: int
    scope: str
    client: bytes
    method: str
    arguments: bytes


class StoreNonce(NamedTuple):
    """What the sender has just put into the store: whoever reads it from now on sees it there,
    unless its reads are stale; and whether the sender's own reads are. Since version 3."""

    nonce: str
    stale: bool


class Media(NamedTuple):
    """A message of a live stream that the active serves, so that the standby can show it at once
    after a takeover. Since version 4.

    type: 8, 9 or 18, as RTMP's; 0: what is kept of the stream counts no longer.
    """

    scope: str
    stream: str
    type: int
    timestamp: int
    payload: bytes


Record = (
    Hello
    | Challenge
    | Auth
    | Role
    | SyncRequest
    | SyncContinue
    | SyncFull
    | SnapshotChunk
    | SnapshotEnd
    | Delta
    | Ack
    | Heartbeat
    | PromiseRequest
    | Promise
    | Fence
    | Switchover
    | DigestRequest
    | DigestResponse
    | Bye
    | Replay
    | StoreNonce
    | Media
)

# Kind, record, the types of its fields. Numbers are the protocol's: never given twice.
_TABLE: Final[tuple[tuple[int, type[Record], tuple[type, ...]], ...]] = (
    (1, Hello, (int, int, str, str, str, bytes, str)),
    (2, Challenge, (int, str, str, bytes, bytes)),
    (3, Auth, (bytes,)),
    (4, Role, (int, str, bool, bool, str, int, int)),
    (5, SyncRequest, (int, str, int, int)),
    (6, SyncContinue, (int, str, int)),
    (7, SyncFull, (int, str, str, int, int, int, int, int, bytes)),
    (8, SnapshotChunk, (int, int, bytes)),
    (9, SnapshotEnd, (int, int, bytes)),
    (10, Delta, (int, bytes)),
    (11, Ack, (int,)),
    (12, Heartbeat, (int, int, bool, bool, float, float, float)),
    (13, PromiseRequest, (int, int)),
    (14, Promise, (int, int)),
    (15, Fence, (int, str)),
    (16, Switchover, (str, str, int, float, int)),
    (17, DigestRequest, (int,)),
    (18, DigestResponse, (int, bytes)),
    (19, Bye, (str, str)),
    (20, Replay, (int, str, bytes, str, bytes)),
    (21, StoreNonce, (str, bool)),
    (22, Media, (str, str, int, int, bytes)),
)
_BY_KIND: Final = {kind: (record, types) for kind, record, types in _TABLE}
_KIND_OF: Final = {record: kind for kind, record, _ in _TABLE}
_LANE_OF: Final[dict[type[Record], int]] = {
    SyncFull: LANE_SNAPSHOT,
    SnapshotChunk: LANE_SNAPSHOT,
    SnapshotEnd: LANE_SNAPSHOT,
    SyncContinue: LANE_DELTA,
    Delta: LANE_DELTA,
    DigestRequest: LANE_DELTA,  # it speaks of a place between two deltas
    Replay: LANE_DELTA,  # it comes after what the call changed
    Media: LANE_MEDIA,
}
# The protocol version that a kind came with; all others are of version 1.
_SINCE: Final[dict[type[Record], int]] = {Replay: 2, StoreNonce: 3, Media: 4}

_MAC_HEAD: Final = struct.Struct(">BQQB")
_DISK_HEAD: Final = struct.Struct(">II")
_DISK_BATCH: Final = struct.Struct(">QI")
# Above the largest turn: 4,096 waiting Changes hold back writers long before.
MAX_DISK_RECORD_BYTES: Final = 256 * 1024 * 1024


def lane_of(record: Record) -> int:
    """The chunk stream that a record travels on."""
    return _LANE_OF.get(type(record), LANE_URGENT)


def since(record: type[Record]) -> int:
    """The first protocol version that knows this kind of record."""
    return _SINCE.get(record, 1)


def encode_plain(record: Record) -> bytes:
    """A message before AUTH."""
    return pack((_KIND_OF[type(record)], *record))


def decode_plain(payload: bytes) -> Record:
    """A message before AUTH; raises RemoteProtocolError."""
    items = _array(payload, "message before AUTH")
    if not items:
        raise RemoteProtocolError("message before AUTH: empty")
    return _record(items[0], items[1:])


class Envelope(NamedTuple):
    """A message after AUTH whose mac was right."""

    link_seq: int
    epoch: int
    record: Record


def encode_envelope(record: Record, lane: int, link_seq: int, epoch: int, key: bytes) -> bytes:
    """Raises LocalProtocolError when the record is above 1 MiB."""
    kind = _KIND_OF[type(record)]
    body = pack(tuple(record))
    payload = pack((link_seq, epoch, kind, body, _mac(key, lane, link_seq, epoch, kind, body)))
    if len(payload) > MAX_MESSAGE_BYTES:
        raise LocalProtocolError(f"a replication message of {len(payload)} bytes")
    return payload


def decode_envelope(payload: bytes, lane: int, key: bytes) -> Envelope:
    """Raises RemoteProtocolError: nothing of a message without a right mac is looked at."""
    link_seq, epoch, kind, body, mac = _sealed(payload)
    if not hmac.compare_digest(mac, _mac(key, lane, link_seq, epoch, kind, body)):
        raise LinkRefused(Reason.BAD_MAC, "envelope: bad_mac")
    return Envelope(link_seq, epoch, _record(kind, _array(body, "message")))


def encode_disk_record(first_seq: int, count: int, data: bytes) -> bytes:
    """One batch for the journal file."""
    content = _DISK_BATCH.pack(first_seq, count) + data
    return _DISK_HEAD.pack(len(content), zlib.crc32(content)) + content


def decode_disk_record(data: bytes, offset: int) -> tuple[int, int, bytes, int] | None:
    """(first seq, count, batch, end) of the record at `offset`; None: it is torn or wrong."""
    start = offset + _DISK_HEAD.size
    if start > len(data):
        return None
    length, checksum = _DISK_HEAD.unpack_from(data, offset)
    end = start + length
    if not _DISK_BATCH.size <= length <= MAX_DISK_RECORD_BYTES or end > len(data):
        return None
    content = data[start:end]
    if zlib.crc32(content) != checksum:
        return None
    first_seq, count = _DISK_BATCH.unpack_from(content)
    return first_seq, count, content[_DISK_BATCH.size :], end


def _mac(key: bytes, lane: int, link_seq: int, epoch: int, kind: int, body: bytes) -> bytes:
    head = _MAC_HEAD.pack(lane, link_seq, epoch, kind)
    return hmac.digest(key, head + body, "sha256")[:MAC_BYTES]


def _sealed(payload: bytes) -> tuple[int, int, int, bytes, bytes]:
    """The parts of an envelope; what is none has no right mac either."""
    try:
        items = _array(payload, "envelope")
    except LinkRefused:
        raise  # too large
    except RemoteProtocolError as error:
        raise LinkRefused(Reason.BAD_MAC, f"bad_mac: {error}") from None
    if [type(item) for item in items] != [int, int, int, bytes, bytes]:
        raise LinkRefused(Reason.BAD_MAC, "bad_mac: not an envelope")
    link_seq, epoch, kind, body, mac = items
    if not (0 <= link_seq < 2**64 and 0 <= epoch < 2**64 and 0 <= kind < 256):
        raise LinkRefused(Reason.BAD_MAC, "bad_mac: a number of the envelope is out of range")
    return link_seq, epoch, kind, body, mac


def _array(data: bytes, what: str) -> tuple[Any, ...]:
    if len(data) > MAX_MESSAGE_BYTES:
        raise LinkRefused(Reason.TOO_LARGE, f"{what}: {len(data)} bytes are above the limit")
    items: Any = unpack(data, what)
    if type(items) is not tuple:
        raise RemoteProtocolError(f"{what}: not an array")
    return items


def _record(kind: object, fields: tuple[Any, ...]) -> Record:
    known = _BY_KIND.get(kind) if type(kind) is int else None
    if known is None:
        raise LinkRefused(Reason.UNKNOWN_KIND, f"message of unknown kind {kind!r}")
    make, types = known
    if len(fields) != len(types):
        raise RemoteProtocolError(f"{make.__name__}: {len(fields)} fields")
    for value, expected in zip(fields, types, strict=True):
        if type(value) is not expected or (type(value) is int and value < 0):
            raise RemoteProtocolError(f"{make.__name__}: malformed field")
    return make(*fields)
