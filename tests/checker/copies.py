"""The copies that two stopped nodes left on their disks, read without them."""

from __future__ import annotations

from pathlib import Path

from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.storage.recovery import recover


def compare(first: Path, second: Path) -> list[str]:
    """The state directories of both nodes: a sentence when they do not hold the same.

    The digest that each copy kept up while it changed is held against one counted anew, too.
    """
    copies = {path.parent.name: _load(path) for path in (first, second)}
    problems = [
        f"the copy of {name} does not add up: its digest is wrong"
        for name, state in copies.items()
        if state.digest() != state.recompute_digest()
    ]
    digests = {name: state.digest().hex() for name, state in copies.items()}
    if len(set(digests.values())) != 1:
        positions = {name: state.journal.position for name, state in copies.items()}
        problems.append(f"the copies differ: digests {digests}, positions {positions}")
    return problems


def _load(directory: Path) -> ReplicatedState:
    files = {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}
    return recover(files).state
