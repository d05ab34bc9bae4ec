"""The lab: every fault of the table, done to a real pair in network namespaces.

    python -m tests.lab [--faults 1,3,5-9] [--coordinator file|etcd|both]
                        [--gate nftables|listener] [--json FILE] [--markdown FILE]

Two origins under their guards, HAProxy in front, the store (a NAS mounted on both, or three
etcd), and clients: each on a host of its own. Exit code 1 when an outcome is not the expected one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import shlex
import signal
import sys
from pathlib import Path

import pytest
import structlog
from rich.console import Console

from .fault import GATES, MODES, Fault, Result
from .faults import FAULTS
from .report import as_json, markdown, table
from .run import Lab

WRONG_USE = 2


def main() -> int:
    options = _options()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    console = Console(width=None if sys.stdout.isatty() else 180)
    modes = MODES if options.coordinator == "both" else (options.coordinator,)
    try:
        results = asyncio.run(_run(options.faults, modes, options.gate, console))
    except pytest.skip.Exception as reason:
        console.print(f"left out: {reason}", markup=False)
        return 0
    except pytest.fail.Exception as reason:
        console.print(f"FAILED: {reason}", markup=False)
        return 1
    console.print(table(results))
    command = shlex.join(["python", "-m", "tests.lab", *sys.argv[1:]])
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(results), indent=2) + "\n")
    if options.markdown is not None:
        options.markdown.write_text(markdown(results, command))
    return 0 if results and all(result.passed for result in results) else 1


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
    faults: list[Fault], modes: tuple[str, ...], gate: str, console: Console
) -> list[Result]:
    task = asyncio.current_task()
    assert task is not None
    # Like Ctrl-C: what the run has started must not outlive it.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)

    def tell(line: str) -> None:
        console.print(line, markup=False, highlight=False)

    results = []
    for mode in modes:
        lab = Lab(tell=tell)
        fitting = [one for one in faults if mode in one.modes and gate in one.gates]
        results += await lab.run(fitting, mode, gate)
    return results


if __name__ == "__main__":
    sys.exit(main())
