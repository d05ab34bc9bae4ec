"""What goes wrong in a seed: a list of values, drawn up front from a random stream of its own.

A fault whose target is not there when its time comes does nothing, so that any of them can be
left out of the list and the rest stays what it was. `plan` draws; `trouble.py` does.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from rtmp_sync.cluster.link import PROTOCOLS, Protocols

__all__ = ["DEFAULT_MIX", "KINDS", "Fault", "Mix", "Setup", "draw_setup", "plan"]

NAMES = ("A", "B")
OLD = Protocols(1, 1)  # of the link: the other node is upgraded already, or not yet

# kind -> weight. The node of a fault is a name, or a role at that time: "active", "standby".
KINDS: Mapping[str, float] = {
    # a process
    "crash": 6,  # kill -9; the guard sees it
    "power": 4,  # the host loses power, its disk what was not synced
    "freeze": 3,  # SIGSTOP of the origin; its guard goes on
    "vm": 6,  # a pause of the origin and its guard
    "vm_writing": 1.5,  # the same, while it writes a record
    "stop": 2,  # SIGTERM, and started again later
    "guard_dead": 2,
    "both_crash": 1,
    "both_power": 1,
    "crash_copying": 2,  # the standby dies in the middle of a snapshot
    # its host
    "sick": 3,  # the self-test fails
    "gate_shut": 1.5,  # the gate does not open
    "gate_stuck": 1.5,  # the gate does not close
    # its disk
    "disk_full": 1,
    "disk_hung": 1,
    "disk_flip": 0.7,  # a flipped bit in a file, then a crash
    "disk_lost": 1.5,  # a crash, and an empty disk after it
    "sync_lost": 0.5,  # fsync reports what is not true, until the power goes
    "bit_rot": 1.0,  # the standby's copy holds what nobody wrote
    # the network between the nodes
    "cut": 4,
    "one_way": 3,
    "reset": 2,  # the connections end; new ones work
    "slow": 2,
    "lag": 1.5,  # Changes stand behind bulk: acknowledgements are late, the link is well
    "proxy": 3,  # something on the way that flips, drops, doubles and swaps
    "flip_acks": 1,  # something that flips a bit in the numbers of short messages
    "isolate": 4,  # from the store and, sooner or later, from the other node
    # the store
    "store": 2,  # for both
    "store_one": 4,
    "store_slow": 2,
    "flaky": 3,  # outcomes nobody knows
    "stale": 1,  # reads of what was
    "store_full": 1.5,  # writes of records are refused
    "line_garbage": 0.5,
    "leader": 2.0,  # etcd has none: nobody is answered, no lease ends
    "revoke": 1.5,  # somebody revokes the holder's lease, or deletes its key
    # the load balancer
    "lb_path": 3.0,  # it does not reach the node
    # operators
    "switchover": 5,
    "edit": 2,  # the pair file is edited
    "pause": 2,
    "force": 0.7,
    "force_fenced": 1.0,  # the store is away, the other node off: an operator vouches for that
    "resync": 1.0,
}

# kind -> what makes it worse right then: a fault brings one of these with it now and then.
COMPANIONS: Mapping[str, tuple[str, ...]] = {
    "slow": ("sick",),
    "lag": ("sick", "switchover", "crash"),
    "sick": ("lag", "lag", "lag", "slow", "one_way", "crash"),
    "switchover": ("gate_stuck", "one_way", "cut", "crash", "vm", "flaky", "store_one", "reset"),
    "gate_stuck": ("switchover", "store_one", "isolate"),
    "edit": ("gate_stuck", "crash", "flaky"),
    "both_power": ("force",),
    "isolate": ("force", "vm"),
    "crash": ("gate_shut", "flaky", "store_one"),
    "vm": ("flaky", "power"),
    "disk_hung": ("crash", "cut"),
    "store": ("crash", "power", "cut"),
    "pause": ("crash", "vm"),
    "revoke": ("crash", "switchover", "cut", "flaky", "store_slow"),
    "leader": ("crash", "power", "cut", "switchover"),
    "force_fenced": ("crash", "cut"),
}
# Nothing comes of these unless they hit who serves, and last.
LINGERING = ("sick", "lag", "lb_path")

# T_conf from a failing self-test to the switchover that it brings about.
SWITCHED = (0.2, 0.9)


@dataclass(frozen=True, slots=True)
class Fault:
    """at, seconds: of simulated time. level: 0 to 1, how bad, or which way it goes."""

    at: float
    kind: str
    node: str
    seconds: float
    level: float


@dataclass(frozen=True, slots=True)
class Mix:
    """How often what happens, for all seeds of a run."""

    weights: Mapping[str, float] = field(default_factory=lambda: dict(KINDS))
    rates: tuple[float, float] = (0.93, 1.07)  # of the nodes' clocks
    fixed_rates: Mapping[str, float] = field(default_factory=dict)  # of these nodes instead
    default_profile: float = 0.05  # share of seeds with the default numbers; others: fast
    etcd: float = 0.4  # share of seeds with etcd as the store; others: a NAS
    modes: Mapping[str, float] = field(
        default_factory=lambda: {"semi": 0.85, "strict": 0.08, "async": 0.07}
    )
    disks: Mapping[str, float] = field(
        default_factory=lambda: {"off": 0.3, "journal": 0.45, "fsync": 0.25}
    )
    small_backlog: float = 0.4  # share of seeds in which a backlog holds a few Changes only
    few_records: float = 0.5  # share of seeds in which the store keeps a few records only
    companions: float = 0.25  # share of faults that bring one with them
    rounds: float = 7.0  # T_conf of faults
    writes: float = 6.0  # of all clients in one T_conf


DEFAULT_MIX = Mix()


@dataclass(frozen=True, slots=True)
class Setup:
    """What a seed's pair is like."""

    fast: bool
    mode: str
    disk: str
    rates: Mapping[str, float]
    offsets: Mapping[str, float]
    backlog_changes: int
    keep_records: int
    protocols: Mapping[str, Protocols]
    chunk_bytes: int
    cold_start_alone: bool
    guard_lost: str
    drain_seconds: float
    grace_seconds: float
    latency: float
    etcd: bool
    failsafe: bool
    lb_path: str


