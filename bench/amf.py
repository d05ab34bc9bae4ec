"""AMF: our codecs, pure and compiled, against Py3AMF as installed by default and with Cython.

Each codec runs in processes of its own, in turns, and the best of all turns counts: what
disturbs the machine then disturbs all of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from bench.peers.compiled import ROOT, compiled_copy
from bench.table import arguments, report

WORKER = Path(__file__).parent / "peers" / "amf_worker.py"
PY3AMF = "Py3AMF==0.9.1"
GOALS = {
    ("pure", "Py3AMF"): 6.0,
    ("pure", "Cython"): 1.5,
    ("compiled", "Py3AMF"): 20.0,
    ("compiled", "Cython"): 5.0,
}
TURNS = 3

Command = tuple[list[str], dict[str, str]]


def cython_build(folder: Path) -> str | None:
    """Py3AMF with its Cython extensions in a virtual environment; None or why not."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    options = ["-q", "--no-cache-dir", "--no-binary", "Py3AMF", "-C", "py3amf.ext.cython=1"]
    install = subprocess.run(
        [python, "-m", "pip", "install", *options, PY3AMF], capture_output=True, text=True
    )
    lines = (install.stderr or install.stdout).strip().splitlines()
    return None if install.returncode == 0 else (lines or ["pip says nothing"])[-1]


def commands(folder: Path) -> tuple[dict[str, Command], list[str]]:
    """How to run each codec, and what is left out."""
    here = {name: value for name, value in os.environ.items() if name != "RTMP_SYNC_PURE"}
    own = [sys.executable, str(WORKER), "rtmp_sync"]
    found: dict[str, Command] = {
        "pure": (own, {**here, "PYTHONPATH": str(ROOT), "RTMP_SYNC_PURE": "1"}),
        "Py3AMF": ([sys.executable, str(WORKER), "pyamf"], here),
    }
    notes: list[str] = []
    fault = compiled_copy(folder / "copy")
    if fault is None:
        found["compiled"] = (own, {**here, "PYTHONPATH": str(folder / "copy")})
    else:
        notes.append(f"left out: our compiled build ({fault})")
    fault = cython_build(folder / "cython")
    if fault is None:
        python = str(folder / "cython" / "bin" / "python")
        found["Cython"] = ([python, str(WORKER), "pyamf"], here)
    else:
        notes.append(f"left out: Py3AMF with Cython ({fault})")
    return found, notes


def measure(found: dict[str, Command]) -> dict[str, dict[str, float]]:
    """Microseconds per call: codec -> case -> best of all turns."""
    kinds = {"pure": "pure", "compiled": "compiled", "Py3AMF": "pyamf", "Cython": "cpyamf"}
    best: dict[str, dict[str, float]] = {name: {} for name in found}
    for _ in range(TURNS):
        for name, (command, environment) in found.items():
            run = subprocess.run(
                command, env=environment, cwd="/", check=True, stdout=subprocess.PIPE, text=True
            )
            said = json.loads(run.stdout)
            assert said["kind"] == kinds[name], f"{name} ran {said['kind']}"
            for case, figure in said["figures"].items():
                best[name][case] = min(figure, best[name].get(case, figure))
    return best


def main() -> None:
    options = arguments(__doc__).parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-amf-") as folder:
        found, notes = commands(Path(folder))
        best = measure(found)
    pairs = [pair for pair in GOALS if pair[0] in best and pair[1] in best]
    rows = []
    for case in best["pure"]:
        ratios = [(best[peer][case] / best[ours][case], GOALS[ours, peer]) for ours, peer in pairs]
        cells = [f"{ratio:.1f}x" + ("" if ratio >= goal else " !") for ratio, goal in ratios]
        rows.append([case, *(best[name][case] for name in best), *cells])
    goals = ", ".join(f"{ours} {GOALS[ours, peer]:g}x {peer}" for ours, peer in pairs)
    notes.append(f"goals: {goals}; ! is below")
    report(
        "amf",
        "microseconds per call",
        ["case", *best, *(f"{ours} / {peer}" for ours, peer in pairs)],
        rows,
        figures={name: best[name] for name in ("pure", "compiled") if name in best},
        peers={name: best[name] for name in ("Py3AMF", "Cython") if name in best},
        notes=notes,
        json_file=options.json,
    )


if __name__ == "__main__":
    main()
