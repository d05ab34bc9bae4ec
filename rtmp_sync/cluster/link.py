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
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NoReturn

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
)

__all__ = ["Link", "LinkIdentity", "LinkRefused", "key_id"]

PROTOCOL_MIN: Final = 1
PROTOCOL_MAX: Final = 1

SAME_NODE: Final = "same_node"
OTHER_PAIR: Final = "other_pair"
OTHER_PROTOCOL: Final = "other_protocol"
BAD_SECRET: Final = "bad_secret"


class LinkRefused(RemoteProtocolError):
    """One side does not want this link. `code` is one of the constants above, or the peer's."""

    def __init__(self, code: str, text: str) -> None:
        self.code = code
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class LinkIdentity:
    """Who a node is on the link. boot_id is new at each start of its process."""

    pair_id: str
    node_id: str
    boot_id: str


class Link:
    """One connection's worth of link.

    secrets: the pair's; a rotation has two, of which the acceptor takes either and the dialer
    offers the first. nonce: 32 random bytes, never used before.
    """

    def __init__(
        self, me: LinkIdentity, secrets: Sequence[bytes], *, dials: bool, nonce: bytes
    ) -> None:
        assert len(nonce) == NONCE_BYTES
        self.me = me
        self.dials = dials
        self.peer: LinkIdentity | None = None
        self.established = False
        self.epoch = 0  # of ours, into every envelope
        self.duplicates = 0
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
        if isinstance(record, Bye):
            raise LinkRefused(record.code, f"the other node refused the link: {record.text}")
        if isinstance(record, Challenge) and self.dials:
            self._receive_challenge(record)
        elif isinstance(record, Hello) and not self.dials and not self._hello:
            self._receive_hello(record, payload)
        elif isinstance(record, Auth) and not self.dials and self._hello:
            self._receive_auth(record)
        else:
            raise RemoteProtocolError(f"{type(record).__name__} out of turn")

    def records_received(self) -> list[tuple[int, Record]]:
        """(the sender's epoch, record) since the last call."""
        records = self._records
        self._records = []
        return records

    def send(self, record: Record) -> None:
        """Only once established. Raises LocalProtocolError for a record above 1 MiB."""
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
            raise RemoteProtocolError(f"a message on chunk stream {lane}")
        envelope = decode_envelope(payload, lane, self._receive_key)
        expected = self._next_in[lane]
        if envelope.link_seq < expected:
            self.duplicates += 1
            return
        if envelope.link_seq > expected:
            raise RemoteProtocolError(f"gap: message {envelope.link_seq} instead of {expected}")
        if isinstance(envelope.record, (Hello, Challenge, Auth)):
            raise RemoteProtocolError(f"{type(envelope.record).__name__} after AUTH")
        self._next_in[lane] = expected + 1
        self._records.append((envelope.epoch, envelope.record))

    def _say_hello(self) -> None:
        me = self.me
        hello = Hello(
            PROTOCOL_MIN,
            PROTOCOL_MAX,
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
            self._refuse(OTHER_PAIR, f"the pair here is {self.me.pair_id!r}, not {hello.pair_id!r}")
        if not hello.protocol_min <= PROTOCOL_MAX or not hello.protocol_max >= PROTOCOL_MIN:
            self._refuse(OTHER_PROTOCOL, f"the protocol here is {PROTOCOL_MIN} to {PROTOCOL_MAX}")
        secret = self._secrets.get(hello.key_id)
        if secret is None or len(hello.nonce) != NONCE_BYTES:
            self._refuse(BAD_SECRET, "the secret of the two nodes differs")
        self._secret = secret
        self._hello = payload
        self.peer = LinkIdentity(hello.pair_id, hello.node_id, hello.boot_id)
        mine = (min(PROTOCOL_MAX, hello.protocol_max), self.me.node_id, self.me.boot_id)
        self._begin(hello.nonce, self._nonce, (*mine, self._nonce))
        challenge = Challenge(*mine, self._nonce, self._proof(b"acceptor"))
        self._outgoing.append((LANE_URGENT, encode_plain(challenge)))

    def _receive_challenge(self, challenge: Challenge) -> None:
        if len(challenge.nonce) != NONCE_BYTES:
            raise RemoteProtocolError("CHALLENGE: the nonce has 32 bytes")
        self.peer = LinkIdentity(self.me.pair_id, challenge.node_id, challenge.boot_id)
        self._begin(self._nonce, challenge.nonce, tuple(challenge)[:-1])
        if not hmac.compare_digest(challenge.mac, self._proof(b"acceptor")):
            raise LinkRefused(BAD_SECRET, "the other node does not know this pair's secret")
        self._outgoing.append((LANE_URGENT, encode_plain(Auth(self._proof(b"dialer")))))
        self._establish()

    def _receive_auth(self, auth: Auth) -> None:
        if not hmac.compare_digest(auth.mac, self._proof(b"dialer")):
            raise LinkRefused(BAD_SECRET, "the other node does not know this pair's secret")
        self._establish()

    def _establish(self) -> None:
        """Both proved the secret; only now is an id worth complaining about."""
        if self.peer is not None and self.peer.node_id == self.me.node_id:
            raise LinkRefused(SAME_NODE, f"both nodes have one id: {self.me.node_id!r}")
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

    def _refuse(self, code: str, text: str) -> NoReturn:
        self._outgoing.append((LANE_URGENT, encode_plain(Bye(code, text))))
        raise LinkRefused(code, text)


def key_id(secret: bytes) -> str:
    """Names a secret without giving anything of it away."""
    return hmac.digest(secret, b"rtmp_sync key id", "sha256")[:4].hex()
