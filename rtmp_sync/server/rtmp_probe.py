"""Does an RTMP port answer? C0 and C1 out, S0, S1 and S2 in, on a fresh connection.

A connect alone says nothing: the kernel completes TCP handshakes for a frozen process, and for
one that has no file descriptor left to accept with.

    C0 version 3 | C1 time, zero, 1,528 random bytes  ->
    <-  S0 version 3 | S1 | S2

Nothing more is said. The connection ends with a reset, so that neither end keeps it in
TIME_WAIT: a probe twice a second would hold 120 of them.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import socket
import struct
from collections.abc import Callable

from rtmp_sync.config_values import Address

__all__ = ["Host", "OwnProbes", "RtmpProbe"]

VERSION = 3
HANDSHAKE_BYTES = 1536
ANSWER_BYTES = 1 + 2 * HANDSHAKE_BYTES

LINGER_ZERO = struct.pack("ii", 1, 0)

Host = tuple[str, int]


class OwnProbes:
    """The near ends of this origin's probes of itself, so that its sessions know them: they are
    no clients, and whoever else has such an address is not on this machine."""

    def __init__(self) -> None:
        self._ends: set[Host] = set()

    def __contains__(self, end: object) -> bool:
        """end: `peername` of a transport; the rest of an IPv6 one does not matter."""
        return isinstance(end, tuple) and end[:2] in self._ends

    def began(self, end: Host) -> None:
        self._ends.add(end)

    def ended(self, end: Host) -> None:
        self._ends.discard(end)


class RtmpProbe:
    """Asks the port that `address` tells, each time anew, within `deadline_seconds`.

    own: for a port of this very process; see `OwnProbes`. preamble: what is said before C0 by
    who comes from the address that this host has for that port.
    """

    def __init__(
        self,
        address: Callable[[], Address],
        deadline_seconds: float,
        *,
        own: OwnProbes | None = None,
        preamble: Callable[[str], bytes] = lambda _host: b"",
    ) -> None:
        self._address = address
        self._deadline_seconds = deadline_seconds
        self._own = own
        self._preamble = preamble

    async def __call__(self) -> bool:
        """Never raises: a socket that cannot be had (no file descriptors left) is a failure,
        as it is for clients."""
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return await self._ask(self._address())
        except (OSError, TimeoutError, UnicodeError):  # UnicodeError: no host has such a name
            return False

    async def _ask(self, address: Address) -> bool:
        family, where = await _resolve(address)
        with socket.socket(family, socket.SOCK_STREAM) as connection:
            connection.setblocking(False)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
            if self._own is None:
                return await self._shake_hands(connection, where)
            connection.bind((where[0], 0))  # it has its address before the other end sees it
            end: Host = connection.getsockname()[:2]
            self._own.began(end)
            try:
                return await self._shake_hands(connection, where)
            finally:
                self._own.ended(end)

    async def _shake_hands(self, connection: socket.socket, where: Host) -> bool:
        loop = asyncio.get_running_loop()
        await loop.sock_connect(connection, where)
        c1 = bytes(8) + secrets.token_bytes(HANDSHAKE_BYTES - 8)
        preamble = self._preamble(str(connection.getsockname()[0]))
        await loop.sock_sendall(connection, preamble + bytes([VERSION]) + c1)
        version, missing = b"", ANSWER_BYTES
        while missing:
            data = await loop.sock_recv(connection, missing)
            if not data:
                return False
            version = version or data[:1]
            missing -= len(data)
        return version == bytes([VERSION])


async def _resolve(address: Address) -> tuple[socket.AddressFamily, Host]:
    """Numbers need no resolver, and so no thread that may hang in one."""
    try:
        version = ipaddress.ip_address(address.host).version
    except ValueError:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        family, *_, where = found[0]
        return family, (str(where[0]), int(where[1]))
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    return family, (address.host, address.port)
