"""Replicated changes: throughput, waiting, lag, and what a whole copy of the state costs.

Real pairs of origins, one for each mode, and clients that set slots of shared objects, each of
its own; a write ends with the `success` that the origin's barrier let through. Beside them, in
the same rounds: the floor (one round trip of the bytes of one change and its acknowledgement to
another process, two HMAC each way, nothing else) and Redis with one replica (SET, and SET with
WAIT 1). Medians over the rounds.

    lag      how old a turn of the active was when the standby had applied it, under 50 writers,
             and how many Changes the active was ahead at that moment
    copy     the standby lost its place and gets everything again while 10 writers make 500
             changes a second. Their waiting is held against that without a copy, just before.
             state: by how much the resident memory of the origin grew when it got its state.
             memory: the highest resident memory during the copy, above that of the empty origin,
             in states. starved: how long the active was ready to run and no processor was free,
             of that time: other work on the machine, if it is more than a few per cent.
"""

from __future__ import annotations

import asyncio
import bisect
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Protocol

import uvloop

from bench.peers import redis, round_trip
from bench.peers.origin_pair import Node, OriginPair, wait_for
from bench.table import arguments, report
from rtmp_sync import NetConnection, codec
from rtmp_sync.state.change import SLOT_SET, Change, encode_changes
from rtmp_sync.wire import amf0
from rtmp_sync.wire.records import LANE_DELTA, LANE_URGENT, Ack, Delta, encode_envelope

MODES = ("async", "semi", "strict")
WRITERS = 50
PACED_WRITERS = 10
CHANGES_A_SECOND = 500
VALUE = "x" * 100
SLOTS = 100_000
SLOT_BYTES = 1000
SHAPES = {"1,000 objects": 1000, "one object": 1}

Figures = dict[str, float]


class Writer(Protocol):
    async def write(self) -> None: ...
    async def close(self) -> None: ...


