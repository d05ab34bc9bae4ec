"""What the clients of a run did and saw, and what that proves.

Every write carries a number that its client never uses twice and that only grows. A slot is
written by one client, so whoever looks at it sees numbers that only grow, too; one that falls
was shown and then taken back. A slot that is not there shows the number of a delete. The rules:

- *lost*: a read that began after the acknowledgement shows less than what was acknowledged;
- *vanished* (I8): a read that began after somebody saw a value shows less than that, or one
  observer sees a slot, or the version of an object, fall;
- *phantom*: somebody sees what the slot's writer never sent;
- *duplicate*: a keyed call took effect twice;
- *stale*: a reader that was told all changes shows something else than the object holds;
- *accepts*: the origin's process, epoch and CLOCK_BOOTTIME when it ran a method, told in the
  result; the intervals of two epochs must be disjoint, an epoch has one process (I1, I2).

Times are CLOCK_BOOTTIME seconds, taken on this machine.
"""

from __future__ import annotations

import bisect
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import combinations, pairwise

from .slot_writes import SlotWrites

Slot = tuple[str, str]  # (object, key)
Counted = tuple[str, str]  # (method, client)


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


class Findings(list[str]):
    """Sentences, each with the time at which it was found: logs have theirs."""

    def note(self, text: str) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.append(f"{text} (found at {at})")


@dataclass(slots=True)
class Client:
    """What one writing client got acknowledged. `acked_at`: since the last `compact`."""

    name: str
    acked_at: list[float] = field(default_factory=list)
    acknowledged: int = 0
    unknown: int = 0
    last_call: int = 0

    def acked(self, at: float) -> None:
        self.acknowledged += 1
        self.acked_at.append(at)


@dataclass(frozen=True, slots=True)
class Gap:
    """The longest time between two acknowledged writes of one client around a fault."""

    client: str
    fault: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Floors:
    """What a look that begins now must at least show."""

    acked: dict[Slot, int]
    seen: dict[Slot, int]
    runs_acked: dict[Counted, int]
    runs_seen: dict[Counted, int]


