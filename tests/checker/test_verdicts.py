"""The checker must be able to fail: each of its looks, given something broken, says so."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.storage.journal_file import JournalFile
from tests.checker.copies import compare
from tests.checker.logs import Log
from tests.checker.memory import ALLOWANCE_BYTES, Memory
from tests.support.pair import now


def logged(*lines: str, tmp_path: Path) -> Log:
    path = tmp_path / "log"
    path.write_text("".join(line + "\n" for line in lines))
    log = Log(path)
    log.collect()
    return log


def entry(level: str, event: str, **fields: object) -> str:
    at = datetime.now(UTC).isoformat()
    return json.dumps({"level": level, "event": event, "at": at, **fields})


def test_quiet_logs_have_no_problems(tmp_path: Path) -> None:
    lines = [entry("info", "turn"), entry("warning", "link_lost"), entry("error", "origin_killed")]
    log = logged(*lines, tmp_path=tmp_path)
    assert log.problems == []
    assert log.guard_kills == [pytest.approx(now(), abs=60)]


@pytest.mark.parametrize(
    "line",
    [
        entry("error", "call_failed"),
        entry("critical", "watchdog_failed"),
        entry("warning", "something", exception="Traceback …"),
        "Traceback (most recent call last):",
        "Exception ignored in: <function …>",
    ],
    ids=["error", "critical", "exception", "traceback", "ignored"],  # a line holds the time
)
def test_an_error_or_a_traceback_in_a_log_is_a_problem(line: str, tmp_path: Path) -> None:
    assert len(logged(line, tmp_path=tmp_path).problems) == 1


def test_a_log_is_read_as_it_grows_and_only_whole_lines(tmp_path: Path) -> None:
    log = logged(entry("info", "turn"), tmp_path=tmp_path)
    line = entry("error", "call_failed")
    with log.path.open("a") as file:
        file.write(line[:20])
    log.collect()
    assert log.problems == []
    with log.path.open("a") as file:
        file.write(line[20:] + "\n")
    log.collect()
    log.collect()
    assert len(log.problems) == 1


def test_a_process_that_grows_without_end_is_a_problem() -> None:
    memory = Memory({"origin A": 100 << 20}, {"origin A": 120 << 20})
    assert memory.problems() == []
    memory.last["origin A"] = (150 << 20) + ALLOWANCE_BYTES + 1
    assert len(memory.problems()) == 1


def state_directory(parent: Path, name: str) -> Path:
    directory = parent / name / "state"
    directory.mkdir(parents=True)
    return directory


async def written(directory: Path, text: bytes) -> Path:
    state = ReplicatedState()
    journal = JournalFile(directory)
    journal.load(state)
    journal.begin()
    state.start_epoch(1, "boot", "history", lossy=False)
    board = state.shared_object("proof/checker", "board", "P")
    state.set_slot(board, "key", text, state.next_version(board))
    batch = state.journal.take_batch()
    assert batch is not None
    journal.write(batch)
    await journal.stop()
    return directory


async def test_copies_on_disk_are_compared(tmp_path: Path) -> None:
    first = await written(state_directory(tmp_path, "A"), b"\x02\x00\x01x")
    same = await written(state_directory(tmp_path, "B"), b"\x02\x00\x01x")
    other = await written(state_directory(tmp_path, "C"), b"\x02\x00\x01y")
    assert compare(first, same) == []
    assert len(compare(first, other)) == 1
