"""The state of the whole pair at one instant, as a value."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from rtmp_sync.cluster.record import Record
from tests.model.life import EMPTY, Copy, End
from tests.model.tokens import Beat, Boot, Epoch, Instant

__all__ = [
    "NODES",
    "Host",
    "Key",
    "Lease",
    "Message",
    "Pair",
    "SlowCas",
    "SlowRead",
    "beginning",
    "other",
]

NODES: Final = ("A", "B")
Message = tuple[Any, ...]


def other(node: str) -> str:
    return "B" if node == "A" else "A"


class SlowRead(NamedTuple):
    """A read that takes its time. stage: 0 sent, 1 the heartbeat is written (the lease
    renewed), 2 the record is read, 3 the peer's heartbeat too: the answer is on its way."""

    started: Instant
    stage: int
    writes: bool
    beat: Beat | None = None
    record: Record | None = None
    holder_key: bool | None = None
    bound: bool = False
    peer_beat: str = ""


class SlowCas(NamedTuple):
    """A compare-and-set that takes its time. outcome: what the store said; "": it has not got
    it yet."""

    record: Record
    sent_at: Instant
    outcome: str = ""
    highest: Record | None = None


class Lease(NamedTuple):
    """etcd: granted to a boot; ends unless it is renewed."""

    boot: Boot
    serial: int
    ends: Instant


class Key(NamedTuple):
    """etcd: who holds, on whose lease."""

    boot: Boot
    epoch: int
    owner: Boot
    serial: int


class Host(NamedTuple):
    """A machine with its guard and its origin.

    life: of the process, -1 for none. frozen: "" runs, "origin" the process alone, "host" all of
    it. said: (epoch, boot) of the gate that the guard was told of. owed: the same once the
    process is dead, until the guard has released it. limbo: what was sent to the store and given
    up, and may still get there. lease: [etcd] (serial, when it was renewed) as the process knows
    it; bound: the epoch whose key it has put there. refused: a promise for this epoch was, and
    the process hears of it in its next round.
    """

    life: int = -1
    boot: Boot = Boot("?", 0)
    copy: Copy = EMPTY
    gate: str = "closed"
    held: bool = False
    ran: bool = False
    end: End = End()
    silent: int = 0
    refused: int = 0
    frozen: str = ""
    frozen_for: int = 0
    guard: bool = True
    said: tuple[int, Boot] | None = None
    owed: tuple[int, Boot] | None = None
    owed_for: int = 0
    read: SlowRead | None = None
    cas: SlowCas | None = None
    limbo: tuple[tuple[str, Any], ...] = ()
    reach: bool = True
    sick: bool = False
    shut: bool = False
    stuck: bool = False
    leaving: bool = False
    lease: tuple[int, Instant] | None = None
    bound: int = 0

    @property
    def runs(self) -> bool:
        return self.life >= 0 and not self.frozen


class Pair(NamedTuple):
    """Both hosts, what is between them, and the store.

    to_a, to_b: messages on their way to a node; cut_a, cut_b: they do not get there. beats: the
    heartbeat files of A and B. served: the last epoch whose gate was opened. write: the fate of
    the one client's write that is followed: "no", "applied", "acked" (the peer has it), "alone",
    "gone". apart: by how many ticks one clock is ahead, for `apart_for` ticks.
    """

    a: Host
    b: Host
    to_a: tuple[Message, ...] = ()
    to_b: tuple[Message, ...] = ()
    cut_a: bool = False
    cut_b: bool = False
    record: Record | None = None
    beats: tuple[str, str] = ("", "")
    leases: tuple[Lease, ...] = ()
    key: Key | None = None
    served: int = 0
    write: str = "no"
    forced: bool = False
    apart_for: int = 0

    def host(self, node: str) -> Host:
        return self.a if node == "A" else self.b


def beginning() -> Pair:
    """Two machines that are switched on, and an empty store."""
    return Pair(Host(boot=Boot("A", 0)), Host(boot=Boot("B", 0)), served=Epoch(0))
