"""What a turn of the failover machine asks for. The watchdog performs; nothing here does."""

from __future__ import annotations

from dataclasses import dataclass, field

from rtmp_sync.cluster.record import Record

__all__ = [
    "Action",
    "Answer",
    "AskPromise",
    "Cas",
    "CloseGate",
    "CompareDigests",
    "Demote",
    "Happened",
    "HoldWrites",
    "Prepare",
    "Promote",
    "Repair",
    "Switchover",
]


@dataclass(frozen=True, slots=True)
class Cas:
    """Try to put this record in the place of its predecessor."""

    record: Record


@dataclass(frozen=True, slots=True)
class CloseGate:
    """Now: revoke authority, close the gate, cut every session, read the gate back."""

    reason: str


@dataclass(frozen=True, slots=True)
class Promote:
    """Fix the promotion point, begin the record's epoch and history, open the gate."""

    record: Record
    lossy: bool


@dataclass(frozen=True, slots=True)
class Demote:
    """Stop whatever served clients, and join the other node. What it never had is saved when
    the copies are compared."""


@dataclass(frozen=True, slots=True)
class AskPromise:
    """Ask the peer to vouch that it has not claimed and will not."""

    epoch: int


@dataclass(frozen=True, slots=True)
class CompareDigests:
    """Ask whether the peer's copy is the same as mine; the answer, which names the question,
    comes in a later view."""

    question: int = 0  # the member numbers them


@dataclass(frozen=True, slots=True)
class Repair:
    """Have the peer make a whole new copy; the record says already that it is not in sync."""


@dataclass(frozen=True, slots=True)
class HoldWrites:
    """Apply no client's write until told otherwise."""

    on: bool


@dataclass(frozen=True, slots=True)
class Prepare:
    """Hold writes, and ask the peer to say when it has the last one."""

    switch_id: str
    deadline_seconds: float


@dataclass(frozen=True, slots=True)
class Switchover:
    """Tell the peer how the switchover goes: "ready" (the standby), "abort" or "done"."""

    kind: str
    switch_id: str
    epoch: int = 0
    final_seq: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """The operator's request is settled."""

    done: bool
    text: str


@dataclass(frozen=True, slots=True)
class Happened:
    """For the history: an event and its fields."""

    event: str
    fields: dict[str, object] = field(default_factory=dict)


Action = (
    Cas
    | CloseGate
    | Promote
    | Demote
    | AskPromise
    | CompareDigests
    | Repair
    | HoldWrites
    | Prepare
    | Switchover
    | Answer
    | Happened
)
