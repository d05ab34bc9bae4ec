"""Remote calls: server CPU per call, calls a second, and how long a caller waits.

The origin runs in a process of its own with its journal on. `setText` sets a slot of a
persistent shared object, `getText` reads it; a refused call is one that the whitelist stops.
A keyed call runs exactly once: it journals that it was begun, and its result.

    alone       one client, each call after the last one's answer
    under way   one client, 64 calls under way
    crowd       50 clients, each call after the last one's answer
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import uvloop

from bench.fanout import process
from bench.peers.process import cpu_seconds
from bench.table import arguments, report
from rtmp_sync import CallError, NetConnection

CROWD = 50
UNDER_WAY = 64


@dataclass(frozen=True)
class Figure:
    """What one run came to."""

    calls: int
    cpu_us: float
    rate: float
    median_us: float


class Caller:
    """Calls one method again and again until told to stop, noting each round trip."""

    def __init__(self, connection: NetConnection, name: str, *arguments: object) -> None:
        self.round_trips: list[float] = []
        self._connection = connection
        self._name = name
        self._arguments = arguments

    async def run(self, until: float) -> None:
        while (begun := time.perf_counter()) < until:
            try:
                await self._connection.call(self._name, *self._arguments)
            except CallError:
                assert self._name == "noSuchMethod"
            self.round_trips.append(time.perf_counter() - begun)


async def measure(
    port: int, pid: int, seconds: float, name: str, *, clients: int, each: int, keyed: bool
) -> Figure:
    connections = [NetConnection(reconnect=keyed) for _ in range(clients)]
    for connection in connections:
        await connection.connect(f"rtmp://127.0.0.1:{port}/text/bench", "bench", "Type1")
    text = ("some text of a usual length",) if name == "setText" else ()
    callers = [Caller(connection, name, *text) for connection in connections for _ in range(each)]
    begun, cpu = time.perf_counter(), cpu_seconds(pid)
    await asyncio.gather(*(caller.run(begun + seconds) for caller in callers))
    elapsed, used = time.perf_counter() - begun, cpu_seconds(pid) - cpu
    for connection in connections:
        await connection.close()
    round_trips = [one for caller in callers for one in caller.round_trips]
    calls = len(round_trips)
    return Figure(calls, used / calls * 1e6, calls / elapsed, median(round_trips) * 1e6)


RUNS = {
    "read, alone": ("getText", 1, 1, False),
    "write, alone": ("setText", 1, 1, False),
    "write, alone, keyed": ("setText", 1, 1, True),
    "refused, alone": ("noSuchMethod", 1, 1, False),
    "read, under way": ("getText", 1, UNDER_WAY, False),
    "write, under way": ("setText", 1, UNDER_WAY, False),
    "write, under way, keyed": ("setText", 1, UNDER_WAY, True),
    "write, crowd": ("setText", CROWD, 1, False),
    "write, crowd, keyed": ("setText", CROWD, 1, True),
}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each run")
    options = parser.parse_args()
    figures: dict[str, Figure] = {}
    with process() as (port, pid):
        for title, (name, clients, each, keyed) in RUNS.items():
            run = measure(port, pid, options.seconds, name, clients=clients, each=each, keyed=keyed)
            figures[title] = uvloop.run(run)
    json_file: Path | None = options.json
    report(
        "calls",
        "microseconds",
        ("run", "calls", "calls/s", "server CPU per call", "median round trip"),
        [(title, one.calls, one.rate, one.cpu_us, one.median_us) for title, one in figures.items()],
        figures={
            title: {"cpu_us": one.cpu_us, "per_second": one.rate, "median_us": one.median_us}
            for title, one in figures.items()
        },
        peers={},
        notes=["the calling side is Python too, and in these round trips"],
        json_file=json_file,
    )


if __name__ == "__main__":
    main()
