"""The commands for Windows Firewall, given to a netsh that only keeps the names of rules.

There is no Windows here: what netsh itself does with them is not tested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from rtmp_sync.config import Config
from rtmp_sync.firewalls import check
from rtmp_sync.firewalls.run_program import Ran
from rtmp_sync.firewalls.windows import WindowsFilter

ALLOW, BLOCK = "name=rtmp_sync A 1935 allow", "name=rtmp_sync A 1935 block"
PORT = ["dir=in", "protocol=TCP", "localport=1935"]


class Netsh:
    """Exit code 0, or 1 for a rule that is not there, as netsh has it."""

    def __init__(self) -> None:
        self.rules: dict[str, list[str]] = {}
        self.commands: list[list[str]] = []
        self.broken = False

    async def __call__(
        self,
        command: Sequence[str],
        *,
        deadline_seconds: float,
        text: str = "",
        variables: Mapping[str, str] | None = None,
    ) -> Ran:
        assert deadline_seconds > 0
        program, *scope, verb, noun, name = command[:6]
        assert (program, scope, noun) == ("netsh", ["advfirewall", "firewall"], "rule")
        self.commands.append([verb, *command[5:]])
        if self.broken and verb != "show":
            return Ran(1, "The requested operation requires elevation.\n", "")
        if verb == "add":
            self.rules[name] = list(command[6:])
        elif name not in self.rules:
            return Ran(1, "No rules match the specified criteria.\n", "")
        elif verb == "delete":
            del self.rules[name]
        return Ran(0, "Ok.\n", "")

    def done(self) -> list[list[str]]:
        """What changed something, since the last time."""
        commands, self.commands = self.commands, []
        return [command for command in commands if command[0] != "show"]


@pytest.fixture
def netsh() -> Netsh:
    return Netsh()


@pytest.fixture
def windows(netsh: Netsh) -> WindowsFilter:
    return WindowsFilter("A", [("0.0.0.0", 1935)], ["10.0.0.5/32", "fd77::/64"], netsh)


async def test_it_opens_by_allowing_first_and_closes_by_blocking_first(
    windows: WindowsFilter, netsh: Netsh
) -> None:
    assert await windows.verify() == "unknown"
    await windows.close()
    assert netsh.done() == [
        ["add", BLOCK, "action=block", *PORT, "remoteip=any"],
        ["delete", ALLOW],
    ]
    assert await windows.verify() == "closed"
    await windows.open(1, 0.0)
    assert netsh.done() == [
        ["add", ALLOW, "action=allow", *PORT, "remoteip=10.0.0.5/32,fd77::/64"],
        ["delete", BLOCK],
    ]
    assert await windows.verify() == "open"


async def test_no_rule_is_added_twice(windows: WindowsFilter, netsh: Netsh) -> None:
    await windows.close()
    netsh.done()
    await windows.close()
    assert netsh.done() == [["delete", ALLOW]]


async def test_nothing_stays_behind(windows: WindowsFilter, netsh: Netsh) -> None:
    await windows.open(1, 0.0)
    await windows.remove()
    assert netsh.rules == {}


async def test_rules_that_others_delete_or_add_are_noticed(
    windows: WindowsFilter, netsh: Netsh
) -> None:
    await windows.open(1, 0.0)
    del netsh.rules[ALLOW]
    assert await windows.verify() == "unknown"
    await windows.open(1, 0.0)
    netsh.rules[BLOCK] = []
    assert await windows.verify() == "unknown"


async def test_without_rights_it_says_what_netsh_says(windows: WindowsFilter, netsh: Netsh) -> None:
    netsh.broken = True
    with pytest.raises(OSError, match="netsh: The requested operation requires elevation"):
        await windows.close()
    netsh.broken = False
    await windows.close()
    netsh.broken = True
    with pytest.raises(OSError, match="netsh: The requested operation requires elevation"):
        await windows.remove()


async def test_without_a_list_everybody_is_allowed_and_one_address_can_be_meant(
    netsh: Netsh,
) -> None:
    await WindowsFilter("A", [("10.0.0.1", 1935)], [], netsh).open(1, 0.0)
    assert netsh.rules[ALLOW] == [
        *("action=allow", "dir=in", "protocol=TCP", "localip=10.0.0.1", "localport=1935"),
        "remoteip=any",
    ]


def test_on_another_system_it_says_so_in_one_line() -> None:
    config = Config.model_validate({"node": {"id": "A"}, "firewall": {"driver": "windows"}})
    assert [str(error) for error in check(config)] == [
        "firewall.driver = 'windows': there is no netsh: this driver is for Windows; "
        'on Linux use driver = "nftables"'
    ]


async def test_one_rule_has_both_ports(netsh: Netsh) -> None:
    await WindowsFilter("A", [("10.0.0.1", 1935), ("10.0.0.1", 8080)], [], netsh).open(1, 0.0)
    assert netsh.rules[ALLOW][3:5] == ["localip=10.0.0.1", "localport=1935,8080"]
    netsh.rules.clear()
    await WindowsFilter("A", [("10.0.0.1", 1935), ("0.0.0.0", 8080)], [], netsh).open(1, 0.0)
    assert netsh.rules[ALLOW][3:4] == ["localport=1935,8080"]