@dataclass(slots=True)
class History:
    """The record of one run; filled by `load`, judged by `problems`."""

    clients: dict[str, Client] = field(default_factory=dict)
    writes: dict[Slot, SlotWrites] = field(default_factory=lambda: defaultdict(SlotWrites))
    acked: dict[Slot, int] = field(default_factory=dict)
    seen: dict[Slot, int] = field(default_factory=dict)
    runs_asked: Counter[Counted] = field(default_factory=Counter)
    runs_acked: Counter[Counted] = field(default_factory=Counter)
    runs_seen: dict[Counted, int] = field(default_factory=dict)
    faults: list[tuple[float, str]] = field(default_factory=list)
    accepts: dict[str, Interval] = field(default_factory=dict)
    lost: Findings = field(default_factory=Findings)
    vanished: Findings = field(default_factory=Findings)
    phantoms: Findings = field(default_factory=Findings)
    duplicates: Findings = field(default_factory=Findings)
    stale: Findings = field(default_factory=Findings)
    full_reads: int = 0
    rested_at: float = float("inf")  # when the writers had stopped because they were told to

    # ---- writers ----

    def client(self, name: str) -> Client:
        return self.clients.setdefault(name, Client(name))

    def set_sent(self, slot: Slot, number: int, *, deletes: bool = False) -> None:
        self.writes[slot].sent(number, deletes=deletes)

    def set_acked(self, client: Client, slot: Slot, number: int, at: float) -> None:
        self.acked[slot] = max(number, self.acked.get(slot, 0))
        client.acked(at)

    def call_sent(self, client: Client, method: str) -> None:
        """A call that is to run once, numbered or not."""
        self.runs_asked[method, client.name] += 1

    def call_acked(self, client: Client, method: str, at: float) -> None:
        self.runs_acked[method, client.name] += 1
        client.acked(at)

    def note_acked(self, client: Client, number: int, answer: CallAnswer, at: float) -> None:
        """Judge the result of call `number`: what the method found when it ran."""
        if answer.previous < client.last_call:
            self.lost.note(
                f"{client.name}: call {client.last_call} was acknowledged, "
                f"call {number} found {answer.previous}"
            )
        if answer.repeated:
            self.duplicates.note(f"{client.name}: {answer.repeated} by call {number}")
        client.last_call = number
        self.call_acked(client, "note", at)
        owner = f"epoch {answer.epoch} of process {answer.pid}"
        was = self.accepts.get(owner)
        first, last = (was.start, was.end) if was else (answer.at, answer.at)
        self.accepts[owner] = Interval(owner, min(first, answer.at), max(last, answer.at))

    def fault(self, at: float, what: str) -> None:
        self.faults.append((at, what))

    # ---- readers ----

    def floors(self) -> Floors:
        return Floors(
            dict(self.acked), dict(self.seen), dict(self.runs_acked), dict(self.runs_seen)
        )

    def full_read(self, values: Mapping[Slot, int], floors: Floors, reader: str) -> None:
        """Judge a complete look at the objects in `values` that began at `floors`."""
        for slot in floors.acked.keys() | floors.seen.keys() | values.keys():
            shown = self._judge(
                slot,
                values.get(slot),
                acked=floors.acked.get(slot, 0),
                seen=floors.seen.get(slot, 0),
                reader=reader,
            )
            self.seen[slot] = max(shown, self.seen.get(slot, 0))
        self.full_reads += 1

    def runs_read(self, runs: Mapping[Counted, int], floors: Floors, reader: str) -> None:
        """Judge how often each method ran for each client, by a look that began at `floors`."""
        for what, floor, found in (
            ("acked", floors.runs_acked, self.lost),
            ("seen", floors.runs_seen, self.vanished),
        ):
            for counted, number in floor.items():
                if runs.get(counted, 0) < number:
                    ran = runs.get(counted, 0)
                    found.note(f"{reader}: {counted} ran {ran} times, {what} {number}")
        for counted, number in runs.items():
            self.runs_seen[counted] = max(number, self.runs_seen.get(counted, 0))
            if number > self.runs_asked[counted]:
                asked = self.runs_asked[counted]
                self.duplicates.note(f"{reader}: {counted} ran {number} times, asked {asked}")

    def mirrored(self, shown: Mapping[Slot, int], values: Mapping[Slot, int], reader: str) -> None:
        """Judge the copy of a reader that was told all changes, at rest, by what is there."""
        differing = sorted(
            slot for slot in shown.keys() | values.keys() if shown.get(slot) != values.get(slot)
        )
        if differing:
            self.stale.note(
                f"{reader}: {len(differing)} slots, e.g. {differing[0]} shows "
                f"{shown.get(differing[0])} instead of {values.get(differing[0])}"
            )

    def observer(self, name: str) -> Observer:
        return Observer(self, name)

    def _judge(self, slot: Slot, value: int | None, *, acked: int, seen: int, reader: str) -> int:
        """The number that this look at the slot shows: the value's, or that of a delete."""
        writes = self.writes[slot]
        number = value if value is not None else writes.deleted_since(max(acked, seen)) or 0
        text = "nothing" if value is None else str(value)
        if number < acked:
            self.lost.note(f"{reader}: {slot} shows {text}, acked {acked}")
        if number < seen:
            self.vanished.note(f"{reader}: {slot} shows {text}, seen {seen}")
        if value is not None and not writes.was_sent(value):
            self.phantoms.note(f"{reader}: {slot} shows {text}, which nobody sent")
        return number

    # ---- verdict ----

    @property
    def broken(self) -> bool:
        """Whether a promise is known to be broken; `problems` looks closer."""
        return any((self.lost, self.vanished, self.phantoms, self.duplicates, self.stale))

    def acknowledged(self) -> int:
        return sum(client.acknowledged for client in self.clients.values())

    def gaps(self, *, before: float = 0.5, after: float = 1.0) -> list[Gap]:
        """For each fault and client the longest pause that begins near the fault.

        A pause counts when its last acknowledged write lies within `before` seconds before the
        fault or `after` seconds after it (acknowledgements already under way arrive late). No
        later write at all is a pause without end, unless the writers were told to rest.
        """
        return [
            Gap(client.name, what, self._gap(client.acked_at, at, before, after))
            for at, what in self.faults
            for client in self.clients.values()
        ]

    def longest_pause(self, at: float, *, before: float = 0.5, after: float = 1.0) -> float:
        """Seconds that the client waited who waited longest around `at`, as far as it is over."""
        pauses = [0.0]
        for client in self.clients.values():
            begin = bisect.bisect_left(client.acked_at, at - before)
            end = bisect.bisect_right(client.acked_at, at + after)
            around = client.acked_at[max(0, begin - (begin == end)) : end + 1]
            pauses += [later - earlier for earlier, later in pairwise(around)]
        return max(pauses)

    def _gap(self, times: list[float], at: float, before: float, after: float) -> float:
        begin = bisect.bisect_left(times, at - before)
        end = bisect.bisect_right(times, at + after)
        if begin == end:  # silent all along: the pause began earlier
            begin = max(0, begin - 1)
        longest = 0.0
        for position in range(begin, max(end, begin + 1)):
            acked_at = times[position] if times else at
            following = times[position + 1 : position + 2] or [self.rested_at]
            longest = max(longest, following[0] - acked_at)
        return longest

    def problems(self) -> list[str]:
        """One sentence for each broken promise; empty is what must be."""
        found = [f"lost: {text}" for text in self.lost]
        found += [f"vanished: {text}" for text in self.vanished]
        found += [f"phantom: {text}" for text in self.phantoms]
        found += [f"twice: {text}" for text in self.duplicates]
        found += [f"stale: {text}" for text in self.stale]
        found += [f"two accepted: {text}" for text in overlaps(list(self.accepts.values()))]
        found += [
            f"one epoch, two processes: {first.owner}, {second.owner}"
            for first, second in combinations(self.accepts.values(), 2)
            if first.owner.split()[:2] == second.owner.split()[:2]
        ]
        found += [
            f"never served again: {gap.client} after {gap.fault}"
            for gap in self.gaps()
            if gap.seconds == float("inf")
        ]
        return found

    def compact(self) -> None:
        """Forget what a verdict has judged: the faults so far, and when what was acknowledged."""
        self.faults.clear()
        for client in self.clients.values():
            del client.acked_at[:-1]

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
            "phantoms": len(self.phantoms),
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
    versions: dict[str, int] = field(default_factory=dict)

    def saw(self, slot: Slot, value: int | None) -> None:
        """The slot was shown; None: it is not there."""
        history, before = self.history, self.last.get(slot, 0)
        if value is None:
            number = history.writes[slot].deleted_since(before) or 0
        else:
            number = value
            if not history.writes[slot].was_sent(value):
                history.phantoms.note(f"{self.name}: {slot} shows {value}, which nobody sent")
        if number < before:
            text = "nothing" if value is None else str(value)
            history.vanished.note(f"{self.name}: {slot} fell from {before} to {text}")
        self.last[slot] = number
        history.seen[slot] = max(number, history.seen.get(slot, 0))

    def saw_version(self, object_name: str, version: int) -> None:
        before = self.versions.get(object_name, 0)
        if version < before:
            self.history.vanished.note(
                f"{self.name}: {object_name} went back from version {before} to {version}"
            )
        self.versions[object_name] = version