class SlotWriter:
    """A client of an origin with a shared object of its own."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._connection = NetConnection(reconnect=True)
        self._count = 0
        self._object: Any

    async def open(self, port: int) -> SlotWriter:
        await self._connection.connect(f"rtmp://127.0.0.1:{port}/store/bench", "w", "Writer")
        self._object = await self._connection.shared_object(self._name)
        return self

    async def write(self) -> None:
        self._count += 1
        await self._object.set(f"slot{self._count % 64}", VALUE)

    async def call(self, name: str, *values: float) -> None:
        await self._connection.call(name, *values)

    async def close(self) -> None:
        await self._connection.close()


async def closed_loop(writers: list[Any], seconds: float) -> tuple[float, list[float]]:
    """Each writes again when its last write has ended: (writes a second, how long each took)."""
    took: list[float] = []
    begun = time.perf_counter()

    async def run(writer: Writer) -> None:
        while (at := time.perf_counter()) < begun + seconds:
            await writer.write()
            took.append(time.perf_counter() - at)

    await asyncio.gather(*(run(writer) for writer in writers))
    return len(took) / (time.perf_counter() - begun), took


def percentile(values: list[float], percent: int) -> float:
    return quantiles(values, n=100)[percent - 1] if len(values) > 1 else values[0]


# --- throughput and waiting


Open = Callable[[int], Awaitable[Writer]]


def slot_writers(port: int) -> Open:
    return lambda number: SlotWriter(f"w{number}").open(port)


def redis_writers(port: int, *, waits: bool) -> Open:
    return lambda number: redis.connect(port, f"w{number}", VALUE.encode(), waits=waits)


def kinds(pairs: dict[str, OriginPair], redis_port: int | None) -> list[tuple[str, Open]]:
    """What is measured in turns: (name, how to open the writer of a number)."""
    found = [(mode, slot_writers(pair.active.rtmp)) for mode, pair in pairs.items()]
    if redis_port is not None:
        found.append(("Redis SET", redis_writers(redis_port, waits=False)))
        found.append(("Redis SET, WAIT 1", redis_writers(redis_port, waits=True)))
    return found


async def one_round(open_writer: Open, seconds: float) -> Figures:
    writers = [await open_writer(number) for number in range(WRITERS)]
    await closed_loop(writers, seconds / 10)
    rate, crowd = await closed_loop(writers, seconds)
    _, alone = await closed_loop(writers[:1], seconds)
    for writer in writers:
        await writer.close()
    return {
        "per_second": rate,
        "crowd_p50_us": median(crowd) * 1e6,
        "crowd_p99_us": percentile(crowd, 99) * 1e6,
        "alone_p50_us": median(alone) * 1e6,
        "alone_p99_us": percentile(alone, 99) * 1e6,
    }


def floor_bytes() -> tuple[int, int]:
    """Of one change and of its acknowledgement on the link."""
    change = Change(SLOT_SET, "store/bench", "T:w1", "slot11", amf0.encode(VALUE), 100_000)
    delta = Delta(100_000, encode_changes([change]))
    request = encode_envelope(delta, LANE_DELTA, 100_000, 1, bytes(32))
    answer = encode_envelope(Ack(100_000), LANE_URGENT, 100_000, 1, bytes(32))
    return len(request), len(answer)


def in_turns(
    rounds: int, seconds: float, disk: str
) -> tuple[dict[str, Figures], Figures, tuple[float, float]]:
    """Median figures of each kind; the floor's; (throughput of semi in async's, what semi adds
    to the waiting of one writer in microseconds).

    semi and async are held against each other within a round: what else the machine does
    disturbs both of one round alike.
    """
    request, answer = floor_bytes()
    found: dict[str, list[Figures]] = {}
    floors: list[list[float]] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        pairs = {mode: stack.enter_context(OriginPair(folder / mode, mode, disk)) for mode in MODES}
        floor_port = stack.enter_context(round_trip.answerer(request, answer))
        redis_port = None
        if redis.installed():
            redis_port = stack.enter_context(redis.master_with_replica())
        every = kinds(pairs, redis_port)
        for number in range(rounds):
            floors.append(uvloop.run(round_trip.measure(floor_port, request, answer, seconds / 2)))
            for name, open_writer in every if number % 2 else reversed(every):
                found.setdefault(name, []).append(uvloop.run(one_round(open_writer, seconds)))
    figures = {
        name: {key: median(one[key] for one in runs) for key in runs[0]}
        for name, runs in found.items()
    }
    floor = {
        "alone_p50_us": median(median(one) for one in floors) * 1e6,
        "alone_p99_us": median(percentile(one, 99) for one in floors) * 1e6,
    }
    beside = list(zip(found["semi"], found["async"], strict=True))
    share = median(semi["per_second"] / own["per_second"] for semi, own in beside)
    added = median(semi["alone_p50_us"] - own["alone_p50_us"] for semi, own in beside)
    return {name: figures[name] for name, _ in every}, floor, (share, added)


# --- lag


async def load(port: int, seconds: float) -> None:
    writers = [await SlotWriter(f"w{number}").open(port) for number in range(WRITERS)]
    await closed_loop(writers, seconds)
    for writer in writers:
        await writer.close()


def lag(mode: str, seconds: float, disk: str) -> Figures:
    """Of the standby, while 50 writers write."""
    with tempfile.TemporaryDirectory() as folder, OriginPair(Path(folder, "p"), mode, disk) as pair:
        active, standby = pair.active, pair.standby
        uvloop.run(load(active.rtmp, seconds / 4))
        active.facts(), standby.facts()
        uvloop.run(load(active.rtmp, seconds))
        time.sleep(0.5)
        made = [(float(at), int(seq)) for what, at, seq in _batches(active)]
        applied = [(float(at), int(seq)) for what, at, seq in _batches(standby)]
    seqs = [seq for _, seq in made]
    times = [at for at, _ in made]
    ages, changes = [], []
    for at, seq in applied:
        first = bisect.bisect_left(seqs, seq)
        if first < len(made):
            ages.append((at - times[first]) * 1000)
            changes.append(float(seqs[bisect.bisect_right(times, at) - 1] - seq))
    return {
        "p50_ms": median(ages),
        "p99_ms": percentile(ages, 99),
        "max_ms": max(ages),
        "p50_changes": median(changes),
        "p99_changes": percentile(changes, 99),
        "max_changes": max(changes),
    }


def _batches(node: Node) -> list[list[str]]:
    return [fact for fact in node.facts() if fact[0] == "batch"]


# --- a whole copy


async def fill(port: int, objects: int) -> None:
    writer = await SlotWriter("filler").open(port)
    await writer.call("fill", float(objects), float(SLOTS // objects), float(SLOT_BYTES))
    await writer.close()


class PacedWriters:
    """500 writes a second, each begun when its time has come, whatever became of the last one."""

    def __init__(self) -> None:
        self.took: list[tuple[float, float]] = []  # (when it was to begin, how long it took)
        self._writing = True

    async def run(self, port: int, names: list[str]) -> None:
        writers = [await SlotWriter(name).open(port) for name in names]
        begun = time.perf_counter()
        pause = len(writers) / CHANGES_A_SECOND
        tasks: set[asyncio.Task[None]] = set()

        async def write(writer: SlotWriter, due: float) -> None:
            await writer.write()
            self.took.append((due, time.perf_counter() - due))

        async def pace(writer: SlotWriter, due: float) -> None:
            while self._writing:
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                task = asyncio.create_task(write(writer, due))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                due += pause

        await asyncio.gather(
            *(
                pace(writer, begun + number * pause / len(writers))
                for number, writer in enumerate(writers)
            )
        )
        await asyncio.gather(*tasks)
        for writer in writers:
            await writer.close()

    def stop(self) -> None:
        self._writing = False

    def between(self, begin: float, end: float) -> list[float]:
        """How long the writes of a time took, in ms; it is never empty."""
        return [took * 1000 for due, took in self.took if begin <= due < end]


async def one_copy(pair: OriginPair, active: Node, standby: Node, seconds: float) -> Figures:
    """Writers, first without a copy going on and then with one."""
    clients = PacedWriters()
    running = asyncio.create_task(
        clients.run(active.rtmp, [f"w{number}" for number in range(PACED_WRITERS)])
    )
    loop = asyncio.get_running_loop()

    async def until(true: Callable[[], bool], what: str) -> None:
        await loop.run_in_executor(None, wait_for, true, what)

    standby.signal(signal.SIGSTOP)
    await until(lambda: active.status()["sync"] == [], "the record without the standby")
    await asyncio.sleep(0.5)
    without = time.perf_counter()
    await asyncio.sleep(seconds)
    for node in (active, standby):
        node.forget_peak()
    active.signal(signal.SIGUSR2)
    begun, starved = time.perf_counter(), active.starved_seconds()
    standby.signal(signal.SIGCONT)
    await until(lambda: pair.in_sync(active), "the standby in sync again")
    ended = time.perf_counter()
    starved = (active.starved_seconds() - starved) / (ended - begun)
    clients.stop()
    await running
    offset = time.clock_gettime(time.CLOCK_BOOTTIME) - time.perf_counter()
    facts = {name: float(at) for name, at in active.facts()}
    active.facts()  # no batches are noted
    first, last = facts["copy"] - offset, facts["caught_up"] - offset
    assert begun < first < last < ended, "it was not one whole copy"
    before, during = clients.between(without, begun), clients.between(first, last)
    return {
        "seconds": last - first,
        "active_starved": starved,
        "without_p99_ms": percentile(before, 99),
        "without_max_ms": max(before),
        "during_p99_ms": percentile(during, 99),
        "during_max_ms": max(during),
        "active_peak": float(active.memory("VmHWM")),
        "standby_peak": float(standby.memory("VmHWM")),
    }


def copies(objects: int, rounds: int, seconds: float, disk: str) -> Figures:
    """Medians over the rounds; memory in states, the highest of all rounds."""
    with (
        tempfile.TemporaryDirectory() as folder,
        OriginPair(Path(folder, "p"), "semi", disk) as pair,
    ):
        active, standby = pair.active, pair.standby
        empty = {node.name: node.memory() for node in pair.nodes}
        uvloop.run(fill(active.rtmp, objects))
        wait_for(lambda: pair.in_sync(active), pair)
        time.sleep(3)  # the disk's own copy is written
        state = {node.name: node.memory() - empty[node.name] for node in pair.nodes}
        runs = [uvloop.run(one_copy(pair, active, standby, seconds)) for _ in range(rounds)]
    figures = {key: median(run[key] for run in runs) for key in runs[0]}
    figures["added_p99_ms"] = figures["during_p99_ms"] - figures["without_p99_ms"]
    figures["worst_during_ms"] = max(run["during_max_ms"] for run in runs)
    for role, node in (("active", active), ("standby", standby)):
        peak = max(run[f"{role}_peak"] for run in runs)
        del figures[f"{role}_peak"]
        figures[f"{role}_state_mb"] = state[node.name] / 1e6
        figures[f"{role}_memory"] = (peak - empty[node.name]) / state[node.name]
    return figures


# --- the table


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of everything")
    parser.add_argument("--seconds", type=float, default=1.5, help="of one measurement")
    parser.add_argument("--disk", choices=("off", "journal", "fsync"), default="journal")
    options = parser.parse_args()
    rounds, seconds, disk = options.rounds, options.seconds, options.disk
    turns, floor, (share, added) = in_turns(rounds, seconds, disk)
    lags = {mode: lag(mode, 2 * seconds, disk) for mode in ("async", "semi")}
    copied = {name: copies(objects, rounds, 2 * seconds, disk) for name, objects in SHAPES.items()}
    ours = {name: turns[name] for name in MODES}
    rows: list[list[object]] = [["floor", "", "", "", floor["alone_p50_us"], floor["alone_p99_us"]]]
    rows += [[name, *found.values()] for name, found in turns.items()]
    report(
        "replication",
        "changes a second; waiting in microseconds",
        ("run", "50 writers: changes/s", "p50", "p99", "one writer: p50", "p99"),
        rows,
        figures={
            "codec": codec.running(),
            **ours,
            "semi_of_async": share,
            "semi_adds_us": added,
            "semi_adds_floors": added / floor["alone_p50_us"],
            "lag": lags,
            "copy": copied,
        },
        peers={"floor": floor, **{name: turns[name] for name in turns if name not in MODES}},
        notes=[
            f"codec {codec.running()}, disk = {disk}; {rounds} rounds of {seconds:g} s",
            f"values of {len(VALUE)} bytes; floor: {floor_bytes()[0]} bytes there, "
            f"{floor_bytes()[1]} back",
            f"semi: {share:.0%} of async (limit 70 %); it adds {added:.0f} us for one writer, "
            f"{added / floor['alone_p50_us']:.1f} floors (limit 4)",
            *(_lag_note(mode, found) for mode, found in lags.items()),
            *(_copy_note(name, found) for name, found in copied.items()),
            f"Redis {redis.version()}" if redis.installed() else "Redis: no redis-server here",
        ],
        json_file=options.json,
    )


def _lag_note(mode: str, found: Figures) -> str:
    return (
        f"lag of the standby in {mode}: p50 {found['p50_ms']:.2f} ms, p99 {found['p99_ms']:.2f}, "
        f"max {found['max_ms']:.2f}; Changes: p50 {found['p50_changes']:.0f}, "
        f"p99 {found['p99_changes']:.0f}, max {found['max_changes']:.0f}"
    )


def _copy_note(name: str, found: Figures) -> str:
    return (
        f"copy of {SLOTS:,} slots of {SLOT_BYTES:,} bytes in {name}: {found['seconds']:.2f} s; "
        f"writers wait p99 {found['during_p99_ms']:.1f} ms (without: "
        f"{found['without_p99_ms']:.1f}; it may add 50), max {found['during_max_ms']:.1f} "
        f"(without: {found['without_max_ms']:.1f}, worst {found['worst_during_ms']:.1f}); "
        f"memory: active {found['active_memory']:.2f} of its state of "
        f"{found['active_state_mb']:.0f} MB (limit 1.3), standby {found['standby_memory']:.2f} "
        f"(limit 2.3); starved {found['active_starved']:.0%}"
    )


if __name__ == "__main__":
    main()
