"""`python -m tests.model`: see `--help`."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace

from tests.model.article import DEFECTS, search_article
from tests.model.sabotage import BROKEN
from tests.model.scenario import Scenario, broken, explore
from tests.model.search import Report


def main() -> int:
    arguments = _parser().parse_args()
    if arguments.rules == "article":
        return _article(as_json=arguments.json)
    if arguments.rules == "all-broken":
        return _all_broken(arguments)
    scenario = _scenario(arguments)
    report, lines = explore(scenario)
    if arguments.json:
        print(json.dumps({**_figures(report), "steps": lines}, indent=1))
    else:
        print(_told(scenario, report))
        print("\n".join(lines), end="\n" if lines else "")
    return 1 if report.found is not None else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.model",
        description="Search all states of a pair that so many faults lead to.",
    )
    rules = ["ours", "article", "all-broken", *BROKEN]
    parser.add_argument(
        "--rules", default="ours", metavar="RULES", choices=rules, help="|".join(rules)
    )
    parser.add_argument("--coordinator", default="file", choices=["file", "etcd"])
    parser.add_argument("--begin", default="settled", choices=["settled", "cold"])
    parser.add_argument("--mode", default="semi", choices=["semi", "strict", "async"])
    parser.add_argument("--faults", type=int, default=1, metavar="N", help="at most so many")
    parser.add_argument("--kinds", default="", help="of faults, comma-separated; default: all")
    parser.add_argument("--states", type=int, default=10**9, metavar="N", help="at most so many")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="of CPU time, at most")
    parser.add_argument("--writes", action="store_true", help="follow one client's write (I5)")
    parser.add_argument("--journal", action="store_true", help="disks keep what a process had")
    parser.add_argument("--json", action="store_true")
    return parser


def _scenario(arguments: argparse.Namespace) -> Scenario:
    limits = {"states": arguments.states, "seconds": arguments.seconds}
    if arguments.rules != "ours":
        return replace(broken(arguments.rules), **limits)
    kinds = frozenset(kind.strip() for kind in arguments.kinds.split(",") if kind.strip())
    return Scenario(
        coordinator=arguments.coordinator,
        begin=arguments.begin,
        faults=arguments.faults,
        kinds=kinds or None,
        mode=arguments.mode,
        writes=arguments.writes,
        journal=arguments.journal,
        **limits,
    )


def _told(scenario: Scenario, report: Report) -> str:
    layers = ", ".join(f"{count:,} with {n}" for n, count in sorted(report.states.items()))
    until = "the space is exhausted" if report.exhausted >= scenario.faults else "a limit was met"
    ended = "a violation was found" if report.found is not None else until
    return (
        f"{scenario.rules} rules, {scenario.coordinator}, {scenario.mode}, from {scenario.begin},"
        f" at most {scenario.faults} faults:\n"
        f"{report.visited:,} states ({layers}), {report.steps:,} steps, depth {report.depth},"
        f" {report.seconds:.1f} s; {ended}\n"
        f"exhausted up to {report.exhausted} faults; {report.lives:,} states of one node;"
        f" {len(report.rows)} rows acted"
    )


def _figures(report: Report) -> dict[str, object]:
    found = report.found
    return {
        "states": report.visited,
        "by_faults": dict(report.states),
        "steps_tried": report.steps,
        "depth": report.depth,
        "exhausted": report.exhausted,
        "seconds": round(report.seconds, 2),
        "rows": sorted(report.rows),
        "found": [found.invariant, found.text, found.faults] if found is not None else None,
    }


def _article(*, as_json: bool) -> int:
    """Exit code 0: each was found, as it should be."""
    found = [search_article(defect) for defect in DEFECTS]
    for one in found:
        if one is None:
            continue
        if as_json:
            print(json.dumps([one.defect, one.text, one.faults, one.states, one.steps]))
        else:
            steps = ", ".join(one.steps)
            print(f"{one.defect}: {one.text}; {one.states} states, {one.faults} faults: {steps}")
    return 1 if None in found else 0


def _all_broken(arguments: argparse.Namespace) -> int:
    """Exit code 0: each was found."""
    missed = 0
    for name in BROKEN:
        scenario = replace(broken(name), states=arguments.states, seconds=arguments.seconds)
        report, _ = explore(scenario)
        found = report.found
        what = f"{found.invariant} with {found.faults} faults" if found is not None else "NOT FOUND"
        missed += found is None
        print(f"{name:<52} {report.visited:>9,} states {report.seconds:6.1f} s  {what}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
