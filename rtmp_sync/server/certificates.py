"""The certificates of one public port, replaced while it is in use.

    ClientHello ─► `context`, the port's own ─► what the files held when they were last good

A connection keeps the certificate that it began with. Files that are wrong, as between the two
writes of a certificate and its key, change nothing and are one line of the log.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from pathlib import Path
from typing import Final

import structlog

from rtmp_sync.config_public_tls import PublicTls
from rtmp_sync.errors import ConfigError
from rtmp_sync.server.certificate_expiry import expiry_of

__all__ = ["Certificates"]

LOOK_SECONDS: Final = 2.0


class Certificates:
    """context: for the port, for as long as it lives. expiries: wall times in seconds at which what
    is shown ends, by the key of the configuration. failures: handshakes that failed there, by
    reason."""

    def __init__(self, tls: PublicTls) -> None:
        """Raises ConfigError."""
        self._tls = tls
        self._seen = self._look()
        self._shown = tls.load()
        self.expiries = _expiries(tls)
        self.failures: Counter[str] = Counter()
        self._looking: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("rtmp_sync.tls").bind(key=tls.key)
        self.context = tls.load().default
        self.context.sni_callback = self._choose

    def start(self) -> None:
        """Look at the files from now on."""
        self._looking = asyncio.get_running_loop().create_task(self._keep_looking())

    def stop(self) -> None:
        if self._looking is not None:
            self._looking.cancel()

    async def refresh(self) -> None:
        """Look at them now."""
        seen = await asyncio.to_thread(self._look)
        if seen == self._seen:
            return
        self._seen = seen  # before they are read: what changes meanwhile is read again
        try:
            self._shown = await asyncio.to_thread(self._tls.load)
            self.expiries = await asyncio.to_thread(_expiries, self._tls)
        except (ConfigError, OSError) as error:  # OSError: one was removed while it was read
            self._log.error("certificate_kept", error=str(error))
        else:
            self._log.info("certificate_replaced")

    def _choose(
        self, connection: ssl.SSLObject, host: str | None, _context: ssl.SSLContext
    ) -> None:
        """Of each handshake, also of those that name no host."""
        connection.context = self._shown.to(host)

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.refresh()

    def _look(self) -> list[tuple[int, int, int] | None]:
        return [_state(path) for path in self._tls.paths]


def _expiries(tls: PublicTls) -> dict[str, float]:
    found = {key: expiry_of(path) for key, path in tls.certificates.items()}
    return {key: expiry for key, expiry in found.items() if expiry is not None}


def _state(path: Path) -> tuple[int, int, int] | None:
    """None: it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
