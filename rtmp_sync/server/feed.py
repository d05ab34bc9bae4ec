"""Streams without an RTMP session: who publishes one is a `Source`, who hears one a `Tap`.

LiveStreams.feed(name, source) ─► Feed: put, put, …, close
LiveStreams.tap(name, tap)     ─► tap.begin, tap.hear, tap.hear, …, tap.end, tap.begin, …
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rtmp_sync.server.channel import Channel

__all__ = ["Feed", "Source"]


class Source(Protocol):
    """Who publishes through a feed. id: as the publisher's in logs and figures."""

    @property
    def id(self) -> str: ...

    def taken_over(self, reason: str) -> None:
        """The stream was ended from this side; its feed takes nothing more."""


class Feed:
    """A stream being published. Made by `LiveStreams.feed`; on_closed: told whether it is lost."""

    gone = False  # it is closed by whoever has it, or by the streams themselves

    def __init__(
        self, channel: Channel, source: Source, on_closed: Callable[[Channel, bool], None]
    ) -> None:
        self.id = source.id
        self._channel: Channel | None = channel
        self._source = source
        self._on_closed = on_closed

    def put(self, type: int, timestamp: int, payload: bytes) -> None:
        """Audio (8), video (9) or data (18), as a publisher sends it; timestamp in ms, u32.
        Nothing happens to a feed that is closed."""
        if self._channel is not None:
            self._channel.put(type, timestamp, payload)

    def close(self, *, lost: bool = False) -> None:
        """The stream ends. lost: it may be continued for some time, by a feed or a publisher of
        its name."""
        channel, self._channel = self._channel, None
        if channel is not None:
            self._on_closed(channel, lost)

    def revoke(self, reason: str) -> None:
        """End it, and say why to its source."""
        if self._channel is not None:
            self.close(lost=True)
            self._source.taken_over(reason)

    def status(self, code: str, description: str, level: str = "") -> None:
        """Only who publishes over RTMP is told what happens to its stream."""
