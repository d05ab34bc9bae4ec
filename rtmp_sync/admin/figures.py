"""Numbers of an origin for /metrics: (name, value, meaning). Gauges go both ways, counters up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtmp_sync.server.origin import Origin

__all__ = ["Figure", "counters", "gauges"]

Figure = tuple[str, float, str]


def gauges(origin: Origin) -> Iterator[Figure]:
    """How it stands now."""
    journal, commit = origin.state.journal, origin.commit
    yield "released_seq", min(commit.level, journal.head), "messages made up to here may leave"
    yield "backlog_bytes", journal.backlog_bytes, "Changes kept for a standby that returns"
    replication = origin.replication
    if replication is not None:
        yield "acked_seq", replication.acked, "Changes that the other origin has acknowledged"
        yield "ack_seconds", replication.ack_seconds, "latency of the last acknowledgement"


def counters(origin: Origin) -> Iterator[Figure]:
    """What has happened since the process started."""
    yield "connections", origin.sessions.accepted, "connections accepted"
    replication = origin.replication
    if replication is not None:
        yield "full_resyncs", replication.full_copies, "whole copies sent or received"
        yield "partial_resyncs", replication.partial_copies, "resyncs from a backlog"
        yield "links_lost", replication.links_lost, "ends of the replication link"
        yield "bad_macs", replication.refusals["bad_mac"], "link messages whose MAC was wrong"
