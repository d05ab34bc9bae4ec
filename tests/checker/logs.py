"""The logs of a pair's processes, read as they grow: what must not be in them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.support.pair import now

# The guard says of a hung origin that it killed it; a copy may end in the middle of a record
# when its writer is killed, and says so when it is loaded.
EXPECTED = frozenset({"origin_killed", "journal_damaged"})
BAD_LEVELS = frozenset({"error", "critical"})


@dataclass(slots=True)
class Log:
    """One growing file."""

    path: Path
    problems: list[str] = field(default_factory=list)
    guard_kills: list[float] = field(default_factory=list)  # CLOCK_BOOTTIME
    _read: int = 0

    def collect(self) -> None:
        """Look at the lines that came since the last time."""
        with self.path.open("rb") as file:
            file.seek(self._read)
            *lines, cut_short = file.read().split(b"\n")
            self._read = file.tell() - len(cut_short)
        for line in lines:
            self.take(line.decode(errors="replace"))

    def take(self, line: str) -> None:
        try:
            entry = json.loads(line)
        except ValueError:
            if any(word in line for word in ("Traceback", "Error", "Exception")):
                self.problems.append(f"{self._name}: {line}")
            return
        if entry.get("event") == "origin_killed":
            self.guard_kills.append(_boottime(entry))
        is_bad = "exception" in entry or entry.get("level") in BAD_LEVELS
        if is_bad and entry.get("event") not in EXPECTED:
            self.problems.append(f"{self._name}: {line}")

    @property
    def _name(self) -> str:
        return f"{self.path.parent.name}/{self.path.name}"


def _boottime(entry: dict[str, Any]) -> float:
    age = datetime.now().timestamp() - datetime.fromisoformat(entry["at"]).timestamp()
    return now() - age
