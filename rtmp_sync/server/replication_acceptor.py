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
import socket
import ssl
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol

from rtmp_sync.errors import ConfigError
from rtmp_sync.server.clock import now
from rtmp_sync.server.replication_link import ReplicationLink
from rtmp_sync.server.replication_tls import what_failed
from rtmp_sync.wire.refusals import LinkRefused, Reason

__all__ = ["Acceptor", "FailedProofs"]

UNPROVEN_MAX: Final = 8
BAD_SECRETS: Final = 3
BAD_SECRET_SECONDS: Final = 2.0
_ADDRESSES_MAX: Final = 1024  # remembered; the one longest unseen makes room
_BACKLOG: Final = 100
_NO_DESCRIPTOR_SECONDS: Final = 0.5  # then it tries again to accept


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


class _Unproven(Protocol):
    """A connection that has not shown the secret."""

    @property
    def heard(self) -> int: ...
    @property
    def address(self) -> str: ...
    @property
    def opened_at(self) -> float: ...
    def cut(self, error: LinkRefused) -> None: ...


class _Arrival:
    """A socket that was accepted: the TLS handshake, if there is to be one, goes on."""

    heard = 0

    def __init__(self, endpoint: socket.socket, address: str) -> None:
        self.endpoint = endpoint
        self.address = address
        self.opened_at = now()
        self.refusal: LinkRefused | None = None
        self.task: asyncio.Task[None] | None = None
        self.link: ReplicationLink | None = None  # becomes of it

    def cut(self, error: LinkRefused) -> None:
        self.refusal = error
        if self.task is not None:
            self.task.cancel()


class Acceptor:
    """make: a link for a connection that is there. refused(reason, text, address): one that
    never became a link. tls: None for a link that is not encrypted. deadline: seconds.
    """

    def __init__(
        self,
        make: Callable[[], ReplicationLink],
        *,
        peer_host: str,
        tls: ssl.SSLContext | None,
        deadline: float,
        refused: Callable[[Reason, str, str], None],
    ) -> None:
        self.proofs = FailedProofs()
        self._make = make
        self._tls = tls
        self._deadline = deadline
        self._refused = refused
        self._peer_addresses = {peer_host}
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._arrivals: set[_Arrival] = set()
        self._unproven: set[_Unproven] = set()

    async def start(self, host: str, port: int) -> None:
        """Raises ConfigError."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        except OSError as error:
            raise ConfigError(
                "replication.listen", f"{host}:{port}", f"cannot listen there: {error.strerror}"
            ) from error
        self._listener.setblocking(False)
        accept = self._accept(self._listener)
        self._accepting = asyncio.get_running_loop().create_task(accept)

    async def stop(self) -> None:
        if self._listener is None or self._accepting is None:
            return
        tasks = [arrival.task for arrival in self._arrivals if arrival.task is not None]
        for task in (self._accepting, *tasks):
            task.cancel()
        await asyncio.wait([self._accepting, *tasks])
        self._listener.close()

    @property
    def port(self) -> int:
        """Where it listens, also when port 0 was asked for."""
        assert self._listener is not None
        port: int = self._listener.getsockname()[1]
        return port

    def arrived(self, link: ReplicationLink) -> None:
        """There is a connection that RTMP may be spoken on: it stands for its arrival now."""
        self._unproven -= {arrival for arrival in self._arrivals if arrival.link is link}
        self._admit(link)

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

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                endpoint, name = await loop.sock_accept(listener)
            except OSError:  # no file descriptor is left
                await asyncio.sleep(_NO_DESCRIPTOR_SECONDS)
                continue
            arrival = _Arrival(endpoint, str(name[0]))
            if self.proofs.must_wait(arrival.address, now()):
                text = f"{BAD_SECRETS} wrong secrets from there: wait {BAD_SECRET_SECONDS:g} s"
                arrival.cut(LinkRefused(Reason.WAITING, text))
            else:
                self._admit(arrival)
            if arrival.refusal is not None:
                endpoint.close()
                self._refused(arrival.refusal.reason, str(arrival.refusal), arrival.address)
                continue
            arrival.task = loop.create_task(self._welcome(arrival))
            self._arrivals.add(arrival)
            await asyncio.sleep(0)  # let it begin: a crowd does not stop the loop

    async def _welcome(self, arrival: _Arrival) -> None:
        """Make a link of it."""
        loop = asyncio.get_running_loop()
        endpoint = arrival.endpoint

        def make() -> ReplicationLink:
            arrival.link = self._make()
            return arrival.link

        try:
            async with asyncio.timeout(self._deadline):
                await loop.connect_accepted_socket(make, endpoint, ssl=self._tls)
        except TimeoutError:
            text = f"no TLS handshake within {self._deadline:g} s"
            self._refused(Reason.NOT_PROVEN, text, arrival.address)
        except OSError as error:  # ssl.SSLError is one
            self._refused(Reason.BAD_TLS, what_failed(error), arrival.address)
        except asyncio.CancelledError:
            if arrival.refusal is None:
                raise  # this acceptor stops
            self._refused(arrival.refusal.reason, str(arrival.refusal), arrival.address)
        finally:
            self._arrivals.discard(arrival)
            self._unproven.discard(arrival)

    def _admit(self, one: _Unproven) -> None:
        """Let it in, if need be at the cost of the one that is least likely the peer."""
        self._unproven.add(one)
        if len(self._unproven) > UNPROVEN_MAX:
            least = min(self._unproven, key=self._worth)
            self._unproven.discard(least)
            least.cut(LinkRefused(Reason.CROWDED, "too many connections without proof"))

    def _worth(self, one: _Unproven) -> tuple[int, bool, float]:
        """The least goes first."""
        return (one.heard, one.address in self._peer_addresses, one.opened_at)


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:  # a socket without addresses
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False))
