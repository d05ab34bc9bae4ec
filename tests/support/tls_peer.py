"""A `Peer` over TLS."""

from __future__ import annotations

import asyncio
import ssl

from tests.support.certificates import Authority
from tests.support.peer import Peer


class TlsPeer(Peer):
    """Trusts `authority`, and asks for `host`. `shown`: the certificate that it got."""

    def __init__(self, authority: Authority, host: str = "a.test") -> None:
        super().__init__()
        self._context = ssl.create_default_context(cafile=authority.certificate)
        self._context.check_hostname = False
        self._host = host

    async def open(self, port: int) -> Peer:
        return await self.begin(
            *await asyncio.open_connection(
                "127.0.0.1", port, ssl=self._context, server_hostname=self._host
            )
        )

    @property
    def shown(self) -> str:
        certificate = self.writer.get_extra_info("peercert")
        return str(dict(pair[0] for pair in certificate["subject"])["commonName"])
