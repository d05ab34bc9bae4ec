"""Windows Firewall, by `netsh advfirewall`: two rules for the port.

    rtmp_sync A 1935 allow     in, TCP, the ports, from [firewall] allow
    rtmp_sync A 1935 block     in, TCP, the ports, from anywhere; there while the gate is closed

A block rule wins over every allow rule, so the gate opens when it is deleted and closes when it is
added. Whether a rule exists is told by an exit code, as netsh's words depend on the system's
language.

What this does not do. It was written against the documentation and is tested with a recorded
netsh: it has not been seen on a Windows machine. Windows drops what it blocks instead of resetting
it, so a load balancer notices by a time-out, unless the listener was closed first, which it is
here as long as this process runs. Those who are not in `allow` are kept out by the firewall's own
default (block inbound), which has to be on, and must not be let in by other rules, for example
one for python.exe. Loopback is never filtered. No dead man's switch. Needs an administrator.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rtmp_sync.errors import ConfigError
from rtmp_sync.firewalls.base import GateState, Report
from rtmp_sync.firewalls.driver_needs import executable, fixed_port
from rtmp_sync.firewalls.listen_address import literal
from rtmp_sync.firewalls.listener import ListenerGate
from rtmp_sync.firewalls.packet_filter import FilterGate
from rtmp_sync.firewalls.run_program import Run, run_program

if TYPE_CHECKING:
    from rtmp_sync.config import Config

__all__ = ["WindowsFilter", "check", "make", "make_closer"]

DEADLINE_SECONDS = 5.0
NOT_FOUND = 1  # netsh's exit code for a rule that is not there, and for everything that fails


class WindowsFilter:
    """A PacketFilter (packet_filter.py), and a Closer (base.py)."""

    fresh_seconds = 20.0  # a reading is two processes, which are slow there
    lapses = False

    def __init__(
        self,
        node: str,
        public: Sequence[tuple[str, int]],
        allow: Sequence[str],
        run: Run = run_program,
    ) -> None:
        """public: hosts and ports, the RTMP port first."""
        self._name = f"rtmp_sync {node} {public[0][1]}"
        addresses = {literal(host) for host, _ in public}
        local = [] if None in addresses else [f"localip={','.join(sorted(map(str, addresses)))}"]
        ports = ",".join(str(port) for _, port in public)
        self._port = ["dir=in", "protocol=TCP", *local, f"localport={ports}"]
        self._sources = ",".join(allow) or "any"
        self._run = run

    async def open(self, epoch: int, until: float) -> None:
        await self._add("allow", f"remoteip={self._sources}")
        await self._delete("block")

    async def close(self) -> None:
        await self._add("block", "remoteip=any")
        await self._delete("allow")

    async def verify(self) -> GateState:
        match (await self._exists("allow"), await self._exists("block")):
            case (True, False):
                return "open"
            case (False, True):
                return "closed"
        return "unknown"

    async def remove(self) -> None:
        await self._delete("allow")
        await self._delete("block")

    def hold(self, until: float) -> None:
        """Nothing closes by itself."""

    async def _add(self, action: str, source: str) -> None:
        """Once: netsh would add a second rule of the same name."""
        if await self._exists(action):
            return
        rule = [self._rule(action), f"action={action}", *self._port, source]
        code, complaint = await self._netsh("add", *rule)
        if code != 0:
            raise OSError(f"netsh: {complaint}")

    async def _delete(self, action: str) -> None:
        code, complaint = await self._netsh("delete", self._rule(action))
        if code != 0 and await self._exists(action):
            raise OSError(f"netsh: {complaint}")

    async def _exists(self, action: str) -> bool:
        code, complaint = await self._netsh("show", self._rule(action))
        if code not in (0, NOT_FOUND):
            raise OSError(f"netsh: {complaint}")
        return code == 0

    def _rule(self, action: str) -> str:
        return f"name={self._name} {action}"

    async def _netsh(self, verb: str, *rule: str) -> tuple[int, str]:
        command = ["netsh", "advfirewall", "firewall", verb, "rule", *rule]
        ran = await self._run(command, deadline_seconds=DEADLINE_SECONDS)
        return ran.code, ran.complaint


def _filter(config: Config) -> WindowsFilter:
    return WindowsFilter(config.node.id, config.public, config.firewall.allow)


def make(config: Config, listener: ListenerGate, report: Report) -> FilterGate:
    return FilterGate(listener, _filter(config), report)


def make_closer(config: Config) -> WindowsFilter:
    return _filter(config)


def check(config: Config) -> Iterator[ConfigError]:
    yield from fixed_port(config)
    if not executable("netsh"):
        fix = 'there is no netsh: this driver is for Windows; on Linux use driver = "nftables"'
        yield ConfigError("firewall.driver", config.firewall.driver, fix)
