from __future__ import annotations

import asyncio
import os
from pathlib import Path

from rtmp_sync.server.guard_pipe import VARIABLE, GuardPipe
from rtmp_sync.server.overseer import overseer_of
from rtmp_sync.server.systemd import Systemd
from tests.server.notify_socket import NotifySocket


async def test_systemd_hears_of_start_life_state_and_end(tmp_path: Path) -> None:
    with NotifySocket(tmp_path / "notify") as listener:
        systemd = Systemd(listener.environment(watchdog_seconds=0.01))
        systemd.started()
        systemd.started()  # another life of the origin, under the same guard
        systemd.state("READY")
        systemd.beat()
        systemd.stopping()
        systemd.close()
        assert listener.lines == ["READY=1", "STATUS=READY", "WATCHDOG=1", "STOPPING=1"]


async def test_it_says_that_it_lives_as_often_as_systemd_wants_to_hear_it(tmp_path: Path) -> None:
    with NotifySocket(tmp_path / "notify") as listener:
        systemd = Systemd(listener.environment(watchdog_seconds=0.02))
        async with asyncio.timeout(10):
            while listener.lines.count("WATCHDOG=1") < 3:
                systemd.beat()
                await asyncio.sleep(0)
        seldom = Systemd(listener.environment(watchdog_seconds=3600))
        heard = len(listener.lines)
        for _ in range(10):
            seldom.beat()
        assert len(listener.lines) == heard + 1
        for one in (systemd, seldom):
            one.close()


async def test_a_watchdog_that_is_meant_for_another_process_is_not_fed(tmp_path: Path) -> None:
    with NotifySocket(tmp_path / "notify") as listener:
        systemd = Systemd(listener.environment(watchdog_seconds=0.01, pid=os.getppid()))
        systemd.beat()
        systemd.started()
        systemd.beat()
        systemd.close()
        # the first beat is due at once, if any is
        assert "WATCHDOG=1" not in listener.lines


async def test_without_systemd_nothing_happens(tmp_path: Path) -> None:
    for environment in ({}, {"NOTIFY_SOCKET": str(tmp_path / "nobody")}):
        systemd = Systemd(environment)
        systemd.started()
        systemd.beat()
        systemd.close()
        systemd.stopping()  # after the end, too


def test_the_guard_comes_before_systemd_as_overseer() -> None:
    assert isinstance(overseer_of({}), Systemd)
    assert isinstance(overseer_of({VARIABLE: ""}), GuardPipe)
