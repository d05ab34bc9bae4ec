"""The table of what was expected and what was seen. Works on records, one for each fault and
mode, as they are kept in a JSON file: those of later runs take the place of earlier ones."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from .fault import MODES, Fault, Result

COMMAND = "python -m tests.lab --json bench/results/lab.json --markdown docs/lab.md"

INTRODUCTION = """\
Every fault that a pair must live through, done to real processes: two origins under their guards,
HAProxy in front of them with the [shipped sample](samples/haproxy.cfg), the store and the clients,
each on a host of its own (network namespaces on one switch; ways are cut in the switch, in one
direction or both). A NAS is a file system of the lab's own, mounted on each host, that hangs, fills
up or shows stale content on demand; etcd is three real members on three hosts. Six clients write
through the load balancer all the time, one watches. The gate is `nftables`, the numbers are the
default profile's.

A verdict is `pass` only if everything held: who serves, what `/status` and `/history` say, nothing
acknowledged lost, taken back or done twice, and never two gates open, by a connect to both ports
every 50 ms from the load balancer's host, by `/health/active` of both, and by the origins' own
notes. Gap is the longest time from write to write of one client from the fault to the end of the
scene, repairs and restarts that are part of it included: the median of the clients, and the worst.
"""

COLUMNS = ("#", "mode", "fault", "expected", "observed", "gap ms", "worst", "verdict")
FIGURES = ("#", "gap ms", "worst")

Record = dict[str, Any]


def record_of(result: Result) -> Record:
    return {
        "number": result.fault.number,
        "coordinator": result.coordinator,
        "gate": result.gate,
        "fault": result.fault.how,
        "expected": result.fault.expected,
        "observed": result.observed,
        "passed": result.passed,
        "checks": [[check.what, check.ok, check.seen] for check in result.checks],
        "gaps_ms": [round(gap, 1) for gap in result.gaps],
        "seconds": round(result.seconds, 1),
    }


def kept_in(path: Path) -> list[Record]:
    """What an earlier run left there."""
    if not path.exists():
        return []
    records: list[Record] = json.loads(path.read_text())
    return records


def merged(kept: Iterable[Record], new: Iterable[Record], faults: Sequence[Fault]) -> list[Record]:
    """The new ones, and those kept of faults that were not done again and are still known, in
    the order of `faults`."""
    places = {(fault.number, fault.how): place for place, fault in enumerate(faults)}
    found = {_key(record): record for record in (*kept, *new)}
    known = [record for record in found.values() if _key(record)[:2] in places]

    def place(record: Record) -> tuple[int, int]:
        return places[_key(record)[:2]], MODES.index(record["coordinator"])

    return sorted(known, key=place)


def _key(record: Record) -> tuple[Any, ...]:
    return record["number"], record["fault"], record["coordinator"], record["gate"]


def table(records: Sequence[Record]) -> Table:
    """For the terminal."""
    shown = Table(title=_score(records), show_lines=True)
    for name in COLUMNS:
        shown.add_column(name, justify="right" if name in FIGURES else "left")
    for record in records:
        shown.add_row(*_cells(record))
    return shown


def markdown(records: Sequence[Record]) -> str:
    """docs/lab.md."""
    lines = [
        "# The lab",
        "",
        *INTRODUCTION.splitlines(),
        "",
        f"{_score(records)}. Made with `make lab`, which is",
        "",
        f"    {COMMAND}",
        "",
        "(with `--faults`, outcomes of faults that were done again take the place of earlier ones)",
        f"and {', '.join(_versions())},",
        f"on {os.cpu_count()} cores, under a load of {os.getloadavg()[2]:.0f}, ours and others'.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "| " + " | ".join("---:" if name in FIGURES else "---" for name in COLUMNS) + " |",
    ]
    lines += ["| " + " | ".join(map(_escaped, _cells(record))) + " |" for record in records]
    return "\n".join(lines) + "\n"


def _score(records: Sequence[Record]) -> str:
    faults = {record["number"] for record in records}
    passed = sum(record["passed"] for record in records)
    return f"{passed} of {len(records)} outcomes as expected, of {len(faults)} faults"


def _cells(record: Record) -> list[str]:
    gaps = record["gaps_ms"]
    observed = "; ".join(dict.fromkeys(record["observed"]))
    if not record["passed"]:
        observed += " NOT: " + "; ".join(what for what, ok, _ in record["checks"] if not ok)
    return [
        str(record["number"]),
        record["coordinator"],
        record["fault"],
        record["expected"],
        observed.strip(),
        f"{statistics.median(gaps):.0f}" if gaps else "-",
        f"{max(gaps):.0f}" if gaps else "-",
        "pass" if record["passed"] else "FAIL",
    ]


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")


def _versions() -> list[str]:
    found = [f"Linux {platform.release().partition('-')[0]}", f"Python {platform.python_version()}"]
    for command in (("haproxy", "-v"), ("nft", "--version"), ("etcd", "--version")):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found.append(done.stdout.partition("\n")[0].partition(" - ")[0].strip())
    return found
