"""Streams that are carried to and from other servers: what both directions share.

    RelayPush   a stream of ours  ─► published at another server, as long as it is published here
    RelayPull   a stream of another server ─► published here

A server that is away is dialled again, at growing intervals. Each relay names in its connect, as
`relayPath`, the streams through which what it carries has come: a server of ours refuses to take
what has been there, so that no circle of relays carries anything (`refuse_circles`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit

from rtmp_sync.app import Client
from rtmp_sync.errors import CallError, ConnectError, ConnectionLost, LocalProtocolError, Reject
from rtmp_sync.server.client import NetConnection
from rtmp_sync.server.client_tls import Trust

__all__ = ["FAILURES", "SETUP_SECONDS", "Backoff", "Remote", "dialled", "path_of", "refuse_circles"]

SETUP_SECONDS: Final = 15.0  # connect and the answer to publish or play
_FIRST_SECONDS: Final = 0.5
_LAST_SECONDS: Final = 30.0
_MAX_HOPS: Final = 8  # servers one behind the other; a longer chain is a mistake
_PATH: Final = "relayPath"

# What another server may do to a relay. TimeoutError is an OSError.
FAILURES: Final = (ConnectError, CallError, ConnectionLost, LocalProtocolError, OSError)


class Remote(NamedTuple):
    """A stream of another server. url: rtmp[s]://host[:port]/application[/instance]."""

    url: str
    name: str
    tls: Trust = None

    def __str__(self) -> str:
        """For logs: without queries, in which keys are."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}{parts.path}/{self.name.partition('?')[0]}"


class Backoff:
    """Seconds to wait after a failure: more with each one until something went well."""

    def __init__(self) -> None:
        self._next = _FIRST_SECONDS

    def failed(self) -> float:
        """How long to wait now."""
        seconds, self._next = self._next, min(2 * self._next, _LAST_SECONDS)
        return seconds

    def went_well(self) -> None:
        self._next = _FIRST_SECONDS


@asynccontextmanager
async def dialled(
    remote: Remote, path: str, session_key: bytes | None = None
) -> AsyncIterator[NetConnection]:
    """A connection to its server. path: of what is carried. session_key: under which a server of
    ours ends a connection of before that it has not seen die. Raises FAILURES."""
    connection = NetConnection(reconnect=False, session_key=session_key, tls=remote.tls)
    try:
        await connection.connect(remote.url, relayPath=path)
        yield connection
    finally:
        await connection.close()


def path_of(hop: str, name: str, client: Client | None) -> str:
    """The path of a stream that leaves here. hop: of the instance. client: who publishes it, or
    wants it, perhaps a relay of another server's."""
    before = client.params.get(_PATH) if client is not None else None
    own = f"{hop}/{quote(name, safe='')}"
    return f"{before} {own}" if isinstance(before, str) else own


def refuse_circles(hop: str, name: str, client: Client) -> None:
    """Raises Reject for a relay that brings, or asks for, what it got from here."""
    told = client.params.get(_PATH)
    if not isinstance(told, str):
        return
    hops = told.split()
    if path_of(hop, name, None) in hops:
        raise Reject(f"{name} comes from here: the relays form a circle.")
    if len(hops) > _MAX_HOPS:
        raise Reject(f"{name} has come through more than {_MAX_HOPS} relays.")
