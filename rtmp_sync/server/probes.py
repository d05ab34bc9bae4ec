"""Does the other origin answer? FMS's admin ping on its health listener.

The answer is parsed, not searched for a word (D16): the code decides. "Rejected" is a third
value, None: the other origin lives, and our credentials are wrong (D17).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

import aiohttp

if TYPE_CHECKING:
    from rtmp_sync.config import Config

__all__ = ["AdminPing", "make_probe", "understand_ping"]

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


def make_probe(config: Config) -> AdminPing | None:
    """The ping of the other origin; None where there is none to ping. Raises ConfigError."""
    peer, user = config.failover.peer_admin, config.admin.user
    if peer is None or user is None:
        return None
    return AdminPing(str(peer), user, config.password(), config.timing().probe_deadline)


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
