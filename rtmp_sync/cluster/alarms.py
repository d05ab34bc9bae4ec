"""What an operator must know, as text by name; derived anew each turn, so nothing is forgotten
and nothing lingers."""

from __future__ import annotations

from math import inf

from rtmp_sync.cluster.situation import Situation
from rtmp_sync.cluster.view import SERVING, STANDING_BY, Outcome, State, Store

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
_RECENT = 5.0  # seconds: what is still wanted is tried again every half second


def alarms(
    s: Situation, *, line: str = "valid", rejected_probes: bool = False, stale_reads: int = 0
) -> dict[str, str]:
    """Name -> what it means now. `line` as a coordinator reports it; stale_reads: how often a
    read showed less than one before it."""
    found = {**_of_the_store(s, line, stale_reads), **_of_the_pair(s), **_of_this_node(s)}
    if rejected_probes:
        found["probe_auth_rejected"] = "the other origin rejects admin.user or its password"
    return found


def _of_the_store(s: Situation, line: str, stale_reads: int) -> dict[str, str]:
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
    pending, tried = s.node.pending, s.view.cas
    if pending is not None and pending.unknown_since is not None:
        found["outcome_unknown"] = f"whether record {pending.record.rev} was written is unknown"
    elif tried is not None and tried.outcome is Outcome.REFUSED and s.now - tried.at < _RECENT:
        name = "record_refused" if s.node.state in SERVING else "claim_failed"
        found[name] = f"the store refuses records: {tried.detail}"
    return found


def _of_the_pair(s: Situation) -> dict[str, str]:
    found: dict[str, str] = {}
    serving, single = s.node.state in SERVING, s.authority_until == inf  # no coordinator
    if s.paused:
        found["paused"] = "automatic decisions are off until `resume`"
    if s.node.state is State.HELD:
        found["held"] = "closed: there is no valid record to act on"
    if serving and s.degraded and not single and s.view.policy.mode != "async":
        found["degraded"] = "serving alone: no other origin is in sync"
    if (serving or s.node.state in STANDING_BY) and not single and not s.view.link_up:
        found["peer_unreachable"] = "the other origin is not linked to this one"
    if serving and not single and s.authority_until - s.now < s.view.timing.t_conf / 2:
        found["renewal_late"] = "the authority to serve is renewed late: the store is slow"
    if s.record is not None and s.record.reason == "digest_mismatch":
        found["copies_differ"] = "the two copies differed: the other origin makes a new one"
    if s.node.state in STANDING_BY and _only_the_peer_has_all(s):
        found["waiting_for_peer"] = (
            "this origin restarted, and the other one has everything: start that one"
        )
    if s.node.state in STANDING_BY and s.other_holds and _holder_gone(s):
        if s.view.store is Store.UNREACHABLE:
            found["cannot_claim"] = "the active origin is gone, and so is the store: nobody serves"
        elif not s.eligible and not s.both_closed:
            found["no_eligible_standby"] = (
                "the active origin is gone and this copy is not complete: start that origin again"
            )
    return found


def _only_the_peer_has_all(s: Situation) -> bool:
    return s.earlier_boot_holds and s.peer_listed and not s.view.link_up


def _holder_gone(s: Situation) -> bool:
    return s.released or (s.view.dead and s.beat_stopped)


def _of_this_node(s: Situation) -> dict[str, str]:
    found: dict[str, str] = {}
    if s.view.guard_lost:
        found["guard_lost"] = "the guard died: a hung origin will not be restarted"
    if s.unhealthy:
        found["self_test"] = "this origin's own checks fail"
    if s.record is not None and s.view.open_failed == s.record.epoch:
        found["gate_mismatch"] = "the gate did not open"
    elif s.view.gate == "unknown":
        found["gate_mismatch"] = "whether the gate is open or closed cannot be read back"
    return found
