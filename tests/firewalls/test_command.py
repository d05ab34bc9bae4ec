"""The operator's scripts; real ones, which note what they are run with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rtmp_sync.config import Config
from rtmp_sync.firewalls import check, make_closer, make_gate
from rtmp_sync.firewalls.base import Gate
from rtmp_sync.firewalls.listener import ListenerGate
from rtmp_sync.firewalls.packet_filter import READINGS
from tests.support.nodes import until

SCRIPT = """#!/bin/sh
cd "$(dirname "$0")"
echo "$RTMP_SYNC_ACTION $RTMP_SYNC_NODE $RTMP_SYNC_EPOCH $RTMP_SYNC_HOST:$RTMP_SYNC_PORT\
 [$RTMP_SYNC_ALLOW] $*" >> calls
[ -e "$RTMP_SYNC_ACTION.hangs" ] && sleep 600
[ -e "$RTMP_SYNC_ACTION.fails" ] && { echo "the cloud says no" >&2; exit 7; }
case "$RTMP_SYNC_ACTION" in
    open) touch opened ;;
    close) rm -f opened ;;
    verify) [ -e opened ] ;;
esac
"""


class Site:
    """A folder with the script, and a gate that runs it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.script = folder / "gate.sh"
        self.script.write_text(SCRIPT)
        self.script.chmod(0o755)
        command = [str(self.script), "sg-1234"]
        firewall = {
            "driver": "command",
            "allow": ["10.0.0.5", "fd77::/64"],
            "open_command": command,
            "close_command": command,
            "verify_command": command,
            "command_deadline": 5.0,
            "verify_interval": 0.1,
        }
        rtmp = {"listen": "10.0.0.1:1935"}
        tables = {"node": {"id": "A"}, "rtmp": rtmp, "firewall": firewall}
        self.config = Config.model_validate(tables)
        self.events: list[object] = []
        self.listener = ListenerGate("127.0.0.1", 0, asyncio.Protocol)
        self.gate: Gate = make_gate(self.config, self.listener, self._report)

    def _report(self, event: str, /, **fields: object) -> None:
        self.events.append((event, fields["error"]))

    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()

    def let(self, action: str, how: str) -> None:
        """how: "fails" or "hangs"."""
        (self.folder / f"{action}.{how}").touch()

    def let_all(self) -> None:
        for path in self.folder.glob("*.*s"):
            path.unlink()

    async def reads(self, state: str) -> None:
        async with asyncio.timeout(20):
            while await self.gate.verify() != state:  # noqa: ASYNC110 - it is asked, never tells
                await asyncio.sleep(0.01)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    site = Site(tmp_path)
    await site.gate.start()
    await site.reads("closed")
    yield site
    site.let_all()
    await site.gate.stop()


async def test_the_commands_are_told_whose_gate_they_move_and_why(site: Site) -> None:
    await site.gate.open(7)
    await site.reads("open")
    await site.gate.close()
    await site.reads("closed")
    about = "10.0.0.1:1935 [10.0.0.5/32 fd77::/64] sg-1234"
    calls = [call for call in site.calls() if not call.startswith("verify")]
    assert calls == [f"close A 0 {about}", f"open A 7 {about}", f"close A 7 {about}"]
    assert f"verify A 7 {about}" in site.calls()
    assert site.events == []


async def test_a_command_that_fails_keeps_the_gate_from_opening_and_says_why(site: Site) -> None:
    site.let("open", "fails")
    with pytest.raises(OSError, match="open_command: the cloud says no"):
        await site.gate.open(1)
    assert site.events == [("gate_mismatch", "open_command: the cloud says no")]
    assert await site.gate.verify() == "unknown"
    await site.gate.close()
    await site.reads("closed")


async def test_a_command_that_hangs_is_killed_and_closing_does_not_wait_for_it(
    site: Site,
) -> None:
    site.let("open", "hangs")
    opening = asyncio.ensure_future(site.gate.open(1))
    await until(lambda: any(call.startswith("open") for call in site.calls()))
    await site.gate.close()
    with pytest.raises(OSError, match="closed meanwhile"):
        await opening
    await site.reads("closed")
    assert not (site.folder / "opened").exists()


async def test_a_close_that_fails_is_not_closed_until_it_succeeds(site: Site) -> None:
    await site.gate.open(1)
    site.let("close", "fails")
    await site.gate.close()
    assert await site.listener.verify() == "closed"
    assert await site.gate.verify() == "unknown"
    (site.folder / "close.fails").unlink()
    await site.reads("closed")


async def test_a_stop_in_the_middle_of_closing_closes(site: Site) -> None:
    await site.gate.open(1)
    site.let("close", "hangs")
    await site.gate.close()
    assert (site.folder / "opened").exists()
    site.let_all()
    await site.gate.stop()
    assert not (site.folder / "opened").exists()


async def test_an_open_gate_stays_so_while_nobody_can_say_what_it_is(site: Site) -> None:
    """A cloud whose API is away still forwards what it forwarded."""
    await site.gate.open(1)
    await site.reads("open")
    site.let("verify", "fails")
    before = len(site.calls())
    async with asyncio.timeout(20):
        while len(site.calls()) < before + 3 * READINGS:
            assert await site.gate.verify() == "open"
            await asyncio.sleep(0.01)
    (site.folder / "verify.fails").unlink()
    await site.reads("open")
    assert site.events == [("gate_mismatch", "verify_command: the cloud says no")]


async def test_what_was_closed_elsewhere_is_opened_again(site: Site) -> None:
    await site.gate.open(1)
    await site.reads("open")
    (site.folder / "opened").unlink()
    async with asyncio.timeout(20):
        while not (site.folder / "opened").exists():
            await site.gate.verify()
            await asyncio.sleep(0.01)
    assert site.events == [("gate_mismatch", "wanted open, found closed")]


async def test_the_guard_closes_with_the_same_commands(site: Site) -> None:
    await site.gate.open(1)
    closer = make_closer(site.config)
    await closer.close()
    assert await closer.verify() == "closed"
    await closer.remove()


def test_commands_that_are_missing_or_cannot_be_run_are_named(tmp_path: Path) -> None:
    firewall = {"driver": "command", "open_command": ["true"], "close_command": [str(tmp_path)]}
    config = Config.model_validate({"node": {"id": "A"}, "firewall": firewall})
    assert [str(error) for error in check(config)] == [
        f"firewall.close_command = ['{tmp_path}']: {tmp_path} cannot be run; "
        "give an executable file's path",
        "firewall.verify_command = (not given): "
        'driver "command" needs it: ["/path/of/program", "argument", …]',
    ]
