"""Where the other origin connects: who may come in, before anything is proved.

At most UNPROVEN_MAX connections wait for their proof, each for a fixed time, however slowly it
speaks. When one more comes, one of them all goes: a silent one before one that speaks, one of
a strange address before one of the peer's, an older one before a younger. So a crowd of
strangers never displaces the peer, and a peer that changed its address gets in among them.

An address that failed to show the secret three times in a row is turned away for two seconds.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from rtmp_sync.errors import ConfigError
from rtmp_sync.server.clock import now
from rtmp_sync.server.replication_link import ReplicationLink
from rtmp_sync.wire.refusals import LinkRefused, Reason

__all__ = ["Acceptor", "FailedProofs"]

UNPROVEN_MAX: Final = 8
BAD_SECRETS: Final = 3
BAD_SECRET_SECONDS: Final = 2.0
_ADDRESSES_MAX: Final = 1024  # remembered; the one longest unseen makes room


class FailedProofs:
    """Who failed to show the secret, by address (of IPv6, the /64: a host has all of it)."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()  # count, last

    def failed(self, address: str, now: float) -> None:
        count = self._failures.pop(_network(address), (0, 0.0))[0]
        self._failures[_network(address)] = (count + 1, now)
        if len(self._failures) > _ADDRESSES_MAX:
            self._failures.popitem(last=False)

    def proved(self, address: str) -> None:
        self._failures.pop(_network(address), None)

    def must_wait(self, address: str, now: float) -> bool:
        count, at = self._failures.get(_network(address), (0, 0.0))
        return count >= BAD_SECRETS and now - at < BAD_SECRET_SECONDS


class Acceptor:
    """make: a link for a connection that came, which tells `arrived` when it is there."""

    def __init__(self, make: Callable[[], ReplicationLink], peer_host: str) -> None:
        self.proofs = FailedProofs()
        self._make = make
        self._peer_addresses = {peer_host}
        self._server: asyncio.Server | None = None
        self._unproven: set[ReplicationLink] = set()

    async def start(self, host: str, port: int) -> None:
        """Raises ConfigError."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(self._make, host or None, port)
        except OSError as error:
            raise ConfigError(
                "replication.listen", f"{host}:{port}", f"cannot listen there: {error.strerror}"
            ) from error

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    @property
    def port(self) -> int:
        """Where it listens, also when port 0 was asked for."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def arrived(self, link: ReplicationLink) -> None:
        """There is a connection; it, or another one, may have to go at once."""
        if self.proofs.must_wait(link.address, now()):
            text = f"{BAD_SECRETS} wrong secrets from there: wait {BAD_SECRET_SECONDS:g} s"
            link.cut(LinkRefused(Reason.WAITING, text))
            return
        self._unproven.add(link)
        if len(self._unproven) > UNPROVEN_MAX:
            least = min(self._unproven, key=self._worth)
            self._unproven.discard(least)
            least.cut(LinkRefused(Reason.CROWDED, "too many connections without proof"))

    def proved(self, link: ReplicationLink) -> None:
        """It showed the secret: this is where the peer comes from."""
        self._unproven.discard(link)
        self.proofs.proved(link.address)
        if len(self._peer_addresses) < _ADDRESSES_MAX:
            self._peer_addresses.add(link.address)

    def ended(self, link: ReplicationLink, reason: Reason | None) -> None:
        self._unproven.discard(link)
        if reason is Reason.BAD_SECRET:
            self.proofs.failed(link.address, now())

    def _worth(self, link: ReplicationLink) -> tuple[int, bool, float]:
        """The least goes first."""
        return (link.heard, link.address in self._peer_addresses, link.opened_at)


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:  # a socket without addresses
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False))
