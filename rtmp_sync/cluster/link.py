"""The replication link as a machine without I/O: proof of the secret, envelopes, order.

    dialer                          acceptor
    HELLO        ->
                 <-                 CHALLENGE   (proves the secret)
    AUTH         ->                             (proves the secret)
    envelopes   <->                 envelopes

`receive_message` -> `records_received` is what the peer said; `send` -> `messages_to_send`
is what to put on the wire, as (lane, payload). Any error ends the link: send what is left
in `messages_to_send`, then close.

Always holds: nothing is delivered before both sides proved the secret; per direction and
lane, records are delivered once and in the order in which they were sent.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NamedTuple, NoReturn

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.wire.packing import pack
from rtmp_sync.wire.records import (
    LANE_URGENT,
    LANES,
    NONCE_BYTES,
    Auth,
    Bye,
    Challenge,
    Hello,
    Record,
    decode_envelope,
    decode_plain,
    encode_envelope,
    encode_plain,
    lane_of,
    since,
)
from rtmp_sync.wire.refusals import LinkLost, LinkRefused, Reason

__all__ = ["PROTOCOLS", "Link", "LinkIdentity", "Protocols", "end_said_by", "key_id"]


class Protocols(NamedTuple):
    """The versions that a node speaks, both ends included. Two in a row at least, so that a pair
    can be upgraded node by node.

    1  the first
    2  Replay
    3  StoreNonce
    4  Media
    """

    min: int
    max: int


PROTOCOLS: Final = Protocols(1, 4)

_SAID_UNPROVEN: Final = (Reason.BAD_SECRET, Reason.OTHER_PAIR, Reason.OTHER_PROTOCOL)


@dataclass(frozen=True, slots=True)
class LinkIdentity:
    """Who a node is on the link. boot_id is new at each start of its process."""

    pair_id: str
    node_id: str
    boot_id: str


class Link:
    """One connection's worth of link.

    secrets: the pair's; a rotation has two, of which the acceptor takes either and the dialer
    offers the first. nonce: 32 random bytes, never used before. protocols: what this node
    speaks; `protocol` is what both do, the highest, once the link is established.
    """

    def __init__(
        self,
        me: LinkIdentity,
        secrets: Sequence[bytes],
        *,
        dials: bool,
        nonce: bytes,
        protocols: Protocols = PROTOCOLS,
    ) -> None:
        assert len(nonce) == NONCE_BYTES
        self.me = me
        self.dials = dials
        self.peer: LinkIdentity | None = None
        self.protocol = 0
        self.established = False
        self.epoch = 0  # of ours, into every envelope
        self.on_refused: Callable[[Reason, str], None] = lambda reason, text: None
        self._protocols = protocols
        self._secrets = {key_id(secret): secret for secret in secrets}
        self._secret = secrets[0]
        self._nonce = nonce
        self._hello = b""
        self._transcript = b""
        self._send_key = b""
        self._receive_key = b""
        self._next_out = dict.fromkeys(LANES, 0)
        self._next_in = dict.fromkeys(LANES, 0)
        self._outgoing: list[tuple[int, bytes]] = []
        self._records: list[tuple[int, Record]] = []
        if dials:
            self._say_hello()

    def receive_message(self, lane: int, payload: bytes) -> None:
        """Take one message; raises RemoteProtocolError (LinkRefused), and the link is dead."""
        if self.established:
            self._receive_envelope(lane, payload)
            return
        record = decode_plain(payload)
        if isinstance(record, Bye) and self.dials:
            raise _refusal_said_by(record)
        if isinstance(record, Challenge) and self.dials:
            self._receive_challenge(record)
        elif isinstance(record, Hello) and not self.dials and not self._hello:
            self._receive_hello(record, payload)
        elif isinstance(record, Auth) and not self.dials and self._hello:
            self._receive_auth(record)
        else:
            raise LinkRefused(Reason.OUT_OF_TURN, f"{type(record).__name__} out of turn")

    def records_received(self) -> list[tuple[int, Record]]:
        """(the sender's epoch, record) since the last call."""
        records = self._records
        self._records = []
        return records

    def knows(self, record: type[Record]) -> bool:
        """Whether the version agreed on has this kind of record."""
        return since(record) <= self.protocol

    def send(self, record: Record) -> None:
        """Only once established. Raises LocalProtocolError for a record above 1 MiB."""
        assert self.knows(type(record))
        lane = lane_of(record)
        payload = encode_envelope(record, lane, self._next_out[lane], self.epoch, self._send_key)
        self._next_out[lane] += 1
        self._outgoing.append((lane, payload))

    def messages_to_send(self) -> list[tuple[int, bytes]]:
        """(lane, payload) since the last call."""
        messages = self._outgoing
        self._outgoing = []
        return messages

    def _receive_envelope(self, lane: int, payload: bytes) -> None:
        if lane not in self._next_in:
            raise LinkRefused(Reason.OTHER_MESSAGE, f"a message on chunk stream {lane}")
        envelope = decode_envelope(payload, lane, self._receive_key)
        expected = self._next_in[lane]
        if envelope.link_seq < expected:
            self.on_refused(Reason.REPLAYED, f"message {envelope.link_seq} of lane {lane} again")
            return
        if envelope.link_seq > expected:
            text = f"gap: message {envelope.link_seq} instead of {expected}"
            raise LinkRefused(Reason.GAP, text)
        kind = type(envelope.record)
        if kind in (Hello, Challenge, Auth):
            raise LinkRefused(Reason.OUT_OF_TURN, f"{kind.__name__} after AUTH")
        if not self.knows(kind):
            text = f"{kind.__name__} is unknown in version {self.protocol}"
            raise LinkRefused(Reason.UNKNOWN_KIND, text)
        self._next_in[lane] = expected + 1
        self._records.append((envelope.epoch, envelope.record))

    def _say_hello(self) -> None:
        me = self.me
        hello = Hello(
            *self._protocols,
            me.pair_id,
            me.node_id,
            me.boot_id,
            self._nonce,
            key_id(self._secret),
        )
        self._hello = encode_plain(hello)
        self._outgoing.append((LANE_URGENT, self._hello))

    def _receive_hello(self, hello: Hello, payload: bytes) -> None:
        if hello.pair_id != self.me.pair_id:
            text = f"the pair here is {self.me.pair_id!r}, not {hello.pair_id!r}"
            self._refuse(Reason.OTHER_PAIR, text)
        mine = self._protocols
        self.protocol = min(mine.max, hello.protocol_max)
        if self.protocol < max(mine.min, hello.protocol_min):
            theirs = f"{hello.protocol_min} to {hello.protocol_max}"
            text = f"the protocol here is {mine.min} to {mine.max}, not {theirs}"
            self._refuse(Reason.OTHER_PROTOCOL, text)
        secret = self._secrets.get(hello.key_id)
        if secret is None or len(hello.nonce) != NONCE_BYTES:
            self._refuse(Reason.BAD_SECRET, "the secret of the two nodes differs")
        self._secret = secret
        self._hello = payload
        self.peer = LinkIdentity(hello.pair_id, hello.node_id, hello.boot_id)
        said = (self.protocol, self.me.node_id, self.me.boot_id, self._nonce)
        self._begin(hello.nonce, self._nonce, said)
        challenge = Challenge(*said, self._proof(b"acceptor"))
        self._outgoing.append((LANE_URGENT, encode_plain(challenge)))

    def _receive_challenge(self, challenge: Challenge) -> None:
        if len(challenge.nonce) != NONCE_BYTES:
            raise LinkRefused(Reason.MALFORMED, "CHALLENGE: the nonce has 32 bytes")
        self.peer = LinkIdentity(self.me.pair_id, challenge.node_id, challenge.boot_id)
        self._begin(self._nonce, challenge.nonce, tuple(challenge)[:-1])
        if not hmac.compare_digest(challenge.mac, self._proof(b"acceptor")):
            raise LinkRefused(Reason.BAD_SECRET, "the other node does not know this pair's secret")
        if not self._protocols.min <= challenge.protocol <= self._protocols.max:
            text = f"the other node chose version {challenge.protocol}, unknown here"
            raise LinkRefused(Reason.OTHER_PROTOCOL, text)
        self.protocol = challenge.protocol
        self._outgoing.append((LANE_URGENT, encode_plain(Auth(self._proof(b"dialer")))))
        self._establish()

    def _receive_auth(self, auth: Auth) -> None:
        if not hmac.compare_digest(auth.mac, self._proof(b"dialer")):
            raise LinkRefused(Reason.BAD_SECRET, "the other node does not know this pair's secret")
        self._establish()

    def _establish(self) -> None:
        """Both proved the secret; only now is an id worth complaining about."""
        if self.peer is not None and self.peer.node_id == self.me.node_id:
            raise LinkRefused(Reason.SAME_NODE, f"both nodes have one id: {self.me.node_id!r}")
        self.established = True

    def _begin(self, dialer: bytes, acceptor: bytes, challenge: tuple[object, ...]) -> None:
        """Fix the transcript and derive the key of each direction (HKDF, RFC 5869)."""
        self._transcript = self._hello + pack(challenge)
        seed = hmac.digest(dialer + acceptor, self._secret, "sha256")
        context = sha256(self._transcript).digest()
        forth = hmac.digest(seed, b"dialer to acceptor" + context + b"\x01", "sha256")
        back = hmac.digest(seed, b"acceptor to dialer" + context + b"\x01", "sha256")
        self._send_key, self._receive_key = (forth, back) if self.dials else (back, forth)

    def _proof(self, who: bytes) -> bytes:
        return hmac.digest(self._secret, who + self._transcript, "sha256")

    def _refuse(self, reason: Reason, text: str) -> NoReturn:
        self._outgoing.append((LANE_URGENT, encode_plain(Bye(reason.value, text))))
        raise LinkRefused(reason, text)


def end_said_by(bye: Bye) -> RemoteProtocolError:
    """What the peer's goodbye means here: it refused something, or just ends."""
    text = f"the other node said goodbye: {bye.text}"
    if bye.code in set(Reason):
        return LinkRefused(Reason(bye.code), text)
    return LinkLost(text)


def _refusal_said_by(bye: Bye) -> RemoteProtocolError:
    """The same before the proof: whoever it is, it may only say why it will not talk."""
    if bye.code in _SAID_UNPROVEN:
        return end_said_by(bye)
    return LinkLost(f"somebody said goodbye: {bye.text}")


def key_id(secret: bytes) -> str:
    """Names a secret without giving anything of it away."""
    return hmac.digest(secret, b"rtmp_sync key id", "sha256")[:4].hex()
