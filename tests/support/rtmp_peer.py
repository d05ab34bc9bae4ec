"""A client and a server Connection joined in memory, with a clock that tests move."""

from __future__ import annotations

from typing import TypeVar

from rtmp_sync.protocol.connection import Connection, Role
from rtmp_sync.protocol.events import ConnectAnswered, ConnectRequested, Event
from rtmp_sync.protocol.limits import ConnectionLimits

E = TypeVar("E")


def counting_bytes(count: int) -> bytes:
    """As unpredictable as a test wants it."""
    return bytes(index * 7 % 256 for index in range(count))


def only(events: list[Event], kind: type[E]) -> E:
    """The one event of this kind among them."""
    (found,) = [event for event in events if isinstance(event, kind)]
    return found


class Joined:
    """Two ends: what one sends the other receives, when `settle` or `to_*` is called."""

    def __init__(
        self,
        *,
        server_limits: ConnectionLimits | None = None,
        client_limits: ConnectionLimits | None = None,
        chunk_size: int = 4096,
        window: int = 2_500_000,
        digest_scheme: int = -1,
    ) -> None:
        self.now = 100.0
        self.server = Connection(
            Role.SERVER,
            now=self.now,
            random_bytes=counting_bytes,
            limits=server_limits,
            chunk_size=chunk_size,
            window=window,
        )
        self.client = Connection(
            Role.CLIENT,
            now=self.now,
            random_bytes=counting_bytes,
            limits=client_limits,
            chunk_size=chunk_size,
            window=window,
            digest_scheme=digest_scheme,
        )
        self.said: list[tuple[bool, bytes]] = []  # (by the client, bytes)
        self.server_events: list[Event] = []
        self.client_events: list[Event] = []

    def settle(self) -> None:
        """Carry what the protocol itself has to say until both ends are silent."""
        while True:
            to_server = self.client.data_to_send()
            to_client = self.server.data_to_send()
            if not to_server and not to_client:
                return
            if to_server:
                self.to_server(to_server)
            if to_client:
                self.to_client(to_client)

    def to_server(self, data: bytes) -> list[Event]:
        """The client sends `data`; what happened at the server by it."""
        self.said.append((True, data))
        self.server.receive_data(data, self.now)
        events = self.server.events_received()
        self.server_events += events
        return events

    def to_client(self, data: bytes) -> list[Event]:
        """The server sends `data`; what happened at the client by it."""
        self.said.append((False, data))
        self.client.receive_data(data, self.now)
        events = self.client.events_received()
        self.client_events += events
        return events

    def connect(self, *arguments: object, object_encoding: int = 0, **params: object) -> None:
        """Shake hands, connect and accept."""
        self.settle()
        command = self.client.connect(
            {"app": "text/room", "objectEncoding": object_encoding, **params}, *arguments
        )
        request = only(self.to_server(command), ConnectRequested)
        self.settle()
        answered = self.to_client(self.server.accept_connect(request))
        assert only(answered, ConnectAnswered).ok
        self.settle()
