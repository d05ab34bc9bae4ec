"""Dials the other origin, again and again: the node that the pair names first does so.

With two secrets (a rotation) it offers the first, and the other one after a refusal; what was
taken is what it offers next time, until that is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Sequence
from typing import Final

from rtmp_sync.server.replication_link import ReplicationLink
from rtmp_sync.server.replication_tls import what_failed
from rtmp_sync.wire.refusals import Reason

__all__ = ["Dialer"]

REDIAL_SECONDS: Final = 0.2
BAD_SECRETS: Final = 3  # in a row and for each secret, before it waits as long as it has to
BAD_SECRET_SECONDS: Final = 2.0


class Dialer:
    """make(secrets): a link that offers the first of them. unreachable(why): nothing answered.
    refused(reason, text, address): the other side's TLS is not good.

    deadline: seconds for a connection, with TLS if that is given.
    """

    def __init__(
        self,
        address: tuple[str, int],
        secrets: Sequence[bytes],
        *,
        tls: ssl.SSLContext | None,
        deadline: float,
        make: Callable[[Sequence[bytes]], ReplicationLink],
        unreachable: Callable[[str], None],
        refused: Callable[[Reason, str, str], None],
    ) -> None:
        self._address = address
        self._secrets = list(secrets)
        self._deadline = deadline
        self._make = make
        self._unreachable = unreachable
        self._refused = refused
        self._tls = tls
        self._bad_secrets = 0  # in a row
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def proved(self) -> None:
        """The peer knows the secret that was offered."""
        self._bad_secrets = 0

    def ended(self, reason: Reason | None) -> None:
        """A link that this dialer made has ended."""
        if reason is Reason.BAD_SECRET:
            self._bad_secrets += 1
            self._secrets.append(self._secrets.pop(0))

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        host, port = self._address
        while True:
            try:
                async with asyncio.timeout(self._deadline):
                    _, link = await loop.create_connection(self._call, host, port, ssl=self._tls)
            except ssl.SSLError as error:
                self._refused(Reason.BAD_TLS, what_failed(error), host)
            except ConnectionError as error:
                if self._tls is not None and not isinstance(error, ConnectionRefusedError):
                    self._refused(Reason.BAD_TLS, what_failed(error), host)
                else:
                    self._unreachable(f"cannot reach {host}:{port}: {error}")
            except (OSError, TimeoutError) as error:
                self._unreachable(f"cannot reach {host}:{port}: {error or 'timeout'}")
            else:
                await link.ended
            waits_long = self._bad_secrets >= BAD_SECRETS * len(self._secrets)
            await asyncio.sleep(BAD_SECRET_SECONDS if waits_long else REDIAL_SECONDS)

    def _call(self) -> ReplicationLink:
        return self._make(self._secrets)
