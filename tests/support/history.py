"""What the clients of a run did and saw, and what that proves.

Every write carries a number that its client never uses twice and that only grows. A slot is
written by one client, so whoever looks at it sees numbers that only grow, too; one that falls
was shown and then taken back. The rules:

- *lost*: a read that began after the acknowledgement shows less than what was acknowledged;
- *vanished* (I8): a read that began after somebody saw a value shows less than that, or one
  observer sees a slot fall;
- *duplicate*: a keyed call took effect twice;
- *accepts*: the origin's process, epoch and CLOCK_BOOTTIME when it ran a method, told in the
  result; the intervals of two epochs must be disjoint, an epoch has one process (I1, I2).

Times are CLOCK_BOOTTIME seconds, taken on this machine.
"""

from __future__ import annotations

import bisect
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations

Slot = tuple[str, str]  # (object, key)


@dataclass(frozen=True, slots=True)
class Interval:
    """Something that was so from `start` to `end`."""

    owner: str
    start: float
    end: float

    def overlap(self, other: Interval) -> float:
        """Seconds for which both were so; 0 or less when they were disjoint."""
        return min(self.end, other.end) - max(self.start, other.start)

    def __str__(self) -> str:
        return f"{self.owner} [{self.start:.3f}, {self.end:.3f}]"


def overlaps(intervals: list[Interval]) -> list[str]:
    """A sentence for each two intervals of different owners that share time."""
    ordered = sorted(intervals, key=lambda interval: interval.start)
    found = []
    for index, first in enumerate(ordered):
        for second in ordered[index + 1 :]:
            if second.start >= first.end:
                break
            if second.owner != first.owner:
                found.append(f"{first} and {second} share {first.overlap(second):.3f} s")
    return found


@dataclass(slots=True)
class Client:
    """What one writing client got acknowledged."""

    name: str
    acked_at: list[float] = field(default_factory=list)
    sets: int = 0
    calls: int = 0
    unknown: int = 0
    last_call: int = 0


@dataclass(frozen=True, slots=True)
class Gap:
    """The longest time between two acknowledged writes of one client around a fault."""

    fault: int
    client: str
    seconds: float


