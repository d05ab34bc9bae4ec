"""Runs seeds: one here, or many in processes, a block at a time so that memory stays bounded."""

from __future__ import annotations

import gc
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass

from tests.simulation import DEFAULT_MIX, Fault, Mix, Outcome, sabotage, simulate
from tests.simulation.tally import Tally

__all__ = ["Job", "Scenario", "attempt", "run_many", "run_seeds"]

BLOCK = 20  # seeds that a process takes at a time: about a second's work
MAX_SECONDS = 60  # for one seed: a thousand times what it needs


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is the same in all seeds: the weights of the faults, and what is broken on purpose."""

    mix: Mix = DEFAULT_MIX
    sabotage: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """`seconds` of real time after which no further seed is begun; None: all of them."""

    scenario: Scenario
    seeds: range
    processes: int
    seconds: float | None = None


def attempt(
    scenario: Scenario, seed: int, faults: Sequence[Fault] | None = None, *, trace: bool = False
) -> Outcome:
    """One seed, with these faults instead of its own."""
    with _not_for_ever(), sabotage.applied(scenario.sabotage):
        return simulate(seed, faults=faults, mix=scenario.mix, trace=trace)


@contextmanager
def _not_for_ever() -> Iterator[None]:
    """An endless loop becomes an exception in the midst of it, with its traceback."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"a seed took more than {MAX_SECONDS} s of processor time")

    signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, MAX_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def run_seeds(scenario: Scenario, seeds: range) -> Tally:
    """All of them, one after the other, in this process."""
    total = Tally()
    for seed in seeds:
        total.take(attempt(scenario, seed))
    return total


def run_many(job: Job, moved: Callable[[Tally], None], *, stop_after: int) -> Tally:
    """Until all are done, the time is up or `stop_after` seeds failed; `moved` hears of it."""
    total, until = Tally(), _until(job.seconds)
    blocks = _blocks(job.seeds)
    context = multiprocessing.get_context("forkserver")  # fork and threads do not mix
    with ProcessPoolExecutor(job.processes, context, initializer=_begin_worker) as pool:
        running: set[Future[Tally]] = set()
        while True:
            while len(running) < 2 * job.processes and time.monotonic() < until:
                block = next(blocks, None)
                if block is None:
                    break
                running.add(pool.submit(run_seeds, job.scenario, block))
            if not running:
                return total
            try:
                done, running = wait(running, return_when=FIRST_COMPLETED)
            except KeyboardInterrupt:
                until = 0.0  # what was begun is finished
                continue
            for future in done:
                total.add(future.result())
            moved(total)
            if len(total.failures) >= stop_after:
                until = 0.0


def _begin_worker() -> None:
    """Ctrl-C is the parent's to handle; what is loaded by now is never garbage."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()


def _until(seconds: float | None) -> float:
    return float("inf") if seconds is None else time.monotonic() + seconds


def _blocks(seeds: range) -> Iterator[range]:
    for start in range(0, len(seeds), BLOCK):
        yield seeds[start : start + BLOCK]
