"""Who watches over an origin: its guard, systemd, or both; and the units that we ship."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.notify_socket import NotifySocket
from tests.support.pair import Pair, within
from tests.support.single import Single

UNITS = Path(__file__).parents[2] / "docs" / "samples"
WATCHDOG_SECONDS = 1.0  # systemd would kill what is silent for longer


@pytest.fixture
def single() -> Iterator[Single]:
    single = Single()
    yield single
    single.clean_up()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[NotifySocket]:
    with NotifySocket(tmp_path / "notify") as systemd:
        yield systemd


async def heard(systemd: NotifySocket, *texts: str, seconds: float = 30.0) -> None:
    async def look() -> bool:
        return systemd.heard(*texts)

    await within(seconds, f"systemd hears {texts}; it heard {systemd.lines}", look)


def environment_of(systemd: NotifySocket) -> dict[str, str]:
    """Without WATCHDOG_PID, whose value is known only when the process is there."""
    environment = systemd.environment(watchdog_seconds=WATCHDOG_SECONDS)
    del environment["WATCHDOG_PID"]
    return environment


@pytest.mark.parametrize("options", [(), ("--no-guard",)], ids=["guard", "no-guard"])
async def test_systemd_hears_that_an_origin_is_ready_lives_serves_and_stops(
    single: Single, systemd: NotifySocket, options: tuple[str, ...]
) -> None:
    single.launch(*options, environment=environment_of(systemd))
    await heard(systemd, "READY=1", "WATCHDOG=1", "STATUS=ACTIVE")
    assert not systemd.heard("STOPPING=1")
    beats = systemd.lines.count("WATCHDOG=1")

    async def more() -> bool:
        return systemd.lines.count("WATCHDOG=1") >= beats + 3

    await within(10 * WATCHDOG_SECONDS, "more signs of life", more)
    assert single.process is not None
    single.process.terminate()
    assert single.process.wait(30) == 0
    assert systemd.heard("STOPPING=1")
    assert systemd.lines.count("READY=1") == 1


async def test_a_hung_origin_without_a_guard_is_silent_for_systemd(
    single: Single, systemd: NotifySocket
) -> None:
    single.launch("--no-guard", environment=environment_of(systemd))
    await heard(systemd, "READY=1", "WATCHDOG=1")
    assert single.process is not None
    single.process.send_signal(signal.SIGSTOP)
    beats = systemd.lines.count("WATCHDOG=1")
    with pytest.raises(AssertionError):
        await heard(systemd, "never", seconds=2 * WATCHDOG_SECONDS)
    assert systemd.lines.count("WATCHDOG=1") <= beats + 1
    single.process.kill()


async def test_a_guard_that_is_gone_is_an_alarm_and_the_origin_serves_on(own_pair: Pair) -> None:
    own_pair.start()
    active, _ = await own_pair.settled()
    own_pair.signal(active, signal.SIGKILL, origin=False, guard=True)

    async def told() -> bool:
        status = await own_pair.status(active)
        return status is not None and "guard_lost" in status["alarms"]

    await within(10, "the alarm guard_lost", told)
    assert await own_pair.healthy(active, "active")
    status = await own_pair.status(active)
    assert status is not None
    assert (status["pid"], status["guard_pid"]) == (active.pid, None)
    history = await own_pair.history(active) or []
    assert [event["event"] for event in history].count("guard_lost") == 1


async def test_the_history_of_a_node_tells_how_its_origin_ended(own_pair: Pair) -> None:
    own_pair.start()
    active, standby = await own_pair.settled()
    for victim, sign, event, reason in (
        (active, signal.SIGKILL, "process_exit", "SIGKILL"),
        (standby, signal.SIGSTOP, "killed_by_guard", "hung"),
    ):
        own_pair.signal(victim, sign)

        async def told(node: str = victim.id, wanted: tuple[str, str] = (event, reason)) -> bool:
            events = await own_pair.history(own_pair.node(node)) or []
            return wanted in [(one["event"], one.get("reason")) for one in events]

        await within(30, f"{victim.id} tells of {event}", told)
        await own_pair.settled()


@pytest.mark.parametrize("unit", ["rtmp-sync.service", "rtmp-sync-no-guard.service"])
def test_the_units_are_valid(unit: str, tmp_path: Path) -> None:
    """Their program and user exist on no machine that runs tests; the rest is what is looked at."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze: systemd is not on this machine")
    text = (UNITS / unit).read_text()
    assert "/usr/local/bin/rtmp-sync" in text
    text = text.replace("/usr/local/bin/rtmp-sync", "/bin/true")
    text = text.replace("User=rtmp-sync", f"User={os.getuid()}")
    copy = tmp_path / unit
    copy.write_text(text)
    verified = subprocess.run(
        [analyze, "verify", "--man=no", str(copy)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    about_it = [line for line in verified.stderr.splitlines() if unit in line]
    assert (verified.returncode, about_it) == (0, [])
