"""The guard with real child processes (guard_child.py) and a real folder of records."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rtmp_sync.cluster.record import Author, Record, first_record
from rtmp_sync.cluster.timing import DEFAULT
from rtmp_sync.coordinators.file import FileCoordinator
from rtmp_sync.firewalls.base import Closer, GateState
from rtmp_sync.firewalls.listener import GoneListener
from rtmp_sync.server import guard as guard_module
from rtmp_sync.server import guard_child, guard_release
from rtmp_sync.server.clock import now
from rtmp_sync.server.guard import Guard
from tests.server.notify_socket import NotifySocket

CHILD = Path(__file__).with_name("guard_child.py")
TIMING = replace(DEFAULT, guard_interval=0.05, guard_deadline=0.6, t_conf=2.0)
RECORD = first_record(("A", "B"), Author("A", "boot-1", "n1", ""))


class FilterDouble:
    """A packet filter that cannot be read back for the first `unproven` times."""

    def __init__(self, unproven: int) -> None:
        self.unproven = unproven
        self.closed = 0
        self.removed = False

    async def close(self) -> None:
        self.closed += 1
        if self.closed == 1 < self.unproven:
            raise OSError("the tool failed")

    async def remove(self) -> None:
        self.removed = True

    async def verify(self) -> GateState:
        return "closed" if self.closed > self.unproven else "unknown"


class Bench:
    """A guard in this loop, its child, and the records that they write."""

    def __init__(self, folder: Path) -> None:
        self.notes_file = folder / "notes"
        self.pair_file = folder / "pair.txt"
        self.pair_file.write_bytes(b"A\\B")
        self.coordinator = FileCoordinator(self.pair_file, "A", deadline_seconds=10)
        self.closer: Closer = GoneListener()

    def guard(self, *words: str, leave_seconds: float = 0.0) -> Guard:
        owner = FileCoordinator(self.pair_file, "A", deadline_seconds=10, owner="A-guard")
        command = (sys.executable, str(CHILD), *words)
        return Guard(command, owner, self.closer, TIMING, leave_seconds=leave_seconds)

    @property
    def notes(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return self.notes_file.read_text(encoding="ascii").splitlines()
        return []

    def noted(self, kind: str) -> list[str]:
        return [line.partition(" ")[2] for line in self.notes if line.startswith(kind)]

    @property
    def starts(self) -> int:
        return len(self.noted("start"))

    async def record(self) -> Record:
        record = (await self.coordinator.read(beat=False)).sighting.record
        assert record is not None
        return record


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  (another process writes a file)
            await asyncio.sleep(0.005)


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    monkeypatch.setenv("NOTES", str(bench.notes_file))
    monkeypatch.setattr(guard_module, "BACKOFF_SECONDS", (0.01, 0.05))
    await bench.coordinator.cas(RECORD)
    yield bench
    await bench.coordinator.stop()


async def test_a_child_that_stops_cleanly_is_not_started_again(bench: Bench) -> None:
    assert await bench.guard("beat", "exit", "0").run() == 0
    assert bench.starts == 1


async def test_a_wrong_configuration_is_passed_on(bench: Bench) -> None:
    assert await bench.guard("exit", "2").run() == 2
    assert bench.starts == 1


async def test_a_child_that_never_gets_well_is_started_six_times(bench: Bench) -> None:
    assert await bench.guard("beat", "exit", "3").run() == 3
    assert bench.starts == 1 + guard_module.BUDGET


async def test_a_child_that_was_ready_does_not_count_against_the_budget(bench: Bench) -> None:
    running = asyncio.ensure_future(bench.guard("state", "READY", "exit", "3").run())
    await until(lambda: bench.starts > 2 * guard_module.BUDGET)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await running in (0, 3)  # 3: it was about to exit by itself


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_is_passed_on_as_a_clean_stop(bench: Bench, number: int) -> None:
    running = asyncio.ensure_future(bench.guard("serve").run())
    await until(lambda: "serving" in bench.notes)
    os.kill(os.getpid(), number)
    assert await running == 0
    assert bench.starts == 1


async def test_a_second_signal_is_passed_on_too(bench: Bench) -> None:
    guard = bench.guard("serve-long", leave_seconds=600.0)
    running = asyncio.ensure_future(guard.run())
    await until(lambda: "serving" in bench.notes)
    os.kill(os.getpid(), signal.SIGTERM)
    await until(lambda: "signal" in bench.notes)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await running == 0
    assert len(bench.noted("signal")) == 2


async def test_a_signal_that_comes_before_the_first_child_ends_the_guard(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = bench.guard("serve")
    start = guard._coordinator.start

    async def told_meanwhile() -> tuple[str, str] | None:
        os.kill(os.getpid(), signal.SIGTERM)
        await until(guard._stopping.is_set)
        return await start()

    monkeypatch.setattr(guard._coordinator, "start", told_meanwhile)
    async with asyncio.timeout(20):
        assert await guard.run() == 0
    assert bench.starts == 0


async def test_a_child_that_hangs_while_clients_leave_is_killed(bench: Bench) -> None:
    running = asyncio.ensure_future(bench.guard("beat-once", leave_seconds=600.0).run())
    await until(lambda: "serving" in bench.notes)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await running == 1


async def test_a_child_that_does_not_stop_is_killed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard_child, "STOP_SECONDS", 0.3)
    running = asyncio.ensure_future(bench.guard("deaf").run())
    await until(lambda: "serving" in bench.notes)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await running == 1


def reap(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


async def run_until_second_start(bench: Bench, *words: str) -> None:
    running = asyncio.ensure_future(bench.guard(*words).run())
    await until(lambda: bench.starts >= 2)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    for pid in bench.noted("start"):
        reap(int(pid))


async def test_a_dead_child_that_had_opened_its_gate_is_released_before_the_next_start(
    bench: Bench,
) -> None:
    await run_until_second_start(bench, "gate", "1", "boot-1", "exit", "9")
    record = await bench.record()
    assert record.released
    assert (record.reason, record.by, record.rev) == ("process_exit", "A", 2)


async def test_a_dead_child_that_had_not_opened_its_gate_is_not_released(bench: Bench) -> None:
    await run_until_second_start(bench, "beat", "exit", "9")
    assert await bench.record() == RECORD


@pytest.mark.parametrize(("epoch", "boot_id"), [("2", "boot-1"), ("1", "boot-0")])
async def test_only_the_childs_own_epoch_and_boot_are_released(
    bench: Bench, epoch: str, boot_id: str
) -> None:
    await run_until_second_start(bench, "gate", epoch, boot_id, "exit", "9")
    assert await bench.record() == RECORD


async def test_what_is_released_already_is_left(bench: Bench) -> None:
    released = RECORD.let_go(Author("A", "boot-1", "n2", ""), 0, "stopped")
    await bench.coordinator.cas(released)
    await run_until_second_start(bench, "gate", "1", "boot-1", "exit", "9")
    assert await bench.record() == released


async def test_a_silent_child_is_killed_and_released_as_hung(bench: Bench) -> None:
    await run_until_second_start(bench, "beat", "gate", "1", "boot-1", "hang")
    record = await bench.record()
    assert (record.released, record.reason) == (True, "hung")


async def test_a_frozen_child_is_killed_with_its_helpers(bench: Bench) -> None:
    running = asyncio.ensure_future(bench.guard("helper", "gate", "1", "boot-1", "serve").run())
    await until(lambda: "serving" in bench.notes)
    os.kill(int(bench.noted("start")[0]), signal.SIGSTOP)
    await until(lambda: bench.notes.count("serving") == 2)
    with pytest.raises(ProcessLookupError):
        os.kill(int(bench.noted("helper")[0]), 0)
    assert (await bench.record()).reason == "hung"
    os.kill(os.getpid(), signal.SIGTERM)
    await running


async def test_a_guard_that_did_not_run_itself_starts_its_count_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its clock jumps by a minute between two ticks, as after a thaw of the whole machine."""
    looks = [0, 0.0]  # how often the guard looked at its clock, and how far that jumped

    def clock() -> float:
        looks[0] += 1
        return now() + looks[1]

    for module in (guard_module, guard_child):
        monkeypatch.setattr(module, "now", clock)
    running = asyncio.ensure_future(bench.guard("serve").run())
    await until(lambda: "serving" in bench.notes)
    looks[:] = [0, 60.0]
    await until(lambda: looks[0] > 50)  # many beats and ticks later
    os.kill(os.getpid(), signal.SIGTERM)
    assert await running == 0
    assert bench.starts == 1


