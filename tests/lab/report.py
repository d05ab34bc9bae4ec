"""The table of what was expected and what was seen."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table

from .fault import Result
from .run import worst_and_median

INTRODUCTION = """\
Every fault that a pair must live through, done to real processes: two origins under their guards,
HAProxy in front of them, the store and the clients, each on a host of its own (network namespaces
on one switch; ways are cut in the switch, in one direction or both). A NAS is a file system of the
lab's own, mounted on each host, that hangs, fills up or shows stale content on demand; etcd is
three real members. Six clients write through the load balancer all the time, one watches.

A verdict is `pass` only if everything held: who serves, what `/status` and `/history` say, nothing
acknowledged lost, taken back or done twice, and never two gates open, by a connect to both ports
every 50 ms from the load balancer's host, by `/health/active` of both, and by the origins' own
notes. Gap is the time from write to write of one client: the median of the clients, and the worst.
"""

COLUMNS = ("#", "mode", "fault", "expected", "observed", "gap ms", "worst", "verdict")


def table(results: Sequence[Result]) -> Table:
    """For the terminal."""
    passed = sum(result.passed for result in results)
    shown = Table(title=f"{passed} of {len(results)} as expected", show_lines=True)
    for name in COLUMNS:
        shown.add_column(name, justify="right" if name in ("#", "gap ms", "worst") else "left")
    for result in results:
        shown.add_row(*_cells(result))
    return shown


def markdown(results: Sequence[Result], command: str) -> str:
    """docs/lab.md."""
    passed = sum(result.passed for result in results)
    lines = [
        "# The lab",
        "",
        *INTRODUCTION.splitlines(),
        "",
        f"{passed} of {len(results)} as expected. Made with",
        "",
        f"    {command}",
        "",
        f"with {', '.join(_versions())}, on {platform.processor() or platform.machine()}.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "| " + " | ".join("---" for _ in COLUMNS) + " |",
    ]
    lines += ["| " + " | ".join(map(_escaped, _cells(result))) + " |" for result in results]
    return "\n".join(lines) + "\n"


def as_json(results: Iterable[Result]) -> list[dict[str, Any]]:
    return [
        {
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
        for result in results
    ]


def _cells(result: Result) -> list[str]:
    worst, median = worst_and_median(result.gaps)
    observed = "; ".join(result.observed)
    if not result.passed:
        observed += " NOT: " + "; ".join(check.what for check in result.failed)
    return [
        str(result.fault.number),
        result.coordinator,
        result.fault.how,
        result.fault.expected,
        observed,
        f"{median:.0f}" if result.gaps else "-",
        f"{worst:.0f}" if result.gaps else "-",
        "pass" if result.passed else "FAIL",
    ]


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")


def _versions() -> list[str]:
    found = [f"Linux {platform.release()}", f"Python {platform.python_version()}"]
    for command in (("haproxy", "-v"), ("nft", "--version"), ("etcd", "--version")):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found.append(done.stdout.partition("\n")[0].partition(" - ")[0].strip())
    return found
