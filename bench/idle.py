"""Many connections that do nothing, beside nginx-rtmp: memory of each, and what one costs to make.

The load connects, shakes hands and has `connect` accepted, a number of them at a time; then all
stay. Both servers run all the time and take turns, in every round with the same load, which then
drops everything; the medians of the rounds count. Memory is the serving process's own (the kernel
has the sockets' besides), from before the first connection to all of them being there.

    digest, simple    the handshake: as Flash Player and ffmpeg do it, and as librtmp does
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import asdict, dataclass
from statistics import median

from bench.peers import nginx_rtmp, origin
from bench.peers.connects import let_many_be_open, run_connects
from bench.peers.process import cpu_seconds, own_memory
from bench.peers.remote import Remote
from bench.table import arguments, report

OURS, NGINX = "rtmp_sync", "nginx-rtmp"
HANDSHAKES = ("digest", "simple")
SETTLE_SECONDS = 0.5
REST = 0.05  # of one processor
DROP_SECONDS = 30.0


@dataclass(frozen=True)
class Figure:
    """Of one round. CPU in milliseconds of the server for 1,000 connections: to make them, and
    to be rid of them. busy: percent of the time that they were made in."""

    connects_per_second: float
    connect_cpu_ms: float
    drop_cpu_ms: float
    busy: float


@dataclass(frozen=True)
class Server:
    port: int
    pid: int


def measure(server: Server, count: int, at_once: int, digest: bool) -> tuple[Figure, int]:
    """The figure, and the bytes of the server with all of them connected."""
    with Remote(run_connects, server.port, digest) as load:
        load.ask("connect", at_once, at_once)  # the first ones pay for what all use
        load.ask("drop")
        wait_for_rest(server.pid)
        cpu = cpu_seconds(server.pid)
        seconds = load.ask("connect", count, at_once)
        used = cpu_seconds(server.pid) - cpu
        wait_for_rest(server.pid)
        memory = own_memory(server.pid)
        cpu = cpu_seconds(server.pid)
        load.ask("drop")
        wait_for_rest(server.pid)
        dropped = cpu_seconds(server.pid) - cpu
    per_1000 = 1e6 / count
    return Figure(
        count / seconds, used * per_1000, dropped * per_1000, 100 * used / seconds
    ), memory


def wait_for_rest(pid: int) -> None:
    """Until it does hardly anything any more."""
    deadline = time.monotonic() + DROP_SECONDS
    while time.monotonic() < deadline:
        before = cpu_seconds(pid)
        time.sleep(SETTLE_SECONDS)
        if cpu_seconds(pid) - before < REST * SETTLE_SECONDS:
            return
    raise SystemExit("the server does not come to rest")


def combined(figures: list[Figure]) -> Figure:
    """The medians of the rounds, each taken by itself."""
    rows = zip(*(asdict(one).values() for one in figures), strict=True)
    return Figure(*(float(median(row)) for row in rows))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--at-once", type=int, default=64, help="connections under way at a time")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    count: int = options.connections
    let_many_be_open(count)
    figures: dict[tuple[str, str], list[Figure]] = {}
    memory: dict[str, float] = {}
    with contextlib.ExitStack() as stack:
        kinds = {OURS: origin.serving(max_connections=count + options.at_once)}
        if nginx_rtmp.module() is not None:
            kinds[NGINX] = nginx_rtmp.serving(connections=count + options.at_once)
        else:
            print("nginx with its RTMP module is not installed: ours alone")
        servers = {name: Server(*stack.enter_context(kind)) for name, kind in kinds.items()}
        for _ in range(options.rounds):
            for handshake in HANDSHAKES:
                for name, server in servers.items():
                    before = own_memory(server.pid)
                    figure, held = measure(server, count, options.at_once, handshake == "digest")
                    figures.setdefault((name, handshake), []).append(figure)
                    # later ones take what the first ones have left
                    memory.setdefault(name, (held - before) / count / 1024)
    found = {key: combined(taken) for key, taken in figures.items()}

    def told(ours: bool) -> dict[str, object]:
        return {
            name: {
                "connections": count,
                "idle_kib": memory[name],
                **{handshake: asdict(found[name, handshake]) for handshake in HANDSHAKES},
            }
            for name in kinds
            if (name == OURS) == ours
        }

    def of_nginx(name: str, handshake: str) -> object:
        if NGINX not in kinds:
            return ""
        return found[name, handshake].connect_cpu_ms / found[NGINX, handshake].connect_cpu_ms

    report(
        "idle",
        f"{count:,} connections; CPU in milliseconds of the server for 1,000",
        ("run", "connects/s", "server busy %", "CPU ms", "of nginx", "CPU ms to drop", "KiB each"),
        [
            (
                f"{name}, {handshake}",
                one.connects_per_second,
                one.busy,
                one.connect_cpu_ms,
                of_nginx(name, handshake),
                one.drop_cpu_ms,
                memory[name],
            )
            for (name, handshake), one in found.items()
        ],
        figures=told(ours=True),
        peers=told(ours=False),
        notes=[
            f"{options.rounds} rounds, {options.at_once} at once; load {os.getloadavg()[0]:.1f}",
            *([f"nginx {nginx_rtmp.version()}, one worker"] if NGINX in kinds else []),
        ],
        json_file=options.json,
    )


if __name__ == "__main__":
    main()
