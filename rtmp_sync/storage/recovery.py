"""What a node's files still say, whatever happened to them: some state that was once written.

The snapshot first, then every journal that goes on from the very state reached so far, each
up to its first bad record. So the result is always the state after some batch, never a mix;
what could not be used is named, and put aside rather than overwritten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.storage.journal_format import (
    SNAPSHOT,
    SNAPSHOT_UNFINISHED,
    Damage,
    DamagedFile,
    earlier_asides,
    generations,
    journal_name,
    read_journal,
    read_snapshot,
    replay,
)

__all__ = ["MAX_ASIDE", "Recovered", "recover"]

# Journals put aside by earlier starts that are kept; a node that fails again and again must not
# fill its disk with them.
MAX_ASIDE: Final = 8

_MAX_JOURNALS: Final = 8  # that a start may find before it writes a new snapshot


@dataclass(frozen=True, slots=True)
class Recovered:
    """changes: read from journals. damage: what was left out, and why. crowded: a new snapshot
    is better than these files. The rest are names of files: `journals` were read; `stale` ones
    hold nothing that is needed; `aside` ones hold what could not be used at all."""

    state: ReplicatedState
    generation: int  # the highest there is
    changes: int
    damage: tuple[Damage, ...]
    crowded: bool
    journals: tuple[str, ...]
    stale: tuple[str, ...]
    aside: tuple[str, ...]


def recover(files: Mapping[str, bytes], state: ReplicatedState | None = None) -> Recovered:
    """Fill an empty state, a new one by default, from a directory's files by name.

    Nothing that happens to files makes it raise; UnknownFormat if another version of this
    software wrote one. Files that are not the journal's are left alone.
    """
    reader = _Reader(state if state is not None else ReplicatedState())
    known = generations(files)
    first = reader.read_snapshot(files[SNAPSHOT]) if SNAPSHOT in files else 0
    cut_seq = reader.state.journal.head
    for generation in known:
        name = journal_name(generation)
        if generation < first:
            reader.stale.append(name)
        else:
            reader.read_journal(files[name], name)
    reader.stale += earlier_asides(files)[:-MAX_ASIDE]
    if SNAPSHOT_UNFINISHED in files:
        reader.stale.append(SNAPSHOT_UNFINISHED)
    return Recovered(
        state=reader.state,
        generation=max([first, *known]),
        changes=reader.state.journal.head - cut_seq,
        damage=tuple(reader.damage),
        crowded=bool(reader.damage) or len(reader.journals) > _MAX_JOURNALS,
        journals=tuple(reader.journals),
        stale=tuple(reader.stale),
        aside=tuple(reader.aside),
    )


class _Reader:
    """Reads file after file into one state."""

    def __init__(self, state: ReplicatedState) -> None:
        self.state = state
        self.damage: list[Damage] = []
        self.journals: list[str] = []
        self.stale: list[str] = []
        self.aside: list[str] = []

    def read_snapshot(self, data: bytes) -> int:
        """The generation that goes on from it; 0 if it is no use."""
        try:
            generation, copy = read_snapshot(data)
        except DamagedFile as error:
            self._put_aside(error.damage)
            return 0
        self.state.install(copy)
        return generation

    def read_journal(self, data: bytes, name: str) -> None:
        if not data:  # created, and the crash came
            self.stale.append(name)
            return
        try:
            head, offset = read_journal(data, name)
        except DamagedFile as error:
            self._put_aside(error.damage)
            return
        here = self.state.journal.head, self.state.digest()
        if (head.base_seq, head.base_digest) == here:
            self.journals.append(name)
            try:
                replay(self.state, data, offset, name)
            except DamagedFile as error:
                self.damage.append(error.damage)
        elif offset == len(data):
            self.stale.append(name)
        else:
            reason = f"goes on from another state, of seq {head.base_seq}"
            self._put_aside(Damage(name, 0, len(data), reason))

    def _put_aside(self, damage: Damage) -> None:
        self.damage.append(damage)
        self.aside.append(damage.file)
