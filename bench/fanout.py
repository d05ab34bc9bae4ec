"""One shared-object change to 200 subscribers: server CPU per delivery, held against the floor.

The floor is what nobody can go below with one write per subscriber: a uvloop server that, at
each trigger of the writer's size, calls `transport.write` of the same bytes once for each of
as many connections, and answers the writer. Ours does that and everything else. Servers run
in processes of their own; their CPU time is read from outside, by the kernel's clock.

    paced        the writer waits for each change to be confirmed
    full speed   the writer keeps 512 changes under way
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvloop

from bench.peers.process import cpu_seconds
from bench.table import arguments, report
from rtmp_sync.protocol.connection import Connection, Role
from rtmp_sync.protocol.events import ConnectAnswered, HandshakeCompleted, SharedObjectReceived
from rtmp_sync.wire import amf0, shared_object
from rtmp_sync.wire.constants import SHARED_OBJECT, SO_SUCCESS

WINDOW = 512
ROUNDS = 4  # of each, in turn; the best counts, as other work on the machine only adds
VALUE = amf0.encode(1.0)
KEYS = [f"slot{number:03d}" for number in range(WINDOW)]


class Subscriber(asyncio.Protocol):
    """Uses the object, then only counts what comes. With `url` None: a floor's subscriber."""

    def __init__(self, app: str | None) -> None:
        self.received = 0
        self.last = b""
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_success: asyncio.Future[None] | None = None
        self.successes = 0
        self._app = app
        self._rtmp = Connection(Role.CLIENT, now=time.monotonic(), random_bytes=secrets.token_bytes)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's has its own class
        if self._app is None:
            self.write(b"S")
            self.ready.set_result(None)
        else:
            self.write(self._rtmp.data_to_send())

    def data_received(self, data: bytes) -> None:
        if self.ready.done():
            self.received += len(data)
            self.last = data
            self._count(data)
            return
        self._rtmp.receive_data(data, time.monotonic())
        for event in self._rtmp.events_received():
            if isinstance(event, HandshakeCompleted):
                connect = self._rtmp.connect({"app": self._app}, "bench", "Type1")
                self.write(self._rtmp.data_to_send() + connect)
            elif isinstance(event, ConnectAnswered):
                assert event.ok, event.info
                self.write(self.request(shared_object.EVENT_USE))
            elif isinstance(event, SharedObjectReceived):
                self.ready.set_result(None)

    def _count(self, data: bytes) -> None:
        """Only the writer's bytes are looked into."""

    def request(self, events: bytes) -> bytes:
        payload = shared_object.header("bench", 0, False) + events
        return self._rtmp.message(SHARED_OBJECT, payload)

    def write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)


class Writer(Subscriber):
    """Sends changes and counts how many were confirmed."""

    def __init__(self, app: str) -> None:
        super().__init__(app)
        self.confirmed = 0
        self.changed = asyncio.Event()

    def _count(self, data: bytes) -> None:
        self._rtmp.receive_data(data, time.monotonic())
        for event in self._rtmp.events_received():
            if isinstance(event, SharedObjectReceived):
                self.confirmed += sum(one.type == SO_SUCCESS for one in event.message.events)
        self.changed.set()

    def change(self, number: int) -> bytes:
        key = KEYS[number % WINDOW]
        return self.request(shared_object.event_request_change(key, VALUE))

    async def confirmed_to(self, count: int) -> None:
        while self.confirmed < count:
            self.changed.clear()
            await self.changed.wait()


class FloorWriter(Subscriber):
    """Triggers the floor and waits for its answer."""

    def __init__(self) -> None:
        super().__init__(None)
        self.answered = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's has its own class
        self.write(b"W")
        self.ready.set_result(None)

    def _count(self, data: bytes) -> None:
        self.answered.set()


