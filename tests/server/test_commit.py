"""How far the journal may be shown."""

from __future__ import annotations

import asyncio

import pytest

from rtmp_sync.server.commit import CommitPoint


def test_without_requirements_everything_may_be_shown_at_once() -> None:
    commit = CommitPoint()
    commit.head_moved(7)
    assert commit.level == 7


def test_the_slower_of_peer_and_disk_decides() -> None:
    commit = CommitPoint(require_peer=True, require_disk=True)
    commit.head_moved(10)
    commit.peer_acked(8)
    assert commit.level == 0
    commit.disk_written(5)
    assert commit.level == 5
    commit.disk_written(9)
    assert commit.level == 8


def test_the_level_never_goes_back_when_the_peer_is_required_again() -> None:
    commit = CommitPoint()
    commit.head_moved(10)
    commit.set_require_peer(True)
    assert commit.level == 10
    commit.head_moved(11)
    assert commit.level == 10
    commit.peer_acked(11)
    assert commit.level == 11


def test_what_waited_for_the_peer_is_released_when_the_origin_goes_on_alone() -> None:
    commit = CommitPoint(require_peer=True)
    advances: list[int] = []
    commit.on_advance = lambda: advances.append(commit.level)
    commit.head_moved(3)
    commit.set_require_peer(False)
    assert advances == [3]


async def test_waiting_ends_when_the_level_is_reached() -> None:
    commit = CommitPoint(require_peer=True)
    commit.head_moved(5)
    waits = asyncio.ensure_future(commit.wait(4))
    await asyncio.sleep(0)
    commit.peer_acked(3)
    await asyncio.sleep(0)
    assert not waits.done()
    commit.peer_acked(4)
    await waits


async def test_waiting_is_cancelled_when_another_history_begins() -> None:
    commit = CommitPoint(require_peer=True)
    commit.head_moved(5)
    waits = asyncio.ensure_future(commit.wait(5))
    await asyncio.sleep(0)
    commit.reset(2)
    with pytest.raises(asyncio.CancelledError):
        await waits


def test_too_many_unacknowledged_changes_hold_writers_back() -> None:
    commit = CommitPoint(require_peer=True)
    commit.head_moved(4096)
    assert not commit.congested
    commit.head_moved(4097)
    assert commit.congested
    commit.peer_acked(4000)
    assert commit.relaxed


def test_too_many_unacknowledged_bytes_hold_writers_back() -> None:
    commit = CommitPoint(require_peer=True)
    commit.head_moved(1, 5 << 20)
    commit.head_moved(2, 5 << 20)
    assert commit.congested
    commit.peer_acked(1)
    assert not commit.congested
    assert not commit.relaxed
    commit.peer_acked(2)
    assert commit.relaxed


async def test_who_waits_no_longer_is_forgotten_though_nothing_is_acknowledged() -> None:
    commit = CommitPoint(require_peer=True)
    commit.head_moved(10)
    patient = asyncio.ensure_future(commit.wait(9))
    for _ in range(100):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await commit.wait(10)
    assert len(commit._waiters) <= 3
    commit.peer_acked(10)
    await patient
