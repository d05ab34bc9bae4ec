"""What is said to a client over RTMP: by its application, and when it has to go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Hashable
from typing import TYPE_CHECKING, Any, Final

from rtmp_sync.errors import ConnectionLost
from rtmp_sync.protocol import replies
from rtmp_sync.server.admission import knows_reconnect
from rtmp_sync.server.clock import now
from rtmp_sync.server.joining import LEAVING
from rtmp_sync.server.traffic import Traffic
from rtmp_sync.wire.constants import CONNECT_CLOSED, CONNECT_IDLE_TIMEOUT, LEVEL_STATUS

if TYPE_CHECKING:
    from rtmp_sync.server.session import Session

__all__ = ["RtmpLink"]

# Of a client with a limit a second's worth may be on its way: it keeps the rest, where it can leave
# something out. Less than some messages would make one that keeps to it stand still.
_LEAST_WINDOW: Final = 64 * 1024


class RtmpLink:
    """`app.ClientLink` of a session."""

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def traffic(self) -> Traffic:
        """What its connection has moved so far."""
        return self._session.traffic

    def call(self, name: str, arguments: tuple[object, ...]) -> Awaitable[object]:
        """Call a method of the client."""
        if self._session.closing:
            return self._never()
        data, answer = self._session.calls.begin(name, arguments)
        self._session.turn.reply(self._session.outbox, 0, data)
        return answer

    def notify(self, name: str, arguments: tuple[object, ...], made: dict[Hashable, bytes]) -> None:
        """Call a method of the client without wanting an answer. made: the same call as others
        get it, by form."""
        session = self._session
        form = (session.connection.object_encoding, session.connection.chunk_size)
        data = made.get(form)
        if data is None:
            data = made[form] = session.connection.command(name, 0, None, *arguments)
        session.turn.reply(session.outbox, 0, data)

    def ping(self) -> Awaitable[float]:
        """Have the client answer at once; the round trip in seconds."""
        if self._session.closing:
            return self._never()
        answer = self._session.calls.ping(now())
        self._session.transmit()
        return answer

    def limit_to_server(self, rate: int | None) -> None:
        """No more bytes a second are read of it from now on, and it is told; None: any number."""
        session = self._session
        if session.closing:
            return
        session.inflow.limit(rate, session.connection.bytes_in)
        window = session.sessions.window
        if rate is not None:
            window = min(window, max(rate, _LEAST_WINDOW))
        session.connection.limit_peer(window)
        session.transmit()

    def limit_to_client(self, rate: int | None) -> None:
        """No more bytes a second are sent to it from now on; None: any number."""
        session = self._session
        if not session.closing:
            session.outbox.limit_rate(rate, session.sessions.loop, session.turn.schedule)

    def disconnect(self, description: str, info: object = None) -> None:
        """Tell the client that it has to go, then close."""
        more = {} if info is None else {"application": info}
        reason = "closed by the application"
        if description:
            reason += f": {description}"
        self._part(replies.status(LEVEL_STATUS, CONNECT_CLOSED, description, **more), reason)

    def leave_idle(self, seconds: float) -> None:
        """The same to a client of which there was nothing for so long."""
        text = f"Nothing came or went for {seconds:g} s."
        self._part(replies.status(LEVEL_STATUS, CONNECT_IDLE_TIMEOUT, text), "idle")

    def redirect(self, url: str, description: str) -> bool:
        """Ask the client to go to another address, if it knows what that means."""
        if not knows_reconnect(self._session.client.params):
            return False
        values = replies.reconnect_request(url, description)
        self._status(values)
        return True

    def shut_down(self, description: str) -> None:
        """Tell the client that its application ends, then close."""
        self._part(replies.connect_app_shutdown(description), description)

    def ask_to_leave(self) -> None:
        """This origin is about to serve no longer: say so in the way that the client understands.

        No address is told: the load balancer's leads to whoever serves.
        """
        if knows_reconnect(self._session.client.params):
            values = replies.reconnect_request(description=LEAVING)
        else:
            values = replies.connect_app_shutdown(LEAVING)
        # It says nothing of the state, so it waits for nobody's acknowledgement.
        self._session.outbox.put_at_once(self._session.connection.command("onStatus", 0, *values))
        self._session.turn.schedule()

    def _never(self) -> asyncio.Future[Any]:
        """The answer of a client that is gone."""
        gone: asyncio.Future[Any] = self._session.sessions.loop.create_future()
        gone.set_exception(ConnectionLost(self._session.ended or "closed"))
        return gone

    def _part(self, values: replies.Values, reason: str) -> None:
        self._status(values)
        self._session.close_when_sent(reason)

    def _status(self, values: replies.Values) -> None:
        session = self._session
        session.turn.reply(session.outbox, 0, session.connection.command("onStatus", 0, *values))
