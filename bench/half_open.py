"""Half-open handshakes: how long a good client takes to connect while a crowd does not finish.

The crowd comes all at once, from an address of its own; whoever is let go
(`rtmp.handshake_timeout`) comes again at once. The good client connects all the time: TCP, TLS
where it is the port's, RTMP's handshake, an accepted `connect`. Crowd, good client and server are
processes of their own.

    nothing    the crowd says nothing
    half       half of what a client says first (C0 C1, or of TLS its ClientHello)
    whole      all of it, so that the server answers, and nothing behind it
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from bench.peers import origin
from bench.peers.connects import let_many_be_open
from bench.peers.half_open_load import openings, run_crowd, run_good_client
from bench.peers.process import cpu_seconds
from bench.peers.remote import Remote
from bench.table import arguments, report
from tests.support.certificates import Authority
from tests.support.single import free_ports

GOAL_MS = 500.0
ALONE = "alone"
BEFORE_SECONDS = 0.5  # of the good client, before the crowd comes


@dataclass(frozen=True)
class Figure:
    """Delays of the good client in milliseconds; refused: connects of its; begun: handshakes of
    the crowd; busy: the server, in percent of a processor."""

    connects: int
    refused: int
    median: float
    at_99: float
    worst: float
    begun: int
    busy: float


@dataclass(frozen=True)
class Target:
    """authority: who signed the port's certificate; None for a port without TLS."""

    name: str
    port: int
    pid: int
    authority: Path | None


def measure(target: Target, crowd_size: int, opening: bytes | None, seconds: float) -> Figure:
    """opening: what each of the crowd sends; None for no crowd."""
    with (
        Remote(run_good_client, target.port, target.authority) as good,
        Remote(run_crowd, target.port, opening or b"") as crowd,
    ):
        crowd.ask("begun")  # it is there
        good.ask("delays", BEFORE_SECONDS)  # what the first one pays for all
        cpu, since = cpu_seconds(target.pid), time.perf_counter()
        good.begin("delays", seconds + BEFORE_SECONDS)
        time.sleep(BEFORE_SECONDS)
        if opening is not None:
            crowd.ask("come", crowd_size)
        delays = sorted(1000 * one for one in good.hear())
        used, elapsed = cpu_seconds(target.pid) - cpu, time.perf_counter() - since
        begun, refused = crowd.ask("begun"), good.ask("refused")
    return Figure(
        len(delays),
        refused,
        median(delays),
        delays[len(delays) * 99 // 100],
        delays[-1],
        begun,
        100 * used / elapsed,
    )


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--connections", type=int, default=2000, help="of the crowd")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each run")
    parser.add_argument("--handshake-timeout", type=float, default=5.0, metavar="SECONDS")
    options = parser.parse_args()
    let_many_be_open(options.connections)
    figures: dict[tuple[str, str], Figure] = {}
    folder = Path(tempfile.mkdtemp())
    try:
        authority = Authority(folder)
        certificate, key = authority.sign("bench")
        (tls_port,) = free_ports(1)
        with origin.serving(
            handshake_timeout=options.handshake_timeout,
            tls_listen=f"127.0.0.1:{tls_port}",
            tls_certificate=certificate,
            tls_key=key,
        ) as (port, pid):
            for target in (
                Target("rtmp", port, pid, None),
                Target("rtmps", tls_port, pid, authority.certificate),
            ):
                runs = {ALONE: None, **openings(tls=target.authority is not None)}
                for crowd, opening in runs.items():
                    figures[target.name, crowd] = measure(
                        target, options.connections, opening, options.seconds
                    )
    finally:
        shutil.rmtree(folder)
    worst = max(one.worst for one in figures.values())
    report(
        "half_open",
        f"milliseconds of a good client, {options.connections:,} half-open handshakes",
        (
            "run",
            "connects",
            "refused",
            "median",
            "99 %",
            "worst",
            "crowd's handshakes",
            "server busy %",
        ),
        [(f"{port}, {crowd}", *asdict(one).values()) for (port, crowd), one in figures.items()],
        figures={
            port: {crowd: asdict(one) for (of, crowd), one in figures.items() if of == port}
            for port, _ in figures
        },
        peers={},
        notes=[
            f"{options.seconds:g} s each, rtmp.handshake_timeout {options.handshake_timeout:g} s; "
            f"load {os.getloadavg()[0]:.1f}",
            f"the goal is {GOAL_MS:g} ms at worst: {'kept' if worst <= GOAL_MS else 'MISSED'}",
        ],
        json_file=options.json,
    )


if __name__ == "__main__":
    main()
