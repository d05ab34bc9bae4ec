"""What an origin says of itself: gathered here, shown by the endpoints.

`/status` is a contract: names may be added, these stay.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final

from rtmp_sync import codec
from rtmp_sync.admin.figures import certificates
from rtmp_sync.admin.last_moves import last_moves
from rtmp_sync.server.clock import now
from rtmp_sync.server.guard_pipe import VARIABLE

if TYPE_CHECKING:
    from rtmp_sync.server.origin import Origin

__all__ = ["complete", "lag", "role", "status"]

CERTIFICATE_SECONDS: Final = 7 * 86_400.0  # before its end, a certificate is an alarm


def status(origin: Origin) -> dict[str, Any]:
    """The content of /status."""
    watchdog, journal, record = origin.watchdog, origin.state.journal, origin.watchdog.record
    changes, lag_ms = lag(origin)
    return {
        "id": origin.node_id,
        "role": role(origin),
        "state": watchdog.state,
        "gate": "open" if origin.authority.gate_open else "closed",
        "epoch": journal.epoch,
        "seq": journal.head,
        "sync": [copy.node for copy in record.sync] if record is not None else [],
        "lag": {"changes": changes, "ms": lag_ms},
        "peer": _peer(origin),
        "codec": codec.running(),
        **origin.counts(),
        "alarms": _alarms(origin),
        "boot_id": origin.boot_id,
        "pid": os.getpid(),
        "guard_pid": _guard_pid(origin),
        "holder": record.holder if record is not None else origin.node_id,
        "rev": record.rev if record is not None else 0,
        "mode": origin.config.replication.mode,
        "coordinator": origin.config.coordinator,
        "store": origin.watchdog.store,
        "stopping": origin.departure.status,
        "paused": record.paused if record is not None else False,
        "history_id": journal.history_id,
        "complete": complete(origin),
        "alone": _alone(origin),
        "last_moves": last_moves(origin.history.events()),
        "replication": _replication(origin),
        "version": _version(),
    }


def role(origin: Origin) -> str:
    """`"active"`, `"standby"` (could take over or is getting there) or `"closed"`."""
    return str(origin.watchdog.role)


def lag(origin: Origin) -> tuple[int, float]:
    """How far this origin is behind the active one: (Changes, ms); the active's own is 0."""
    replication = origin.replication
    if replication is None or role(origin) == "active":
        return 0, 0.0
    return replication.lag_changes, replication.lag_ms


def complete(origin: Origin) -> bool:
    """Whether this copy holds all that was acknowledged, by the record as it was last read."""
    record = origin.watchdog.record
    if record is None or role(origin) == "active":
        return role(origin) == "active"
    me = origin.node_id, origin.boot_id
    return record.lists(*me) or record.held_by(*me)  # a fenced one has what it acknowledged


def _guard_pid(origin: Origin) -> int | None:
    guarded = VARIABLE in os.environ and not origin.overseer.lost
    return os.getppid() if guarded else None


def _alone(origin: Origin) -> dict[str, Any]:
    """When clients were answered without the other origin, since the process started; the
    ranges of what was acknowledged then are upper bounds, the last one may go on."""
    ledger = origin.watchdog.ledger
    return {
        "seconds": round(ledger.degraded_seconds(now()), 3),
        "changes": ledger.alone_changes,
        "ranges": [asdict(one) for one in ledger.all_ranges],
    }


def _replication(origin: Origin) -> dict[str, Any] | None:
    """The link and what came of it, since the process started; None for a single origin."""
    link = origin.replication
    if link is None:
        return None
    return {
        "protocol": link.peer.protocol if link.peer is not None else None,
        "acked": link.acked,
        "ack_ms": round(link.ack_seconds * 1000, 3),
        "queued_bytes": link.queued_bytes,
        "full_resyncs": link.full_copies,
        "partial_resyncs": link.partial_copies,
        "links_lost": link.links_lost,
        "digest_mismatches": origin.watchdog.ledger.events["digest_mismatch"],
        "refusals": {reason: count for reason, count in link.refusals.items() if count},
    }


def _alarms(origin: Origin) -> dict[str, str]:
    """Name -> what it means now."""
    alarms = dict(origin.watchdog.alarms)
    if origin.self_test().persist_failed:
        alarms["persist_failed"] = "the disk takes nothing: what happens now is in memory only"
    if trouble := origin.instances.code.trouble:
        alarms["application_differs"] = "; ".join(f"{app} {why}" for app, why in trouble.items())
    if ending := _ending_certificates(origin):
        alarms["certificate_ends"] = ending
    if origin.replication is not None:
        alarms |= origin.replication.alarms
        if origin.replication.same_id:
            alarms["same_node_id"] = "the other origin has this one's id: correct its node.id"
    return alarms


def _ending_certificates(origin: Origin) -> str:
    """Those that clients are shown and that end soon; "" when none does."""
    soon = time.time() + CERTIFICATE_SECONDS
    return "; ".join(
        f"{key} ends on {datetime.fromtimestamp(expiry, UTC):%Y-%m-%d at %H:%M} UTC"
        for _, port in certificates(origin)
        for key, expiry in port.expiries.items()
        if expiry < soon
    )


def _peer(origin: Origin) -> dict[str, Any]:
    """The other origin as this one knows it; members are None while it was never heard of."""
    replication = origin.replication
    peer = replication.peer if replication is not None else None
    connected = replication is not None and replication.connected
    age = peer.hb_age(now()) if peer is not None else None
    return {
        "id": peer.node_id if peer is not None else None,
        "state": (peer.state or None) if peer is not None else None,
        "link": "up" if connected else "down" if replication is not None else "none",
        "boot_id": peer.boot_id if peer is not None else None,
        "heartbeat_age_ms": round(age * 1000) if age is not None else None,
        "epoch": peer.position[0] if peer is not None else None,
        "head_seq": peer.head_seq if peer is not None else None,
        "flaps": origin.watchdog.ledger.flaps,
        "gate_open": peer.gate_open if peer is not None else None,
    }


@cache
def _version() -> str:
    try:
        return version("rtmp-sync")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "unknown"
