"""A log file that a thread writes: moved away by others or by itself, and never waited for."""

from __future__ import annotations

import threading
from pathlib import Path

from structlog.testing import capture_logs

from rtmp_sync.server import access_file
from rtmp_sync.server.access_file import AccessFile
from tests.support.origins import until

LONG = 1_000_000


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


async def test_lines_are_added_to_what_is_there_under_one_header(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    for word in ("one", "two"):
        file = AccessFile(path, max_bytes=LONG, keep=1, header="#top\n")
        file.start()
        file.put(lambda word=word: word)  # type: ignore[misc]  # its default is the word
        file.stop()
    assert lines(path) == ["#top", "one", "two"]


async def test_a_file_that_was_moved_away_is_made_anew(tmp_path: Path) -> None:
    path, old = tmp_path / "access.log", tmp_path / "old"
    file = AccessFile(path, max_bytes=LONG, keep=1, header="#top\n")
    file.start()
    file.put(lambda: "one")
    await until(lambda: lines(path)[1:] == ["one"])
    path.rename(old)
    file.put(lambda: "two")
    await until(lambda: lines(path)[1:] == ["two"])
    file.stop()
    assert lines(old) == ["#top", "one"]


async def test_a_full_file_is_moved_away_and_only_some_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    file = AccessFile(path, max_bytes=4, keep=2)
    file.start()
    for word in ("one", "two", "three"):
        file.put(lambda word=word: word)  # type: ignore[misc]  # its default is the word
        await until(lambda word=word: lines(tmp_path / "access.log.1") == [word])  # type: ignore[misc]  # as above
    file.stop()
    assert lines(tmp_path / "access.log.2") == ["two"]
    assert not (tmp_path / "access.log.3").exists()


async def test_what_a_stuck_disk_cannot_take_is_dropped_and_counted(
    tmp_path: Path, monkeypatch: object
) -> None:
    path, stuck = tmp_path / "access.log", threading.Event()

    def hang() -> str:
        stuck.wait()
        return "late"

    file = AccessFile(path, max_bytes=LONG, keep=1)
    file._waiting.maxsize = 3
    file.start()
    file.put(hang)
    await until(lambda: not file._waiting.qsize())
    for _ in range(5):
        file.put(lambda: "more")
    assert file.dropped == 2
    stuck.set()
    await until(lambda: lines(path) == ["late", "more", "more", "more"])
    file.stop()


async def test_a_disk_in_trouble_is_told_once_and_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "access.log"
    file = AccessFile(path, max_bytes=LONG, keep=1)
    with capture_logs() as told:
        file.start()
        for lost in (1, 2):
            file.put(lambda: "lost")
            await until(lambda lost=lost: file.dropped == lost)  # type: ignore[misc]  # its default
        path.parent.mkdir()
        file.put(lambda: "here")
        await until(lambda: lines(path) == ["here"])
        file.stop()
    assert [line["event"] for line in told] == ["access_log_failed"]


def test_a_stop_waits_for_a_hung_disk_so_long_and_no_longer(tmp_path: Path) -> None:
    stuck = threading.Event()
    file = AccessFile(tmp_path / "access.log", max_bytes=LONG, keep=1)
    file.start()
    file.put(lambda: str(stuck.wait()))
    access_file.STOP_SECONDS, seconds = 0.01, access_file.STOP_SECONDS  # type: ignore[misc]  # Final
    try:
        file.stop()
        assert file._thread.is_alive()
    finally:
        access_file.STOP_SECONDS = seconds  # type: ignore[misc]  # Final
        stuck.set()
        file._thread.join()
