"""What a node asks of its disk, one primitive step each: a crash fits between any two.

Each belongs to a lane. A lane does its operations in their order and knows nothing of the
other one's; after one that failed it does none until its next `Create`, since a file with a
gap is worth nothing. `generation` says which journal or snapshot the step is for.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = [
    "JOURNAL_LANE",
    "SNAPSHOT_LANE",
    "Append",
    "Create",
    "Delete",
    "Operation",
    "Replace",
    "Sync",
    "SyncDirectory",
]

# Clients wait for the journal; nobody must wait behind the bulk of a snapshot.
JOURNAL_LANE: Final = 0
SNAPSHOT_LANE: Final = 1


class Create(NamedTuple):
    """Begin a file, empty, whatever was there."""

    lane: int
    generation: int
    name: str


class Append(NamedTuple):
    """Write at the end of the lane's file. durable: to the disk itself before it counts.

    Neighbours may become one write. seq: the journal holds everything up to it afterwards.
    """

    lane: int
    generation: int
    name: str
    data: bytes
    durable: bool
    seq: int


class Sync(NamedTuple):
    """Bring a file's content to the disk itself; one that is gone needs it no more."""

    lane: int
    generation: int
    name: str


class Replace(NamedTuple):
    """Rename a file, over another one if need be."""

    lane: int
    generation: int
    name: str
    to: str


class SyncDirectory(NamedTuple):
    """Bring the names of the files to the disk itself."""

    lane: int
    generation: int


class Delete(NamedTuple):
    """Remove files; one that is not there is fine."""

    lane: int
    generation: int
    names: tuple[str, ...]


Operation = Create | Append | Sync | Replace | SyncDirectory | Delete
