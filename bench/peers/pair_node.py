"""One origin of the replication bench: a real one, whose process can also tell what it did.

    python -m bench.peers.pair_node CONFIG TRACE

TRACE gets one line per fact, times in seconds of the clock that all processes share:

    batch TIME SEQ      a turn's Changes were made here, or had been applied here, up to SEQ
    copy TIME           [active] a whole copy began
    caught_up TIME      [active] the other node follows turn by turn again

SIGUSR1 writes the facts so far to TRACE (and begins anew); SIGUSR2 forgets the backlog, as an
origin does when the other one was away for an hour: its next resync is a whole copy.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from rtmp_sync import Origin
from rtmp_sync.config import load_config
from rtmp_sync.server.clock import now
from rtmp_sync.server.log import configure_logging
from rtmp_sync.server.loop import run
from rtmp_sync.state.journal import Batch

LOOK_SECONDS = 0.005


class Trace:
    """What is written to the file."""

    def __init__(self, origin: Origin, file: Path) -> None:
        self.tracing = False
        self._origin = origin
        self._file = file
        self._batches: list[tuple[float, int]] = []
        self._facts: list[tuple[str, float]] = []
        self._write = origin.persistence.write
        origin.persistence.write = self._seen  # type: ignore[method-assign]  # both nodes' batches

    def _seen(self, batch: Batch) -> None:
        if self.tracing:
            self._batches.append((now(), batch.last_seq))
        self._write(batch)

    def toggle(self) -> None:
        """Begin to note batches, or write everything that was noted."""
        self.tracing = not self.tracing
        lines = [f"batch {at:.6f} {seq}\n" for at, seq in self._batches]
        lines += [f"{name} {at:.6f}\n" for name, at in self._facts]
        self._batches, self._facts = [], []
        unfinished = self._file.with_suffix(".new")
        unfinished.write_text("".join(lines))
        unfinished.rename(self._file)

    async def look(self) -> None:
        """Note when a whole copy begins and when it was caught up with."""
        copies, copying = 0, False
        while True:
            link = self._origin.replication
            if link is not None:
                if link.full_copies > copies:
                    copies, copying = link.full_copies, True
                    self._facts.append(("copy", now()))
                if copying and link.peer_caught_up:
                    copying = False
                    self._facts.append(("caught_up", now()))
            await asyncio.sleep(LOOK_SECONDS)


async def serve(config_file: Path, trace_file: Path) -> None:
    origin = Origin(load_config(config_file))
    trace = Trace(origin, trace_file)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, trace.toggle)
    loop.add_signal_handler(signal.SIGUSR2, lambda: origin.state.journal.drop_backlog())
    looking = loop.create_task(trace.look())
    try:
        await origin.run()
    finally:
        looking.cancel()


if __name__ == "__main__":
    configure_logging()
    run(serve(Path(sys.argv[1]), Path(sys.argv[2])))
