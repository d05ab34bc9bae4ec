"""What to do at each alarm: shown by `rtmp-sync status`, the status page and docs/operations.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["REMEDIES", "remedy"]

REMEDIES: Final[Mapping[str, str]] = {
    "application_differs": "give both origins the same file, then `rtmp-sync reload` it",
    "bad_mac": "replace what stands between the two origins: a network card, switch or proxy",
    "cannot_claim": "bring the store back, or the other origin; if that one is powered off for "
    "certain: `rtmp-sync failover --force --fenced`",
    "certificate_ends": "renew the certificate: its file is read again without a restart",
    "claim_failed": "free space or rights in the store",
    "config_invalid": "write PRIMARY\\SECONDARY again, or `rtmp-sync config repair`",
    "config_missing": "write PRIMARY\\SECONDARY again, or `rtmp-sync config repair`",
    "copies_differ": "nothing: a new copy is under way; if it happens again, check the memory",
    "degraded": "bring the other origin back",
    "disk": "look at this host's disk",
    "forced_fenced": "leave the other origin off until the store is back and has the record",
    "gate_mismatch": "look at what else changed the port or the firewall",
    "guard_lost": "`rtmp-sync maintenance` on this node when it suits",
    "held": "start the other origin, bring the store back, or `rtmp-sync config repair`",
    "lb_path_lost": "look at the network between the load balancer and this host",
    "loop_lag": "look at what else this machine does, and at slow application code",
    "nas_not_coherent": "mount without attribute caching (`noac`); takeovers are not safe before",
    "no_eligible_standby": "start the other origin again; else `rtmp-sync failover --force "
    "--accept-data-loss`",
    "outcome_unknown": "nothing if it goes away; else look at the store",
    "paused": "`rtmp-sync resume` when the work is done",
    "peer_unreachable": "look at the other host, and at the network on the replication port",
    "persist_failed": "free space or replace the disk; it recovers by itself",
    "probe_auth_rejected": "give both origins the same admin.user and password",
    "record_refused": "free space or rights in the store",
    "renewal_late": "look at the store: when the authority runs out this origin closes",
    "request_rejected": "correct the pair file: PRIMARY\\SECONDARY, in the order that it had",
    "request_pending": "bring the other origin back, or put the pair file as it was",
    "same_node_id": "correct node.id of one of the two, and restart that one",
    "self_test": "look at this origin's log: the machine is overloaded, or the disk hangs",
    "self_probe_rtmp": "look at file descriptors and at the log of this origin",
    "store": "bring the store (NAS or etcd) back; the service goes on meanwhile",
    "suspect": "nothing: it takes over, or the doubt ends",
    "unreachable": "look at the host and the process; if it stopped, start it",
    "waiting_for_peer": "start the other origin: it has everything",
}


def remedy(alarm: str) -> str:
    """What to do; "" when there is no advice."""
    return REMEDIES.get(alarm, "")