class FloorServer(asyncio.Protocol):
    """At each trigger one `transport.write` per subscriber, and an answer to the writer."""

    subscribers: list[asyncio.Transport]
    payload: bytes

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._is_writer = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's has its own class

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        if self._is_writer:
            payload = self.payload
            for subscriber in self.subscribers:
                subscriber.write(payload)
            self._transport.write(payload)
        elif data == b"W":
            self._is_writer = True
        else:
            self.subscribers.append(self._transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._transport in self.subscribers:
            self.subscribers.remove(self._transport)


@dataclass(frozen=True)
class Figure:
    """What one run came to."""

    changes: int
    deliveries: int
    cpu_seconds: float
    seconds: float

    @property
    def cpu_us(self) -> float:
        """Server CPU per delivery."""
        return self.cpu_seconds / self.deliveries * 1e6

    @property
    def rate(self) -> float:
        """Deliveries per second."""
        return self.deliveries / self.seconds


# --- servers


async def serve_origin(port_file: Path, state: Path) -> None:
    from rtmp_sync import Config, Origin

    listen = {"listen": "127.0.0.1:0"}
    config = Config.model_validate(
        {
            "node": {"id": "bench"},
            "rtmp": listen,
            "admin": listen,
            "health": listen,
            "storage": {"state": state},
        }
    )
    origin = Origin(config)
    await origin.start()
    announce(port_file, origin.rtmp_port)
    await asyncio.Event().wait()


async def serve_floor(port_file: Path, payload: bytes) -> None:
    FloorServer.subscribers = []
    FloorServer.payload = payload
    server = await asyncio.get_running_loop().create_server(FloorServer, "127.0.0.1", 0)
    announce(port_file, server.sockets[0].getsockname()[1])
    await server.serve_forever()


def announce(port_file: Path, port: int) -> None:
    port_file.write_text(str(port))


@contextlib.contextmanager
def process(*options: str) -> Iterator[tuple[int, int]]:
    """A server of this module in its own process: (port, pid)."""
    with tempfile.TemporaryDirectory() as directory:
        port_file = Path(directory, "port")
        command = [sys.executable, "-m", "bench.fanout", "--port-file", str(port_file), *options]
        log = Path(directory, "log")
        with log.open("wb") as output:
            child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            while not port_file.exists() or not port_file.read_text():
                if child.poll() is not None:
                    raise SystemExit(log.read_text())
                time.sleep(0.02)
            yield int(port_file.read_text()), child.pid
        finally:
            child.kill()
            child.wait()


# --- runs


async def connect(port: int, protocols: list[Subscriber]) -> None:
    loop = asyncio.get_running_loop()
    for protocol in protocols:
        await loop.create_connection(functools.partial(_itself, protocol), "127.0.0.1", port)
        await protocol.ready
    await asyncio.sleep(0.3)  # connecting is not what is measured


def _itself(protocol: Subscriber) -> Subscriber:
    return protocol


async def everyone_has_all(subscribers: list[Subscriber]) -> None:
    """All got the same bytes, so whoever has fewer is still receiving."""
    for _ in range(10_000):
        if len({subscriber.received for subscriber in subscribers}) == 1:
            return
        await asyncio.sleep(0.001)
    raise SystemExit("a subscriber did not get what the others got")


async def measure_origin(
    port: int, pid: int, count: int, seconds: float, window: int
) -> tuple[Figure, bytes]:
    app = f"text/window{window}"
    writer = Writer(app)
    subscribers = [Subscriber(app) for _ in range(count)]
    await connect(port, [writer, *subscribers])
    changes = 0
    begun, cpu = time.perf_counter(), cpu_seconds(pid)
    while time.perf_counter() - begun < seconds:
        writer.write(b"".join([writer.change(changes + number) for number in range(window)]))
        changes += window
        await writer.confirmed_to(changes)
        await everyone_has_all(subscribers)
    elapsed, used = time.perf_counter() - begun, cpu_seconds(pid) - cpu
    return Figure(changes, changes * count, used, elapsed), subscribers[0].last


async def measure_floor(port: int, pid: int, count: int, seconds: float, trigger: bytes) -> Figure:
    writer = FloorWriter()
    subscribers = [Subscriber(None) for _ in range(count)]
    await connect(port, [*subscribers, writer])
    changes = 0
    begun, cpu = time.perf_counter(), cpu_seconds(pid)
    while time.perf_counter() - begun < seconds:
        writer.answered.clear()
        writer.write(trigger)
        changes += 1
        await writer.answered.wait()
        await everyone_has_all(subscribers)
    elapsed, used = time.perf_counter() - begun, cpu_seconds(pid) - cpu
    return Figure(changes, changes * count, used, elapsed)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--subscribers", type=int, default=200)
    parser.add_argument(
        "--seconds", type=float, default=4.0, help="of each of the three kinds of run"
    )
    parser.add_argument("--port-file", type=Path, help="serve, for a run of this bench")
    parser.add_argument("--floor", metavar="HEX", help="serve the floor, with this payload")
    options = parser.parse_args()
    if options.port_file is not None:
        if options.floor is not None:
            uvloop.run(serve_floor(options.port_file, bytes.fromhex(options.floor)))
        else:
            uvloop.run(serve_origin(options.port_file, options.port_file.parent / "state"))
        return
    count, seconds = options.subscribers, options.seconds / ROUNDS
    paced_runs, fast_runs, floor_runs = [], [], []
    with process() as (port, pid):
        _, payload = uvloop.run(measure_origin(port, pid, count, 0.5, 1))
        trigger = bytes(len(payload))
        with process("--floor", payload.hex()) as (floor_port, floor_pid):
            for _ in range(ROUNDS):
                floor_runs.append(
                    uvloop.run(measure_floor(floor_port, floor_pid, count, seconds, trigger))
                )
                paced_runs.append(uvloop.run(measure_origin(port, pid, count, seconds, 1))[0])
                fast_runs.append(uvloop.run(measure_origin(port, pid, count, seconds, WINDOW))[0])
    paced, fast, floor = (
        min(runs, key=lambda run: run.cpu_us) for runs in (paced_runs, fast_runs, floor_runs)
    )
    rows = [
        (name, figure.changes, figure.rate, figure.cpu_us, figure.cpu_us / floor.cpu_us)
        for name, figure in (("floor", floor), ("paced", paced), ("full speed", fast))
    ]
    report(
        "fanout",
        "microseconds of server CPU per delivery",
        ("run", "changes", "deliveries/s", "CPU us/delivery", "of the floor"),
        rows,
        figures={
            "paced_us": paced.cpu_us,
            "full_speed_us": fast.cpu_us,
            "paced_of_floor": paced.cpu_us / floor.cpu_us,
            "full_speed_of_floor": fast.cpu_us / floor.cpu_us,
            "full_speed_deliveries_per_second": fast.rate,
        },
        peers={"floor_us": floor.cpu_us},
        notes=[f"{count} subscribers; {len(payload)} bytes per change; limits 1.5 and 0.4"],
        json_file=options.json,
    )


if __name__ == "__main__":
    main()
