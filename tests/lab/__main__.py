"""The lab: every fault of the table, done to a real pair in network namespaces.

    python -m tests.lab [--faults 1,3,5-9] [--coordinator file|etcd|both]
                        [--gate nftables|listener] [--json FILE] [--markdown FILE]

In the JSON file the outcomes of faults that are not done this time stay, and with it they are
in the markdown, too.

Two origins under their guards, HAProxy in front, the store (a NAS mounted on both, or three
etcd), and clients: each on a host of its own. Exit code 1 when an outcome is not the expected one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog
from rich.console import Console

from .fault import GATES, MODES, Fault, Result
from .faults import FAULTS
from .report import Record, kept_in, markdown, merged, record_of, table
from .run import Lab


def main() -> int:
    options = _options()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    console = Console(width=None if sys.stdout.isatty() else 180)
    records: list[Record] = []

    def keep(result: Result) -> None:
        """At once: a run that is stopped has told what it saw."""
        records.append(record_of(result))
        if options.json is not None:
            all_of_them = merged(kept_in(options.json), records, FAULTS)
            options.json.write_text(json.dumps(all_of_them, indent=2) + "\n")

    try:
        asyncio.run(_run(options, console, keep))
    except pytest.skip.Exception as reason:
        console.print(f"left out: {reason}", markup=False)
        return 0
    except pytest.fail.Exception as reason:
        console.print(f"FAILED: {reason}", markup=False)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("stopped")
        return 1
    console.print(table(merged([], records, FAULTS)))
    if options.markdown is not None:
        kept = kept_in(options.json) if options.json is not None else []
        options.markdown.write_text(markdown(merged(kept, records, FAULTS)))
    return 0 if records and all(record["passed"] for record in records) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--faults", type=_faults, default=FAULTS, metavar="1,3,5-9")
    parser.add_argument("--coordinator", choices=(*MODES, "both"), default="both")
    parser.add_argument("--gate", choices=GATES, default="nftables")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    return parser.parse_args()


def _faults(text: str) -> list[Fault]:
    numbers: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        numbers.update(range(int(first), int(last or first) + 1))
    known = {fault.number for fault in FAULTS}
    if unknown := numbers - known:
        raise argparse.ArgumentTypeError(f"no such faults: {sorted(unknown)}")
    return [fault for fault in FAULTS if fault.number in numbers]


async def _run(
    options: argparse.Namespace, console: Console, keep: Callable[[Result], None]
) -> None:
    task = asyncio.current_task()
    assert task is not None
    # Like Ctrl-C: what the run has started must not outlive it.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)

    def tell(line: str) -> None:
        console.print(line, markup=False, highlight=False)

    lab = Lab(tell=tell, keep=keep)
    for mode in MODES if options.coordinator == "both" else (options.coordinator,):
        fitting = [one for one in options.faults if mode in one.modes and options.gate in one.gates]
        await lab.run(fitting, mode, options.gate)


if __name__ == "__main__":
    sys.exit(main())
