"""How much connections moved: counted where bytes pass anyway, added up when somebody asks."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Tally", "Traffic"]


@dataclass(slots=True)
class Traffic:
    """bytes_in, bytes_out: of chunk stream with the handshake. messages_in, messages_out: RTMP
    messages; what is sent to a client in one piece counts as one. dropped: frames that a slow
    client did not get.

    Source: FMS's `Client.getStats`.
    """

    bytes_in: int = 0
    bytes_out: int = 0
    messages_in: int = 0
    messages_out: int = 0
    dropped: int = 0

    def add(self, other: Traffic) -> None:
        self.bytes_in += other.bytes_in
        self.bytes_out += other.bytes_out
        self.messages_in += other.messages_in
        self.messages_out += other.messages_out
        self.dropped += other.dropped


@dataclass(slots=True)
class Tally:
    """Connections since the server or the instance began here. ended: traffic of those that are
    gone. rejected: whose connect was refused."""

    connects: int = 0
    disconnects: int = 0
    rejected: int = 0
    ended: Traffic = field(default_factory=Traffic)

    def left(self, traffic: Traffic) -> None:
        """A connection is gone, with what it had moved."""
        self.disconnects += 1
        self.ended.add(traffic)
