"""iptables and ip6tables, for machines without nftables: see `iptables_rules` for the rules.

No dead man's switch: iptables has no rule that ends by itself, so the port of a machine whose
whole user space is frozen stays open, and a plain TCP check of a load balancer still succeeds
there. Needs root or CAP_NET_ADMIN. Both kinds of the program (legacy and nft) will do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rtmp_sync.errors import ConfigError
from rtmp_sync.firewalls.base import GateState, Report
from rtmp_sync.firewalls.driver_needs import fixed_port, net_admin, programs
from rtmp_sync.firewalls.iptables_rules import Rules
from rtmp_sync.firewalls.listen_address import literal
from rtmp_sync.firewalls.listener import ListenerGate
from rtmp_sync.firewalls.packet_filter import FilterGate
from rtmp_sync.firewalls.run_program import Run, run_program

if TYPE_CHECKING:
    from rtmp_sync.config import Config

__all__ = ["IptablesFilter", "check", "make", "make_closer"]

PROGRAMS = {4: "iptables", 6: "ip6tables"}
WAIT_SECONDS = 1  # for others who hold the lock
DEADLINE_SECONDS = 2.0


class IptablesFilter:
    """A PacketFilter (packet_filter.py), and a Closer (base.py)."""

    fresh_seconds = 4.0  # a reading is two processes: one a second is enough
    lapses = False

    def __init__(self, rules: Sequence[Rules], run: Run = run_program) -> None:
        self._rules = rules
        self._run = run

    async def open(self, epoch: int, until: float) -> None:
        await self._replace(is_open=True)

    async def close(self) -> None:
        await self._replace(is_open=False)

    async def verify(self) -> GateState:
        fits = [rules.states(await self._listing(rules)) for rules in self._rules]
        states = set.intersection(*fits)
        return states.pop() if len(states) == 1 else "unknown"

    async def remove(self) -> None:
        for rules in self._rules:
            await self._restore(rules, rules.remove(await self._listing(rules)))

    def hold(self, until: float) -> None:
        """Nothing closes by itself."""

    async def _replace(self, *, is_open: bool) -> None:
        for rules in self._rules:
            listing = await self._listing(rules)
            await self._restore(rules, rules.replace(listing, is_open=is_open))

    async def _listing(self, rules: Rules) -> str:
        return await self._call([PROGRAMS[rules.family], "-w", str(WAIT_SECONDS), "-S"])

    async def _restore(self, rules: Rules, transaction: str) -> None:
        if transaction:
            program = f"{PROGRAMS[rules.family]}-restore"
            await self._call([program, "-w", str(WAIT_SECONDS), "--noflush"], transaction)

    async def _call(self, command: Sequence[str], text: str = "") -> str:
        ran = await self._run(command, deadline_seconds=DEADLINE_SECONDS, text=text)
        if ran.code != 0:
            raise OSError(f"{command[0]}: {ran.complaint}")
        return ran.output


def _filter(config: Config) -> IptablesFilter:
    node, allow = config.node.id, config.firewall.allow
    return IptablesFilter(
        [Rules(family, node, config.public, allow) for family in _families(config)]
    )


def _families(config: Config) -> list[int]:
    addresses = [literal(one.host) for one in config.public]
    versions = {address.version for address in addresses if address is not None}
    if None in addresses:
        versions |= {4, 6} if Path("/proc/net/if_inet6").exists() else {4}
    return sorted(versions)


def make(config: Config, listener: ListenerGate, report: Report) -> FilterGate:
    return FilterGate(listener, _filter(config), report)


def make_closer(config: Config) -> IptablesFilter:
    return _filter(config)


def check(config: Config) -> Iterator[ConfigError]:
    yield from fixed_port(config)
    yield from net_admin(config)
    names = [PROGRAMS[family] for family in _families(config)]
    yield from programs(config, "iptables", *names, *(f"{name}-restore" for name in names))
