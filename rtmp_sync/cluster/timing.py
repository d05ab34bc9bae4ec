"""The numbers of a pair, and the rules between them (failover.md, "Numbers").

All are seconds except `fall` and `rise`, which count probes. The safety of the pair rests on
`t_conf` and `margin` being the same on both nodes, and on the rules that `violations` checks.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEFAULT", "FAST", "PROFILES", "Timing"]


@dataclass(frozen=True, slots=True)
class Timing:
    """One profile: how often things happen and how long a silence means something."""

    probe_interval: float = 0.5
    probe_deadline: float = 0.4
    fall: int = 3
    rise: int = 2
    t_conf: float = 3.0
    margin: float = 0.5
    hb_interval: float = 0.5
    ttl: float = 5.0
    renew_interval: float = 1.5
    ack_timeout: float = 1.0
    guard_interval: float = 0.25
    guard_deadline: float = 2.0

    @property
    def binding(self) -> float:
        """How long a promise binds its giver, and how long a claim waits."""
        return self.t_conf + self.margin

    @property
    def lease(self) -> float:
        """For how long one renewal of a lease lets its holder serve: a second less than it
        lives, for clocks of different rate."""
        return self.ttl - 1.0

    def violations(self) -> list[tuple[str, float, str]]:
        """Rules between the numbers that do not hold: (configuration key, value, fix)."""
        rules = (
            (
                self.hb_interval * 3 < self.t_conf,
                "failover.hb_interval",
                self.hb_interval,
                f"three heartbeats must fit into t_conf: below {self.t_conf / 3:g}",
            ),
            (
                self.renew_interval * 2 + 1 < self.ttl,
                "failover.renew_interval",
                self.renew_interval,
                f"two renewals and a second must fit into ttl: below {(self.ttl - 1) / 2:g}",
            ),
            (
                self.ack_timeout < self.t_conf,
                "replication.ack_timeout",
                self.ack_timeout,
                f"must be below t_conf ({self.t_conf:g})",
            ),
            (
                self.guard_deadline < self.t_conf,
                "failover.guard_deadline",
                self.guard_deadline,
                f"must be below t_conf ({self.t_conf:g})",
            ),
            (
                self.guard_interval * 3 < self.guard_deadline,
                "failover.guard_interval",
                self.guard_interval,
                f"three must fit into guard_deadline: below {self.guard_deadline / 3:g}",
            ),
            (
                self.probe_deadline < self.probe_interval,
                "failover.probe_deadline",
                self.probe_deadline,
                f"probes must not overlap: below probe_interval ({self.probe_interval:g})",
            ),
            (
                self.ttl >= 2,  # etcd's own minimum
                "failover.ttl",
                self.ttl,
                "etcd grants no lease below 2 seconds",
            ),
        )
        return [(key, value, fix) for holds, key, value, fix in rules if not holds]


DEFAULT = Timing()
# Lease renewals: the `renew * 2 + 1 < ttl` rule leaves 0.2 s of slack.
FAST = Timing(
    probe_interval=0.25,
    probe_deadline=0.2,
    t_conf=1.0,
    margin=0.2,
    hb_interval=0.25,
    ttl=2.0,
    renew_interval=0.4,
    ack_timeout=0.5,
    guard_interval=0.1,
    guard_deadline=0.7,
)
PROFILES = {"default": DEFAULT, "fast": FAST}
