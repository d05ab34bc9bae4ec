"""Why a message of the replication link, or the whole link, is refused: one name a cause.

The names are what logs, `history`, counters and goodbyes say, so they stay.
"""

from __future__ import annotations

from enum import StrEnum

from rtmp_sync.errors import MessageTooLong, RemoteProtocolError

__all__ = ["LinkLost", "LinkRefused", "Reason", "reason_of"]


class Reason(StrEnum):
    """All but REPLAYED, OLDER_EPOCH and REGRESSING_SNAPSHOT end the connection."""

    BAD_MAC = "bad_mac"  # a bit was flipped, or somebody else wrote it
    REPLAYED = "replayed"  # an envelope that was here before: dropped
    GAP = "gap"  # an envelope is missing
    MALFORMED = "malformed"  # its mac is right, or it has none yet, but it is no message
    UNKNOWN_KIND = "unknown_kind"  # of a version that was not agreed on
    OUT_OF_TURN = "out_of_turn"
    OTHER_MESSAGE = "other_message"  # an RTMP message that is none of the link's
    TOO_LARGE = "too_large"
    ACK_BEYOND = "ack_beyond"  # acknowledges what was never sent
    OLDER_EPOCH = "older_epoch"  # of a deposed node: dropped, and answered with FENCE
    REGRESSING_SNAPSHOT = "regressing_snapshot"  # older than this copy, and no record vouches
    BAD_SECRET = "bad_secret"
    OTHER_PAIR = "other_pair"
    OTHER_PROTOCOL = "other_protocol"
    SAME_NODE = "same_node"
    NOT_WANTED = "not_wanted"  # it is the other node that dials
    BAD_TLS = "bad_tls"  # no certificate of the pair's authority, or TLS on one side only
    WAITING = "waiting"  # too many wrong secrets from that address, a moment ago
    CROWDED = "crowded"  # too many connections without proof
    NOT_PROVEN = "not_proven"  # did not show the secret in time
    REPLACED = "replaced"  # a newer link took its place
    SILENCE = "silence"
    TOO_SLOW = "too_slow"


class LinkRefused(RemoteProtocolError):
    """This side does not go on, or the peer said that it does not."""

    def __init__(self, reason: Reason, text: str) -> None:
        self.reason = reason
        super().__init__(text)


class LinkLost(RemoteProtocolError):
    """The link ended, and nothing was wrong with it."""


def reason_of(error: Exception | None) -> Reason | None:
    """The name of what ended a connection; None: it just ended."""
    if isinstance(error, LinkRefused):
        return error.reason
    if isinstance(error, LinkLost) or not isinstance(error, RemoteProtocolError):
        return None
    return Reason.TOO_LARGE if isinstance(error, MessageTooLong) else Reason.MALFORMED
