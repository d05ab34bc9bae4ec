"""An RTMP server of a few lines around `protocol.Connection`, for tests of the client.

It keeps what a real one would keep over a crash (calls by session and number, shared objects)
and can be told to answer nothing, to cut everyone off, to refuse and to send elsewhere.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from types import TracebackType
from typing import cast

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.protocol import events, replies
from rtmp_sync.protocol.connection import Connection, Role
from rtmp_sync.server.clock import now
from rtmp_sync.wire import constants as c
from rtmp_sync.wire import shared_object as so


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop turn until it is so."""
    while not holds():  # noqa: ASYNC110 - there is no event to wait for, only turns of the loop
        await asyncio.sleep(0)


class Peer(asyncio.Protocol):
    """One client of the server."""

    def __init__(self, server: SmallServer) -> None:
        self.server = server
        self.connection = Connection(Role.SERVER, now=now(), random_bytes=secrets.token_bytes)
        self.session = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one, but not by class
        self.server.peers.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.peers.remove(self)

    def data_received(self, data: bytes) -> None:
        try:
            self.connection.receive_data(data, now())
        except RemoteProtocolError as error:
            self.server.errors.append(str(error))
            self.transport.close()
        self.transport.write(self.connection.data_to_send())
        for event in self.connection.events_received():
            self.server.received.append(event)
            if not self.server.mute:
                self.server.answer(self, event)

    def write(self, data: bytes) -> None:
        self.transport.write(data)


class SmallServer:
    """`async with SmallServer() as server:` serves at server.url until the end."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.received: list[events.Event] = []
        self.errors: list[str] = []
        self.mute = False
        self.refusal: replies.Values | None = None
        self.results: dict[tuple[str, int], object] = {}
        self.runs: list[str] = []  # names of methods that ran, in order
        self.objects: dict[tuple[str, bool], dict[str, bytes]] = {}
        self.versions: dict[tuple[str, bool], int] = {}
        self.users: dict[tuple[str, bool], list[Peer]] = {}
        self.read_only = False
        self.publishers: dict[str, Peer] = {}
        self.players: dict[str, list[tuple[Peer, int]]] = {}

    async def __aenter__(self) -> SmallServer:
        await self.listen(0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cut()
        self.listener.close()
        await self.listener.wait_closed()

    async def listen(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        self.listener = await loop.create_server(lambda: Peer(self), "127.0.0.1", port)
        self.port = self.listener.sockets[0].getsockname()[1]
        self.url = f"rtmp://127.0.0.1:{self.port}/text/room"

    def cut(self) -> None:
        """Reset every connection."""
        for peer in self.peers:
            peer.transport.abort()
        self.users.clear()

    async def arrived(self, kind: type[events.Event]) -> None:
        """Wait until an event of this kind was received."""
        await until(lambda: any(isinstance(event, kind) for event in self.received))

    def answer(self, peer: Peer, event: events.Event) -> None:
        if isinstance(event, events.ConnectRequested):
            peer.session = str(event.params.get("sessionKey", ""))
            if self.refusal is not None:
                peer.write(peer.connection.reject_connect(event, self.refusal))
            else:
                peer.write(peer.connection.accept_connect(event))
        elif isinstance(event, events.CommandReceived):
            self._command(peer, event)
        elif isinstance(event, events.SharedObjectReceived):
            self._shared_object(peer, event.message)
        elif isinstance(event, events.StreamCreateRequested):
            peer.write(
                peer.connection.command("_result", event.transaction, *replies.result(event.msid))
            )
        elif isinstance(event, events.PublishRequested):
            self._publish(peer, event)
        elif isinstance(event, events.PlayRequested):
            self.players.setdefault(event.name, []).append((peer, event.msid))
            peer.write(peer.connection.status(event.msid, "status", c.PLAY_START))
        elif isinstance(event, events.StreamClosed):
            peer.write(peer.connection.status(event.msid, "status", c.UNPUBLISH_SUCCESS))
        elif isinstance(event, events.MediaReceived):
            for players in self.players.values():
                for player, msid in players:
                    player.write(
                        player.connection.message(
                            event.type, event.payload, msid=msid, timestamp=event.timestamp
                        )
                    )

    def _publish(self, peer: Peer, event: events.PublishRequested) -> None:
        if event.name in self.publishers:
            peer.connection.streams.stop(event.msid)
            peer.write(peer.connection.status(event.msid, "error", c.PUBLISH_BAD_NAME, "taken"))
            return
        self.publishers[event.name] = peer
        peer.write(peer.connection.status(event.msid, "status", c.PUBLISH_START))

    def _command(self, peer: Peer, event: events.CommandReceived) -> None:
        numbers, arguments = event.command_object_and_arguments(peer.connection.limits.values)
        key = (peer.session, int(numbers["callNumber"]) if isinstance(numbers, dict) else 0)
        if key[1] and key in self.results:
            result = self.results[key]
        else:
            self.runs.append(event.name)
            if event.name == "fail":
                peer.write(
                    peer.connection.command(
                        "_error", event.transaction, *replies.call_failed(event.name)
                    )
                )
                return
            result = self.results[key] = [event.name, *arguments]
        if event.name != "never":
            peer.write(
                peer.connection.command("_result", event.transaction, *replies.result(result))
            )

    def _shared_object(self, peer: Peer, message: so.SharedObjectMessage) -> None:
        key = (message.name, message.persistent)
        slots = self.objects.setdefault(key, {})
        users = self.users.setdefault(key, [])
        own, others = b"", b""
        for event in message.events:
            if event.type == c.SO_USE:
                users.append(peer)
                own += so.EVENT_USE_SUCCESS + so.EVENT_CLEAR
                own += b"".join(so.event_change(name, raw) for name, raw in slots.items())
            elif event.type == c.SO_RELEASE:
                users.remove(peer)
            elif event.type == c.SO_SEND:
                own += so.event_send(event.value)
                others += so.event_send(event.value)
            elif self.read_only:
                own += so.event_status(c.SO_NO_WRITE_ACCESS, "error")
                if event.key:
                    raw = slots.get(event.key)
                    own += so.event_change(event.key, raw) if raw else so.event_remove(event.key)
            else:
                self.versions[key] = self.versions.get(key, 0) + 1
                if event.type == c.SO_REQUEST_CHANGE:
                    slots[event.key] = event.value
                    own += so.event_success(event.key)
                    others += so.event_change(event.key, event.value)
                elif event.type == c.SO_REQUEST_REMOVE:
                    slots.pop(event.key, None)
                    own += so.event_remove(event.key)
                    others += so.event_remove(event.key)
                elif event.type == c.SO_REQUEST_CLEAR:
                    slots.clear()
                    own += so.EVENT_CLEAR
                    others += so.EVENT_CLEAR
        header = so.header(message.name, self.versions.get(key, 0), message.persistent)
        for user in {*users, peer}:
            body = own if user is peer else others
            if body:
                user.write(user.connection.message(c.SHARED_OBJECT, header + body))
