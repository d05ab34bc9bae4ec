"""Resident memory of the processes of a run, at its first verdict and later."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.pair import Pair

GROWTH = 1.5  # times what it was at first, and
ALLOWANCE_BYTES = 96 * 1024 * 1024  # what a resync and a backlog take for a while


@dataclass(slots=True)
class Memory:
    """Bytes by role: processes come and go, their roles stay."""

    first: dict[str, int] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)

    def sample(self, pair: Pair) -> None:
        pids = {"checker": os.getpid()}
        if pair.process is not None:
            pids["pair and front door"] = pair.process.pid
        for node in pair.nodes():
            living = pair.living(node)
            for role, found in (("origin", living.origins), ("guard", living.guards)):
                if found:
                    pids[f"{role} {node.id}"] = found[0]
        for role, pid in pids.items():
            with contextlib.suppress(OSError):
                self._note(role, _resident(pid))

    def _note(self, role: str, resident: int) -> None:
        self.first.setdefault(role, resident)
        self.last[role] = resident

    def problems(self) -> list[str]:
        return [
            f"memory: {role} grew from {self.first[role] >> 20} to {now >> 20} MiB"
            for role, now in self.last.items()
            if now > GROWTH * self.first[role] + ALLOWANCE_BYTES
        ]

    def rows(self) -> list[str]:
        return [
            f"{role}: {self.first[role] / 2**20:.0f} MiB at first, {now / 2**20:.0f} at the end"
            for role, now in sorted(self.last.items())
        ]


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