@dataclass(slots=True)
class History:
    """The record of one run; filled by `load`, judged by `problems`."""

    clients: dict[str, Client] = field(default_factory=dict)
    acked: dict[Slot, int] = field(default_factory=dict)
    seen: dict[Slot, int] = field(default_factory=dict)
    faults: list[tuple[float, str]] = field(default_factory=list)
    accepts: dict[str, Interval] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    full_reads: int = 0
    rested_at: float = float("inf")  # when the writers had stopped because they were told to

    # ---- writers ----

    def client(self, name: str) -> Client:
        return self.clients.setdefault(name, Client(name))

    def set_acked(self, client: Client, slot: Slot, number: int, at: float) -> None:
        self.acked[slot] = max(number, self.acked.get(slot, 0))
        client.sets += 1
        client.acked_at.append(at)

    def call_acked(self, client: Client, number: int, answer: CallAnswer, at: float) -> None:
        """Judge the result of call `number`: what the method found when it ran."""
        if answer.previous < client.last_call:
            self.lost.append(
                f"{client.name}: call {client.last_call} was acknowledged, "
                f"call {number} found {answer.previous}"
            )
        if answer.repeated:
            self.duplicates.append(f"{client.name}: {answer.repeated} by call {number}")
        client.last_call = number
        client.calls += 1
        client.acked_at.append(at)
        owner = f"epoch {answer.epoch} of process {answer.pid}"
        was = self.accepts.get(owner)
        first, last = (was.start, was.end) if was else (answer.at, answer.at)
        self.accepts[owner] = Interval(owner, min(first, answer.at), max(last, answer.at))

    def fault(self, at: float, what: str) -> None:
        self.faults.append((at, what))

    # ---- readers ----

    def floors(self) -> tuple[dict[Slot, int], dict[Slot, int]]:
        """What a read that begins now must at least show: (acknowledged, seen)."""
        return dict(self.acked), dict(self.seen)

    def full_read(
        self,
        values: Mapping[Slot, int],
        floors: tuple[dict[Slot, int], dict[Slot, int]],
        reader: str,
    ) -> None:
        """Judge a complete look at the objects in `values` that began at `floors`."""
        acked, seen = floors
        for slot, number in acked.items():
            if values.get(slot, 0) < number:
                self.lost.append(f"{reader}: {slot} shows {values.get(slot, 0)}, acked {number}")
        for slot, number in seen.items():
            if values.get(slot, 0) < number:
                self.vanished.append(f"{reader}: {slot} shows {values.get(slot, 0)}, seen {number}")
        self.full_reads += 1
        for slot, number in values.items():
            self.seen[slot] = max(number, self.seen.get(slot, 0))

    def observer(self, name: str) -> Observer:
        return Observer(self, name)

    # ---- verdict ----

    def acknowledged(self) -> int:
        return sum(len(client.acked_at) for client in self.clients.values())

    def gaps(self, *, before: float = 0.5, after: float = 1.0) -> list[Gap]:
        """For each fault and client the longest pause that begins near the fault.

        A pause counts when its last acknowledged write lies within `before` seconds before the
        fault or `after` seconds after it (acknowledgements already under way arrive late). No
        later write at all is a pause without end, unless the writers were told to rest.
        """
        found = []
        for index, (at, _) in enumerate(self.faults):
            for client in self.clients.values():
                times = client.acked_at
                begin = bisect.bisect_left(times, at - before)
                end = bisect.bisect_right(times, at + after)
                if begin == end:  # silent all along: the pause began earlier
                    begin = max(0, begin - 1)
                longest = 0.0
                for position in range(begin, max(end, begin + 1)):
                    acked_at = times[position] if times else at
                    following = times[position + 1 : position + 2] or [self.rested_at]
                    longest = max(longest, following[0] - acked_at)
                found.append(Gap(index, client.name, longest))
        return found

    def problems(self) -> list[str]:
        """One sentence for each broken promise; empty is what must be."""
        found = [f"lost: {text}" for text in self.lost]
        found += [f"vanished: {text}" for text in self.vanished]
        found += [f"twice: {text}" for text in self.duplicates]
        found += [f"two accepted: {text}" for text in overlaps(list(self.accepts.values()))]
        found += [
            f"one epoch, two processes: {first.owner}, {second.owner}"
            for first, second in combinations(self.accepts.values(), 2)
            if first.owner.split()[:2] == second.owner.split()[:2]
        ]
        found += [
            f"never served again: {gap.client} after fault {gap.fault}"
            for gap in self.gaps()
            if gap.seconds == float("inf")
        ]
        return found

    def figures(self) -> dict[str, float]:
        """The numbers of the run; gaps in milliseconds."""
        gaps = [gap.seconds * 1000 for gap in self.gaps()]
        return {
            "faults": len(self.faults),
            "acknowledged": self.acknowledged(),
            "unknown": sum(client.unknown for client in self.clients.values()),
            "full_reads": self.full_reads,
            "lost": len(self.lost),
            "vanished": len(self.vanished),
            "duplicates": len(self.duplicates),
            "gap_median_ms": round(statistics.median(gaps), 1) if gaps else 0.0,
            "gap_worst_ms": round(max(gaps), 1) if gaps else 0.0,
        }


@dataclass(frozen=True, slots=True)
class CallAnswer:
    """What the proof application's `note` returns."""

    previous: int
    repeated: int
    pid: int
    epoch: int
    at: float


@dataclass(slots=True)
class Observer:
    """One pair of eyes: whatever it sees of a slot must never fall, across reconnections too."""

    history: History
    name: str
    last: dict[Slot, int] = field(default_factory=dict)

    def saw(self, slot: Slot, number: int) -> None:
        before = self.last.get(slot, 0)
        if number < before:
            self.history.vanished.append(f"{self.name}: {slot} fell from {before} to {number}")
        self.last[slot] = number
        self.history.seen[slot] = max(number, self.history.seen.get(slot, 0))

    def lost_sight(self, slot: Slot) -> None:
        """The slot was reported deleted: nobody deletes any."""
        if self.last.get(slot, 0):
            self.history.vanished.append(f"{self.name}: {slot} was deleted")
