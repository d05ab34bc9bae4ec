"""The nftables gate: how soon the kernel closes the port of a frozen origin, what it costs to keep
it open, and whether it ever flickers.

On two hosts made of network namespaces, a process holds the gate as an origin does (four times a
second, 3 s ahead) and is frozen at random moments; a client connects every 50 ms. Printed: time
from the freeze to the first refused connect, and to the reset of a session that was open;
milliseconds for a refresh by libnftables, as the driver does it, and by the nft program.

With --minutes N the gate is held for so long instead: a new connection and a byte on a session
that stays, every 50 ms; each that fails is counted, and makes the exit code 1. Needs root.

    python -m bench.gates [--json FILE] [--freezes 10] [--minutes N] [--seed N]
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import resource
import socket
import statistics
import struct
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from bench.table import arguments, report
from rtmp_sync.firewalls.nft_library import Nft
from rtmp_sync.firewalls.nft_table import Table
from tests.support.gates import PORT, RemoteGate, client
from tests.support.namespaces import Host, Namespaces
from tests.support.pair import now

TICK_SECONDS = 0.05
REFRESHES = 200
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # no TIME_WAIT: an hour of connects must not run dry


@dataclass(slots=True)
class Flicker:
    """An open gate, looked at `connects` times; the longest wait for a connect in ms."""

    connects: int = 0
    failed: int = 0
    sessions_failed: int = 0
    slowest_ms: float = 0.0
    seconds: float = 0.0
    moments: list[str] = field(default_factory=list)

    def note(self, what: str) -> None:
        self.moments.append(f"at {self.seconds:.1f} s: {what}")
        print(self.moments[-1], file=sys.stderr, flush=True)


def connect_once(host: Host, address: str) -> None:
    """Raises OSError."""
    with client(host, address) as session:
        session.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)


def echo(session: socket.socket) -> None:
    """Raises OSError."""
    session.sendall(b"?")
    if session.recv(1) != b"?":
        raise ConnectionResetError


def measure_freezes(net: Namespaces, freezes: int, moments: random.Random) -> list[list[float]]:
    """[[ms until a connect is refused], [ms until the session is reset]]."""
    origin, visitor = net.host("origin"), net.host("client")
    gate = RemoteGate(origin, driver="nftables", allow=[visitor.ipv4])
    refused, reset = [], []
    for epoch in range(1, freezes + 1):
        gate.open(epoch)
        with client(visitor, origin.ipv4) as session:
            echo(session)
            time.sleep(moments.uniform(0.5, 1.5))
            gate.freeze()
            frozen_at = now()
            refused.append(until_refused(visitor, origin.ipv4) - frozen_at)
            with contextlib.suppress(ConnectionError):
                while True:
                    session.send(b"?")
                    time.sleep(TICK_SECONDS)
            reset.append(now() - frozen_at)
        gate.thaw()
        gate.close()
    gate.stop()
    return [[seconds * 1000 for seconds in column] for column in (refused, reset)]


def until_refused(host: Host, address: str) -> float:
    while True:
        try:
            connect_once(host, address)
        except ConnectionError:
            return now()
        time.sleep(TICK_SECONDS)


def measure_flicker(net: Namespaces, seconds: float) -> Flicker:
    origin, visitor = net.host("origin"), net.host("client")
    gate = RemoteGate(origin, driver="nftables", allow=[visitor.ipv4])
    gate.open()
    seen, started_at = Flicker(), now()
    session = client(visitor, origin.ipv4)
    while seen.seconds < seconds:
        began = now()
        try:
            connect_once(visitor, origin.ipv4)
        except OSError as error:
            seen.failed += 1
            seen.note(f"connect: {error}")
        seen.connects += 1
        seen.slowest_ms = max(seen.slowest_ms, (now() - began) * 1000)
        try:
            echo(session)
        except OSError as error:
            seen.sessions_failed += 1
            seen.note(f"session: {error}")
            session.close()
            with contextlib.suppress(OSError):  # the next round counts it
                session = client(visitor, origin.ipv4)
        time.sleep(TICK_SECONDS)
        seen.seconds = now() - started_at
    session.close()
    seen.moments += [*gate.log, f"the gate's process was late by {gate.say('late')} at worst"]
    gate.stop()
    return seen


def measure_refresh(net: Namespaces) -> dict[str, tuple[float, float, float]]:
    """Way = (median ms, worst ms, CPU ms) for a refresh."""
    host, table = net.host("refresh"), Table("A", [("0.0.0.0", PORT)], ["10.0.0.0/8", "fd00::/8"])

    async def by_library() -> tuple[float, float, float]:
        nft = Nft()
        await nft.call(lambda: nft.run(table.replace()))
        return await timed(lambda: nft.call(lambda: nft.run(table.refresh(1000))))

    async def by_program() -> tuple[float, float, float]:
        async def refresh() -> None:
            nft = await asyncio.create_subprocess_exec("nft", "-f", "-", stdin=-1)
            await nft.communicate(table.refresh(1000).encode())

        return await timed(refresh)

    return {
        "libnftables": host.call(lambda: asyncio.run(by_library())),
        "nft -f -": host.call(lambda: asyncio.run(by_program())),
    }


async def timed(work: Callable[[], Awaitable[object]]) -> tuple[float, float, float]:
    took, cpu = [], cpu_seconds()
    for _ in range(REFRESHES):
        started_at = time.perf_counter()
        await work()
        took.append((time.perf_counter() - started_at) * 1000)
    cpu_ms = (cpu_seconds() - cpu) * 1000 / REFRESHES
    return statistics.median(took), max(took), cpu_ms


def cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def show_flicker(seen: Flicker) -> list[list[object]]:
    return [
        ["minutes held open", seen.seconds / 60],
        ["connects", seen.connects],
        ["connects that failed", seen.failed],
        ["slowest connect", seen.slowest_ms],
        ["times the session failed", seen.sessions_failed],
    ]


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--freezes", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=0.0, help="hold the gate open for so long")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 1 << 32))
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("gates: left out: network namespaces and nftables need root")
        return 0
    rows: list[list[object]] = []
    notes, failed = [f"seed {options.seed}; the kernel's time-out is 1,000 ms"], 0
    with Namespaces() as net:
        if options.minutes:
            seen = measure_flicker(net, options.minutes * 60)
            rows, failed = show_flicker(seen), seen.failed + seen.sessions_failed
            notes = seen.moments
        else:
            moments = random.Random(options.seed)
            columns = measure_freezes(net, options.freezes, moments)
            for name, times in zip(("connect refused", "session reset"), columns, strict=True):
                rows.append([f"frozen to {name}, median", statistics.median(times)])
                rows.append([f"frozen to {name}, worst", max(times)])
            for way, (median, worst, cpu) in measure_refresh(net).items():
                rows.append([f"refresh by {way}, median", median])
                rows.append([f"refresh by {way}, worst", worst])
                rows.append([f"refresh by {way}, CPU", cpu])
    figures = {str(name): value for name, value in rows}
    report("gates", "ms", ["", "figure"], rows, figures=figures, peers={}, notes=notes,
           json_file=options.json)  # fmt: skip
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
