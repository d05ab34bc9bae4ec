"""Numbers of an origin for /metrics. Gauges go both ways; counters only up, from the start of
the process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from rtmp_sync.server.clock import now
from rtmp_sync.server.traffic import Traffic

if TYPE_CHECKING:
    from rtmp_sync.server.certificates import Certificates
    from rtmp_sync.server.origin import Origin

__all__ = ["Family", "Figure", "certificates", "counters", "families", "gauges"]


class Figure(NamedTuple):
    name: str
    value: float
    meaning: str


class Family(NamedTuple):
    """Counters of one name, told apart by the values of labels; of one label by its value alone."""

    name: str
    labels: tuple[str, ...]
    values: Mapping[Any, float]
    meaning: str

    def samples(self) -> Iterator[tuple[list[str], float]]:
        """(values of the labels, count), in their order."""
        for value, count in sorted(self.values.items()):
            yield [value] if isinstance(value, str) else list(value), count


def gauges(origin: Origin) -> Iterator[Figure]:
    """How it stands now."""
    journal, commit = origin.state.journal, origin.commit
    level = min(commit.level, journal.head)
    yield Figure("released_seq", level, "messages made up to here may leave")
    disk = origin.persistence
    yield Figure("written_seq", disk.written_seq, "Changes that this origin's own disk holds")
    yield Figure("persist_failed", disk.failed, "1 while it serves without its own disk")
    yield Figure("backlog_bytes", journal.backlog_bytes, "Changes kept for a standby that returns")
    backlog = journal.taken - journal.backlog_start
    yield Figure("backlog_changes", backlog, "the same, counted")
    yield Figure("waiting_bytes", commit.waiting_bytes, "what waits to be acknowledged")
    yield Figure("outbox_bytes", origin.sessions.waiting_bytes, "what waits for clients")
    if origin.http is not None:
        yield Figure("http_players", len(origin.http), "clients over HTTP and WebSockets")
    streams = sum(len(instance.live.names) for instance in origin.instances)
    yield Figure("live_streams", streams, "live streams that are published")
    yield Figure("loop_lag_seconds", origin.self_test().loop_lag, "how late the event loop runs")
    if (age := origin.load_balancer.age(now())) is not None:
        yield Figure("lb_checks_age_seconds", age, "since the load balancer looked here")
    yield from _renewals(origin)
    replication = origin.replication
    if replication is None:
        return
    yield Figure("acked_seq", replication.acked, "Changes that the other origin has acknowledged")
    yield Figure("ack_seconds", replication.ack_seconds, "latency of the last acknowledgement")
    yield Figure("link_queue_bytes", replication.queued_bytes, "what waits for the other origin")
    if (peer := replication.peer) is not None:
        yield Figure("peer_head_seq", peer.head_seq, "last Change of the other origin, as heard")


def _renewals(origin: Origin) -> Iterator[Figure]:
    renewals = origin.watchdog.renewals
    yield Figure("renew_seconds", renewals.last_seconds, "the last renewal of the authority took")
    worst = renewals.worst_seconds(now())
    yield Figure("renew_worst_seconds", worst, "the slowest one of the last minute or two took")


def counters(origin: Origin) -> Iterator[Figure]:
    """What has happened since the process started."""
    ledger = origin.watchdog.ledger
    dropped = origin.sessions.access.dropped
    yield Figure("access_log_dropped", dropped, "lines that the access log has lost")
    yield Figure("connections", origin.sessions.tally.connects, "connections accepted")
    yield from _traffic(origin)
    blocked = origin.tasks.steps.blocked
    yield Figure("loop_blocked", blocked, "steps of applications stopped for blocking the loop")
    yield Figure(
        "degraded_seconds",
        ledger.degraded_seconds(now()),
        "time in which clients were answered without the other origin",
    )
    yield Figure(
        "changes_alone", ledger.alone_changes, "Changes acknowledged in that time, at most"
    )
    yield Figure(
        "digest_mismatches",
        ledger.events["digest_mismatch"],
        "comparisons that found the two copies different",
    )
    yield Figure("flaps", ledger.flaps, "times the active origin was in doubt and answered again")
    renewals = origin.watchdog.renewals
    yield Figure("renewals", renewals.count, "renewals of the authority to serve")
    yield Figure("renewals_failed", renewals.failed, "renewals that the store did not take")
    disk = origin.persistence
    yield Figure("persist_failures", disk.failures, "times that the own disk failed")
    yield Figure("compactions", disk.compactions, "snapshots written to the own disk")
    replays = origin.instances.replays
    yield Figure("replays", replays.done, "calls of the active origin that were run here too")
    yield Figure("replays_failed", replays.failed, "of these, raised or took too long")
    yield Figure("replays_refused", replays.left_out, "not begun: too many, or for no instance")
    replication = origin.replication
    if replication is None:
        return
    yield Figure("full_resyncs", replication.full_copies, "whole copies sent or received")
    yield Figure("partial_resyncs", replication.partial_copies, "resyncs from a backlog")
    yield Figure("links_lost", replication.links_lost, "ends of the replication link")
    left_out = replication.replays_left_out
    yield Figure("replays_left_out", left_out, "calls that the standby was not told to replay")


def _traffic(origin: Origin) -> Iterator[Figure]:
    """Of RTMP."""
    traffic = Traffic()
    traffic.add(origin.sessions.tally.ended)
    for session in origin.sessions:
        traffic.add(session.traffic)
    yield Figure("received_bytes", traffic.bytes_in, "bytes of RTMP received, with handshakes")
    yield Figure("sent_bytes", traffic.bytes_out, "bytes of RTMP sent")
    yield Figure("received_messages", traffic.messages_in, "messages of RTMP received")
    yield Figure("sent_messages", traffic.messages_out, "pieces sent; one has a message or more")
    yield Figure("dropped_frames", traffic.dropped, "frames that slow clients did not get")


def families(origin: Origin) -> Iterator[Family]:
    """The same, by kind."""
    ledger = origin.watchdog.ledger
    refused = origin.sessions.refused
    yield Family("refused_connections", ("reason",), refused, "RTMP connections refused")
    yield Family("admin_refused", ("reason",), origin.admin.refused, "administration refused")
    hooks = origin.instances.hooks.asked
    yield Family("http_hooks", ("hook", "result"), hooks, "what web servers said of clients")
    if origin.http is not None:
        what = "requests of browsers refused, and connections"
        yield Family("http_refused", ("status",), origin.http.refused, what)
    failures = {
        (section, reason): count
        for section, port in certificates(origin)
        for reason, count in port.failures.items()
    }
    what = "TLS handshakes of clients that failed"
    yield Family("tls_handshakes_failed", ("section", "reason"), failures, what)
    yield Family("events", ("event",), origin.history.counts, "what happened")
    yield Family("failovers", ("reason",), ledger.failovers, "takeovers by this origin")
    yield Family("fenced", ("reason",), ledger.fenced, "times this origin closed by itself")
    yield Family("failover_rows", ("row",), ledger.rows, "rows of the transition table that acted")
    if origin.replication is not None:
        refusals = origin.replication.refusals
        yield Family("link_refusals", ("reason",), refusals, "what the replication link refused")


def certificates(origin: Origin) -> Iterator[tuple[str, Certificates]]:
    """Of the public ports that speak TLS, with the section of the configuration."""
    if origin.certificates is not None:
        yield "rtmp", origin.certificates
    if origin.http is not None and origin.http.certificates is not None:
        yield "http", origin.http.certificates
