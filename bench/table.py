"""What every bench prints and writes: one table for people, one JSON file for programs.

JSON: {"name", "unit", "figures": {…}, "peers": {…}, "machine": {…}}. `figures` are ours,
`peers` what they are held against, measured in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["arguments", "machine", "report"]


def arguments(description: str | None) -> argparse.ArgumentParser:
    """A parser that already knows `--json FILE`; add your own options, then parse."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    return parser


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "processors": os.cpu_count(),
        "processor": _processor(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def report(
    name: str,
    unit: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    figures: dict[str, Any],
    peers: dict[str, Any],
    notes: Sequence[str] = (),
    json_file: Path | None = None,
) -> None:
    """Print the table (the first column is text, the others figures) and write the JSON file."""
    table = Table(title=f"{name} ({unit})")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    console = Console()
    if not console.is_terminal:  # a file or a log, which rich would take for 80 columns wide
        console = Console(width=160)
    console.print(table)
    for note in notes:
        console.print(note, highlight=False)
    if json_file is not None:
        content = {
            "name": name,
            "unit": unit,
            "figures": figures,
            "peers": peers,
            "machine": machine(),
        }
        json_file.write_text(json.dumps(content, indent=2) + "\n")


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
