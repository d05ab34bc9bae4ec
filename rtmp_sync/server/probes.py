"""Does the other origin answer? FMS's admin ping on its health listener, and its RTMP port.

The ping's answer is parsed, not searched for a word (D16): the code decides. "Rejected" is a third
value, None: the other origin lives, and our credentials are wrong (D17).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

import aiohttp

from rtmp_sync.server.rtmp_probe import RtmpProbe

if TYPE_CHECKING:
    from rtmp_sync.config import Config

__all__ = ["AdminPing", "PeerProbes", "understand_ping"]

MAX_ANSWER_BYTES = 65_536

SUCCESS = "NetConnection.Call.Success"


def understand_ping(status: int, body: bytes) -> bool | None:
    """True: it is well; None: it rejected us; False: anything else."""
    try:
        code = ElementTree.fromstring(body).findtext("code") or ""
    except (ElementTree.ParseError, LookupError, ValueError):  # also encodings it cannot read
        return False
    if "rejected" in code.casefold():
        return None
    return status == 200 and code.strip() == SUCCESS


class PeerProbes:
    """Every way to ask the other origin that the configuration has. Raises ConfigError."""

    def __init__(self, config: Config) -> None:
        failover, user = config.failover, config.admin.user
        deadline = config.timing().probe_deadline
        self.admin: AdminPing | None = None
        self.rtmp: RtmpProbe | None = None
        if failover.peer_admin is not None and user is not None:
            address = str(failover.peer_admin)
            self.admin = AdminPing(address, user, config.password(), deadline)
        if (peer := failover.peer_rtmp) is not None:
            self.rtmp = RtmpProbe(lambda: peer, deadline)

    async def close(self) -> None:
        if self.admin is not None:
            await self.admin.close()


class AdminPing:
    """GET /admin/ping of `address` (host:port), each within `deadline_seconds`."""

    def __init__(self, address: str, user: str, password: str, deadline_seconds: float) -> None:
        self._url = f"http://{address}/admin/ping"
        self._query = {"auser": user, "apswd": password}
        self._timeout = aiohttp.ClientTimeout(total=deadline_seconds)
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self) -> bool | None:
        """As `understand_ping`; never raises."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        try:
            async with self._session.get(self._url, params=self._query) as answer:
                body = await answer.content.read(MAX_ANSWER_BYTES)
                return understand_ping(answer.status, body)
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
