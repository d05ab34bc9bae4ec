"""nftables: the kernel keeps everybody but the load balancer from the port, and closes it by
itself when nobody above it lives.

A dead man's switch: the port is open as long as an element with a time-out of at most a second is
in a set, and the origin refreshes it for as long as it has the authority. A process that is frozen
together with its guard refreshes nothing. See `nft_table` for the rules and `nft_library` for how
nft is called. Needs root or CAP_NET_ADMIN, and libnftables, which comes with the nft program.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

import structlog

from rtmp_sync.errors import ConfigError
from rtmp_sync.firewalls.base import GateState, Report
from rtmp_sync.firewalls.driver_needs import fixed_port, net_admin
from rtmp_sync.firewalls.listener import ListenerGate
from rtmp_sync.firewalls.nft_library import Nft, NftError, load
from rtmp_sync.firewalls.nft_table import Listing, Table
from rtmp_sync.firewalls.packet_filter import FilterGate
from rtmp_sync.server.clock import now

if TYPE_CHECKING:
    from rtmp_sync.config import Config

__all__ = ["NftablesFilter", "check", "make", "make_closer"]

SWITCH_SECONDS = 1.0  # the kernel closes the port so long after the last refresh

# A refresh that would keep the port open for no longer than this much more is left out: the
# authority is extended many times a second.
GAIN_SECONDS = 0.1


SLOW_SECONDS = SWITCH_SECONDS / 4  # this machine has too little time for its user space


class NftablesFilter:
    """A PacketFilter (packet_filter.py), and a Closer (base.py).

    Refreshes never overlap, and never reach beyond the authority that was told by `hold`.
    """

    fresh_seconds = 1.0
    lapses = True

    def __init__(self, table: Table, nft: Nft) -> None:
        self._table = table
        self._nft = nft
        self._installed: Listing | None = None
        self._until = 0.0
        self._open = False
        self._expires_at = 0.0
        self._refreshing: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("rtmp_sync.gate").bind(table=table.name)

    async def open(self, epoch: int, until: float) -> None:
        self._open, self._until = True, until
        await self._nft.call(self._install)

    async def close(self) -> None:
        self._open = False
        await self._nft.call(self._install)

    async def verify(self) -> GateState:
        try:
            listing = await self._nft.call(self._read)
        except NftError:  # there is no such table, or it is not ours any more
            return "unknown"
        if self._installed is None or listing.content != self._installed.content:
            return "unknown"
        return "open" if listing.is_open else "closed"

    async def remove(self) -> None:
        self._open = False
        await self._nft.call(lambda: self._nft.run(self._table.remove()))

    def hold(self, until: float) -> None:
        self._until = until
        gain = min(now() + SWITCH_SECONDS, until) - self._expires_at
        if self._refreshing is None and gain > GAIN_SECONDS:
            self._refreshing = asyncio.ensure_future(self._refresh())

    async def _refresh(self) -> None:
        started_at = now()
        try:
            await self._nft.call(self._refresh_now)
        except OSError as error:  # the next reading finds out what is wrong, and repairs it
            self._log.warning("gate_not_refreshed", error=str(error) or "no answer")
        finally:
            self._refreshing = None
            if (seconds := now() - started_at) > SLOW_SECONDS:
                self._log.warning("gate_refreshed_slowly", seconds=round(seconds, 3))

    # -- in the thread --------------------------------------------------------------------

    def _install(self) -> None:
        """The whole table, open or closed."""
        timeout_ms = self._timeout_ms()
        self._nft.run(self._table.replace(timeout_ms))
        self._look_again()
        self._installed = self._read()

    def _refresh_now(self) -> None:
        late_seconds = now() - self._expires_at
        if timeout_ms := self._timeout_ms():
            self._nft.run(self._table.refresh(timeout_ms))
            self._look_again()
            if late_seconds > 0:
                self._log.warning("gate_lapsed", seconds=round(late_seconds, 3))

    def _timeout_ms(self) -> int:
        """Whole milliseconds for which the port may be open from now on."""
        started_at = now()
        seconds = min(SWITCH_SECONDS, self._until - started_at) if self._open else 0.0
        timeout_ms = max(0, int(seconds * 1000))
        self._expires_at = started_at + timeout_ms / 1000
        return timeout_ms

    def _look_again(self) -> None:
        """This machine may have slept between the clock and the kernel."""
        if self._open and now() >= self._until:
            self._nft.run(self._table.shut())

    def _read(self) -> Listing:
        answer = self._nft.run(self._table.listing(), as_json=True)
        try:
            return self._table.parse(answer)
        except (LookupError, TypeError, ValueError) as error:
            raise NftError(f"nft's answer is not understood: {error}") from error


def _filter(config: Config) -> NftablesFilter:
    return NftablesFilter(Table(config.node.id, config.public, config.firewall.allow), Nft())


def make(config: Config, listener: ListenerGate, report: Report) -> FilterGate:
    return FilterGate(listener, _filter(config), report)


def make_closer(config: Config) -> NftablesFilter:
    return _filter(config)


def check(config: Config) -> Iterator[ConfigError]:
    yield from fixed_port(config)
    yield from net_admin(config)
    try:
        load()
    except OSError:
        fix = "libnftables.so.1 is not installed; on Debian: apt-get install nftables"
        yield ConfigError("firewall.driver", config.firewall.driver, fix)
