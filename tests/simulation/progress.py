"""How far a long run is: one live line on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from tests.simulation.tally import Tally

__all__ = ["Progress"]

PLAIN_SECONDS = 10.0  # between two lines in a log


class Progress:
    def __init__(self, seeds: int) -> None:
        self._seeds = seeds
        self._console = Console()
        self._started = time.monotonic()
        self._said_at = self._started
        self._told = 0
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(Text(""), console=self._console, transient=True)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def moved(self, tally: Tally) -> None:
        now = time.monotonic()
        for failure in tally.failures[self._told :]:  # at once: the rest may take an hour
            first_line = str(failure.violation).partition("\n")[0]
            self._console.print(f"seed {failure.seed}: {first_line}", markup=False, soft_wrap=True)
        self._told = len(tally.failures)
        line = self._line(tally, now - self._started)
        if self._live is not None:
            self._live.update(Text(line))
        elif now - self._said_at >= PLAIN_SECONDS:
            self._said_at = now
            print(line, flush=True)

    def _line(self, tally: Tally, seconds: float) -> str:
        rate = tally.seeds / max(seconds, 0.001)
        left = (self._seeds - tally.seeds) / max(rate, 0.001)
        return (
            f"{tally.seeds:,} of {self._seeds:,} seeds, {rate:.0f} a second, "
            f"{_clock(left)} to go, {len(tally.failures)} violations"
        )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
