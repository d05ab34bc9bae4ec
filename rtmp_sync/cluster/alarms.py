"""What an operator must know, as text by name; derived anew each turn, so nothing is forgotten
and nothing lingers."""

from __future__ import annotations

from math import inf

from rtmp_sync.cluster.situation import Situation
from rtmp_sync.cluster.view import State, Store

__all__ = ["alarms"]

_STORE = {
    Store.UNREACHABLE: "the store does not answer: automatic failover is disabled",
    Store.INVALID: "the store holds no valid record, or an older one than before",
}
_LINE = {
    "missing": ("config_missing", "the pair file is missing: the records alone count"),
    "invalid": ("config_invalid", "the pair file is no pair line: see `config repair`"),
    "rejected": ("request_rejected", "the pair file names other nodes, or swaps them: ignored"),
}
_SERVING = (State.ACTIVE, State.DRAINING)


def alarms(
    s: Situation, *, line: str = "valid", rejected_probes: bool = False, stale_reads: int = 0
) -> dict[str, str]:
    """Name -> what it means now. `line` as a coordinator reports it; stale_reads: how often a
    read showed less than one before it."""
    found: dict[str, str] = {}
    if s.view.store in _STORE:
        found["store"] = _STORE[s.view.store]
    if line in _LINE:
        name, text = _LINE[line]
        found[name] = text
    if stale_reads:
        found["nas_not_coherent"] = (
            f"{stale_reads} reads of the store were stale: switch attribute caching off"
        )
    if rejected_probes:
        found["probe_auth_rejected"] = "the other origin rejects admin.user or its password"
    if s.view.guard_lost:
        found["guard_lost"] = "the guard died: a hung origin will not be restarted"
    if s.unhealthy:
        found["self_test"] = "this origin's own checks fail"
    if s.paused:
        found["paused"] = "automatic decisions are off until `resume`"
    pending = s.node.pending
    if pending is not None and pending.unknown_since is not None:
        found["outcome_unknown"] = f"whether record {pending.record.rev} was written is unknown"
    by_design = s.view.policy.mode == "async" or s.authority_until == inf  # no coordinator
    if s.node.state in _SERVING and s.degraded and not by_design:
        found["degraded"] = "serving alone: no other origin is in sync"
    if s.node.state is State.HELD:
        found["held"] = "closed: there is no valid record to act on"
    if s.record is not None and s.view.open_failed == s.record.epoch:
        found["gate_mismatch"] = "the gate did not open"
    return found