def draw_setup(seed: int, mix: Mix) -> Setup:
    chance = random.Random(f"{seed}/setup")
    low, high = mix.rates
    mode = _weighted(chance, mix.modes)
    return Setup(
        fast=chance.random() >= mix.default_profile,
        mode=mode,
        disk=_weighted(chance, mix.disks),
        rates=(
            {name: chance.choice([low, high, chance.uniform(low, high)]) for name in NAMES}
            | dict(mix.fixed_rates)
        ),
        offsets={name: chance.uniform(0, 500) for name in NAMES},
        backlog_changes=(
            chance.choice([3, 10, 30]) if chance.random() < mix.small_backlog else 200_000
        ),
        keep_records=chance.choice([2, 5]) if chance.random() < mix.few_records else 128,
        protocols={name: chance.choice([PROTOCOLS, PROTOCOLS, OLD]) for name in NAMES},
        chunk_bytes=chance.choice([200, 1000, 65536]),
        cold_start_alone=chance.random() < 0.2,
        guard_lost=chance.choice(["alarm", "switchover"]),
        drain_seconds=chance.choice([0.0, 0.0, 0.3]),
        grace_seconds=chance.choice([30.0, 30.0, 3.0]),
        latency=chance.choice([0.0005, 0.002, 0.01]),
        etcd=chance.random() < mix.etcd,
        failsafe=chance.random() < 0.5,
        lb_path=chance.choice(["alarm", "auto"]),
    )


def plan(seed: int, mix: Mix = DEFAULT_MIX) -> list[Fault]:
    """The faults of a seed, in their order."""
    chance = random.Random(f"{seed}/plan")
    unit = 1.0 if draw_setup(seed, mix).fast else 3.0
    kinds, weights = list(mix.weights), list(mix.weights.values())
    faults: list[Fault] = []

    def draw(at: float, kind: str) -> None:
        node = chance.choice(["active", "active", "standby", *NAMES])
        seconds = chance.choice([0.15, 0.6, 1.3, 2.6, 5.0]) * chance.uniform(0.6, 1.4) * unit
        if kind in LINGERING:
            node, seconds = chance.choice(["active", node]), max(seconds, 2.0 * unit)
        faults.append(Fault(round(at, 3), kind, node, round(seconds, 3), chance.random()))

    at = chance.uniform(0.0, 3.0) * unit
    while at < mix.rounds * unit:
        kind = chance.choices(kinds, weights)[0]
        draw(at, kind)
        near = [one for one in COMPANIONS.get(kind, ()) if mix.weights.get(one)]
        if near and chance.random() < mix.companions:
            gap = chance.choice([0.0, 0.01, 0.1, 0.8]) * chance.random()
            if kind == "sick":
                gap = chance.uniform(*SWITCHED)
            at += gap * unit
            draw(at, chance.choice(near))
        # Some follow at once: what matters is often what comes into another's way.
        at += chance.choice([0.02, 0.2, 0.8, 1.6, 3.2]) * chance.uniform(0.4, 1.4) * unit
    return faults


def _weighted(chance: random.Random, weights: Mapping[str, float]) -> str:
    return chance.choices(list(weights), list(weights.values()))[0]