async def test_a_gate_that_is_not_proven_closed_is_closed_again_before_anything_is_released(
    bench: Bench,
) -> None:
    bench.closer = gate = FilterDouble(unproven=3)
    await run_until_second_start(bench, "gate", "1", "boot-1", "exit", "9")
    assert gate.closed >= 4
    assert (await bench.record()).released


async def test_a_gate_that_closes_slowly_does_not_cost_the_release(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator's command may take longer than the patience for the whole of a release."""
    seconds = 0.0

    class Slow(FilterDouble):
        async def close(self) -> None:
            nonlocal seconds
            seconds += TIMING.t_conf
            await super().close()

    monkeypatch.setattr(guard_release, "now", lambda: now() + seconds)
    bench.closer = Slow(unproven=0)
    await run_until_second_start(bench, "gate", "1", "boot-1", "exit", "9")
    assert (await bench.record()).released


async def test_nothing_is_released_while_the_gate_may_be_open(bench: Bench) -> None:
    bench.closer = FilterDouble(unproven=10**9)
    await run_until_second_start(bench, "gate", "1", "boot-1", "exit", "9")
    assert await bench.record() == RECORD


async def test_the_gate_is_closed_also_of_a_child_that_had_not_opened_it(bench: Bench) -> None:
    bench.closer = gate = FilterDouble(unproven=0)
    await run_until_second_start(bench, "beat", "exit", "9")
    assert gate.closed >= 1


@pytest.mark.parametrize(
    ("words", "life"),
    [
        (("beat", "exit", "9"), "process_exit 9"),
        (("beat", "hang"), "killed_by_guard hung"),
    ],
)
async def test_a_child_is_told_how_the_one_before_it_ended(
    bench: Bench, words: tuple[str, ...], life: str
) -> None:
    await run_until_second_start(bench, *words)
    assert bench.noted("former")[:2] == ["", life]


@pytest.mark.parametrize("code", ["0", "2", "3"])
async def test_nothing_of_the_gate_stays_when_the_guard_ends(bench: Bench, code: str) -> None:
    bench.closer = gate = FilterDouble(unproven=0)
    await bench.guard("beat", "exit", code).run()
    assert gate.removed


async def test_a_child_that_stops_by_itself_may_be_silent_while_it_does(bench: Bench) -> None:
    words = ("beat", "say", "stopping", "sleep", "1.5", "exit", "0")  # the deadline is 0.6 s
    assert await bench.guard(*words).run() == 0


async def test_under_systemd_the_guard_speaks_for_the_child(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with NotifySocket(tmp_path / "notify") as systemd:
        for name, value in systemd.environment(watchdog_seconds=0.2).items():
            monkeypatch.setenv(name, value)
        words = ("note-environment", "say", "started", "state", "READY", "serve")
        running = asyncio.ensure_future(bench.guard(*words).run())
        await until(lambda: systemd.heard("READY=1", "STATUS=READY", "WATCHDOG=1"))
        assert bench.noted("environment") == [""]
        assert not systemd.heard("STOPPING=1")
        os.kill(os.getpid(), signal.SIGTERM)
        assert await running == 0
        assert systemd.heard("STOPPING=1\nEXTEND_TIMEOUT_USEC=20000000")
