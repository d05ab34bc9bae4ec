"""A live stream of 2 Mbit/s to many players, beside nginx-rtmp: server CPU, delay and memory.

One publisher, N players that throw away what comes and eight that look at it, all in processes
of their own and the same against each server; the servers take turns within a run and in every
round, and the medians of the rounds count. CPU is the serving process's own, by the kernel's
clock; bytes are those that arrived at the players; the age of a message is from the publisher's
send to a player that has it whole. Half of those who look joined first, half last.

    at once     rtmp.media_flush_ms = 0
    flush N     rtmp.media_flush_ms = N
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from statistics import median

from bench.peers import nginx_rtmp, origin
from bench.peers.live_load import publish, run_players, run_watchers
from bench.peers.process import cpu_seconds, own_memory
from bench.peers.remote import Remote
from bench.table import arguments, report

WATCHERS = 8
APART = 0.37  # seconds between two who look, so that they come at any place of a period
NGINX = "nginx-rtmp"

Server = Callable[[], AbstractContextManager[tuple[int, int]]]


@dataclass(frozen=True)
class Figure:
    """What one run came to; ages and the time to the first picture in milliseconds."""

    delivered_bytes: int
    cpu_seconds: float
    player_seconds: float
    age_median: float
    age_99: float
    first_picture: float

    @property
    def cpu_per_gb(self) -> float:
        return self.cpu_seconds / self.delivered_bytes * 1e9

    @property
    def cpu_us_per_player_second(self) -> float:
        return self.cpu_seconds / self.player_seconds * 1e6

    @property
    def megabits(self) -> float:
        """Of one player, a second."""
        return self.delivered_bytes / self.player_seconds * 8e-6


@dataclass(frozen=True)
class Memory:
    """KiB of the server for one connection, beyond what it had with the stream published."""

    idle: float
    player: float


def measure(port: int, pid: int, count: int, seconds: float) -> Figure:
    """`count` players for so many seconds."""
    with (
        Remote(publish, port) as publisher,
        Remote(run_watchers, port) as watchers,
        Remote(run_players, port) as players,
    ):
        publisher.hear()
        _join(watchers, WATCHERS // 2)
        players.ask("play", count - WATCHERS)
        _join(watchers, WATCHERS - WATCHERS // 2)
        time.sleep(1.0)  # joining is not what is measured
        watchers.ask("ages_ns")
        crowd = (players, watchers)
        received = sum(one.ask("received") for one in crowd)
        begun, cpu = time.perf_counter(), cpu_seconds(pid)
        time.sleep(seconds)
        used, elapsed = cpu_seconds(pid) - cpu, time.perf_counter() - begun
        received = sum(one.ask("received") for one in crowd) - received
        ages = sorted(age / 1e6 for age in watchers.ask("ages_ns"))
        first_pictures = [1000 * one for one in watchers.ask("first_pictures")]
    if len(first_pictures) != WATCHERS or not ages:
        raise SystemExit("not everybody got a picture")
    return Figure(
        received,
        used,
        count * elapsed,
        median(ages),
        ages[len(ages) * 99 // 100],
        median(first_pictures),
    )


def _join(watchers: Remote, count: int) -> None:
    for _ in range(count):
        watchers.ask("play", 1)
        time.sleep(APART)


def measure_memory(port: int, pid: int, count: int) -> Memory:
    """Of a server that has just begun, so that nothing is taken from what others left; what is
    made once, for the first, counts too."""
    with Remote(publish, port) as publisher:
        publisher.hear()
        with Remote(run_players, port) as players:
            before = _steady_memory(pid)
            players.ask("connect", count)
            idle = _steady_memory(pid)
            players.ask("play", count)
            playing = _steady_memory(pid)
    return Memory((idle - before) / count / 1024, (playing - before) / count / 1024)


def _steady_memory(pid: int) -> float:
    """In the median of two periods of the stream, in bytes."""
    found: list[int] = []
    for _ in range(20):
        time.sleep(0.2)
        found.append(own_memory(pid))
    return float(median(found))


def combined(runs: Sequence[Figure]) -> Figure:
    """The medians of the rounds, each taken by itself."""

    def of(name: str) -> float:
        return float(median(getattr(run, name) for run in runs))

    return Figure(
        int(of("delivered_bytes")),
        of("cpu_per_gb") * int(of("delivered_bytes")) / 1e9,
        of("player_seconds"),
        of("age_median"),
        of("age_99"),
        of("first_picture"),
    )


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--players", type=int, nargs="+", default=[50, 200, 500, 1000])
    parser.add_argument("--seconds", type=float, default=8.0, help="of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--flush", type=int, nargs="*", default=[20], metavar="MS")
    parser.add_argument("--memory", type=int, default=500, metavar="PLAYERS", help="0: leave out")
    options = parser.parse_args()
    kinds: dict[str, Server] = {"at once": partial(origin.serving, media_flush_ms=0)}
    kinds |= {f"flush {ms} ms": partial(origin.serving, media_flush_ms=ms) for ms in options.flush}
    if nginx_rtmp.module() is not None:
        kinds[NGINX] = nginx_rtmp.serving
    else:
        print("nginx with its RTMP module is not installed: ours alone")
    figures: dict[tuple[int, str], Figure] = {}
    with contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(kind()) for name, kind in kinds.items()}
        for count in options.players:
            runs: dict[str, list[Figure]] = {name: [] for name in servers}
            for _ in range(options.rounds):
                for name, (port, pid) in servers.items():
                    runs[name].append(measure(port, pid, count, options.seconds))
            figures |= {(count, name): combined(taken) for name, taken in runs.items()}
    memory: dict[str, Memory] = {}
    if options.memory:
        for name, kind in kinds.items():
            with kind() as (port, pid):
                memory[name] = measure_memory(port, pid, options.memory)
    rows = [
        (
            f"{count:,} players, {name}",
            one.cpu_per_gb,
            (one.cpu_per_gb / figures[count, NGINX].cpu_per_gb) if NGINX in kinds else "",
            one.cpu_us_per_player_second,
            one.age_median,
            one.age_99,
            one.first_picture,
        )
        for (count, name), one in figures.items()
    ]
    notes = [
        f"{name}: {one.idle:.1f} KiB for an idle connection, {one.player:.1f} KiB for a player"
        for name, one in memory.items()
    ]
    notes.append(
        f"{options.rounds} rounds of {options.seconds:g} s; "
        f"{median(one.megabits for one in figures.values()):.2f} Mbit/s for each player; load "
        f"{os.getloadavg()[0]:.1f}"
    )
    if NGINX in kinds:
        notes.append(f"nginx {nginx_rtmp.version()}; goals at 500: 1.5 at once, 1.0 with a flush")

    def told(ours: bool) -> dict[str, object]:
        return {
            name: {
                "players": {
                    str(count): {
                        "cpu_seconds_per_gb": one.cpu_per_gb,
                        "cpu_us_per_player_second": one.cpu_us_per_player_second,
                        "age_median_ms": one.age_median,
                        "age_99_ms": one.age_99,
                        "first_key_frame_ms": one.first_picture,
                    }
                    for (count, of), one in figures.items()
                    if of == name
                },
                "idle_kib": memory[name].idle if name in memory else None,
                "player_kib": memory[name].player if name in memory else None,
            }
            for name in kinds
            if (name != NGINX) == ours
        }

    report(
        "live",
        "server CPU seconds per delivered GB; milliseconds",
        (
            "run",
            "CPU s/GB",
            "of nginx",
            "CPU us/player s",
            "age p50",
            "age p99",
            "first key frame",
        ),
        rows,
        figures=told(ours=True),
        peers=told(ours=False),
        notes=notes,
        json_file=options.json,
    )


if __name__ == "__main__":
    main()
