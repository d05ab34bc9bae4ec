"""What an operator must know, as text by name; derived anew each turn, so nothing is forgotten
and nothing lingers."""

from __future__ import annotations

from math import inf

from rtmp_sync.cluster.situation import Situation
from rtmp_sync.cluster.view import HAND_EDIT, SERVING, STANDING_BY, Outcome, State, Store

__all__ = ["alarms"]

_BY_HAND = "`failover --force --fenced`, if the other one is powered off"
_LINE = {
    "missing": ("config_missing", "the pair file is missing: the records alone count"),
    "invalid": ("config_invalid", "the pair file is no pair line: see `config repair`"),
    "rejected": ("request_rejected", "the pair file names other nodes, or swaps them: ignored"),
}
_CHECKS = {
    "self_test": "this origin's own checks fail",
    "loop_lag": "this origin's loop is late: it is overloaded, or the host is",
    "self_probe_rtmp": "this origin's own RTMP port does not answer it",
    "disk": "this origin's disk does not work",
}
_RECENT = 5.0  # seconds: what is still wanted is tried again every half second


def alarms(
    s: Situation,
    *,
    store_trouble: str = "hung",
    line: str = "valid",
    rejected_probes: bool = False,
    stale_reads: int = 0,
) -> dict[str, str]:
    """Name -> what it means now. store_trouble, line: as a coordinator tells them; stale_reads:
    how often a read showed less than one before it."""
    found = _of_the_store(s, store_trouble, line, stale_reads)
    found |= {**_of_the_pair(s), **_of_the_service(s), **_of_this_node(s)}
    if rejected_probes:
        found["probe_auth_rejected"] = "the other origin rejects admin.user or its password"
    return found


def _of_the_store(s: Situation, trouble: str, line: str, stale_reads: int) -> dict[str, str]:
    found: dict[str, str] = {}
    if s.view.store is Store.UNREACHABLE:
        found["store"] = f"{trouble}: the store does not answer, automatic failover is disabled"
    elif s.view.store is Store.INVALID:
        found["store"] = "invalid: no valid record, or an older one than before"
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
    serving, single = s.node.state in SERVING, _is_single(s)
    if s.paused:
        found["paused"] = "automatic decisions are off until `resume`"
    if s.node.state is State.HELD:
        found["held"] = "closed: there is no valid record to act on"
    if serving and s.degraded and not single and s.view.policy.mode != "async":
        found["degraded"] = "serving alone: no other origin is in sync"
    if (serving or s.node.state in STANDING_BY) and not single and not s.view.link_up:
        found["peer_unreachable"] = "the other origin is not linked to this one"
    if s.node.state is State.SUSPECT:
        found["suspect"] = "the active origin is in doubt: this one is looking closely"
    wish = s.view.request
    if wish is not None and wish.by == HAND_EDIT and serving and not s.peer_ready:
        found["request_pending"] = "the pair file asks for the other origin, which is not READY"
    if s.record is not None and s.record.reason == "digest_mismatch":
        found["copies_differ"] = "the two copies differed: the other origin makes a new one"
    if s.node.state in STANDING_BY and _only_the_peer_has_all(s):
        found["waiting_for_peer"] = (
            "this origin restarted, and the other one has everything: start that one"
        )
    return found


def _of_the_service(s: Situation) -> dict[str, str]:
    """Who could take over, or could not."""
    found: dict[str, str] = {}
    serving, single = s.node.state in SERVING, _is_single(s)
    confidence = s.view.timing.lease if s.view.leases else s.view.timing.t_conf
    if serving and not single and s.authority_until - s.now < confidence / 2:
        found["renewal_late"] = "the authority to serve is renewed late: the store is slow"
    if s.node.word is not None:
        found["forced_fenced"] = (
            "serving by the operator's word: leave the other origin off until the store has it"
        )
    without_store = s.view.store is Store.UNREACHABLE
    closed = s.node.state in (*STANDING_BY, State.HELD, State.FENCED)
    if closed and without_store and _nobody_serves(s):
        found["cannot_claim"] = f"nobody may serve, and the store is away: {_BY_HAND}"
    elif s.node.state is State.CLAIMING and without_store and s.node.word is None:
        found["cannot_claim"] = f"this claim cannot be confirmed, the store is away: {_BY_HAND}"
    elif s.node.state in STANDING_BY and _left_alone(s):
        found["no_eligible_standby"] = (
            "the active origin is gone and this copy is not complete: start that origin again,"
            " or `failover --force --accept-data-loss`"
        )
    return found


def _nobody_serves(s: Situation) -> bool:
    if s.node.state is State.FENCED:
        return s.i_hold
    if s.record is None:
        return s.talking_peer is None or not s.talking_peer.gate_open
    return s.other_holds and _holder_gone(s)


def _left_alone(s: Situation) -> bool:
    return s.other_holds and _holder_gone(s) and not s.eligible and not s.both_closed


def _is_single(s: Situation) -> bool:
    """Without a coordinator the authority never ends."""
    return s.view.authority_until == inf


def _only_the_peer_has_all(s: Situation) -> bool:
    return s.earlier_boot_holds and s.peer_listed and not s.view.link_up


def _holder_gone(s: Situation) -> bool:
    if s.view.leases and s.view.store is Store.UNREACHABLE:
        return s.view.dead  # nobody tells whether its lease is over
    return s.released or s.holder_expired


def _of_this_node(s: Situation) -> dict[str, str]:
    found: dict[str, str] = {}
    if s.view.guard_lost:
        found["guard_lost"] = "the guard died: a hung origin will not be restarted"
    if s.unhealthy:
        found[s.unhealthy] = _CHECKS[s.unhealthy]
    if s.lb_path_lost and s.node.state in SERVING:
        found["lb_path_lost"] = "the load balancer looks at the other origin, and not at this one"
    if s.record is not None and s.view.open_failed == s.record.epoch:
        found["gate_mismatch"] = "the gate did not open"
    elif s.view.gate == "unknown":
        found["gate_mismatch"] = "whether the gate is open or closed cannot be read back"
    return found
