"""The asyncio client: `NetConnection`.

    closed -> connecting -> connected <-> reconnecting -> closed

With `reconnect` a lost connection is dialled again until `close`; calls and shared-object
writes that were not answered go out again by themselves, calls under their numbers, so that
each runs exactly once on a server that knows session keys. A server that is about to stop may
ask for a reconnect: the next connection is made beside the present one, which serves until then.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import secrets
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from rtmp_sync.errors import (
    CallError,
    ConnectError,
    ConnectionLost,
    LocalProtocolError,
    RemoteProtocolError,
)
from rtmp_sync.protocol.events import (
    CallAnswered,
    CommandReceived,
    Event,
    MediaReceived,
    SharedObjectReceived,
    StatusReceived,
    StreamSignalled,
)
from rtmp_sync.server.client_link import ClientLink, dial, redirect_of
from rtmp_sync.server.client_methods import called
from rtmp_sync.server.client_tls import Trust
from rtmp_sync.server.remote_calls import RemoteCall, RemoteCalls
from rtmp_sync.server.remote_object import RemoteSharedObject
from rtmp_sync.server.remote_stream import RemoteStream
from rtmp_sync.server.rtmp_url import RtmpUrl
from rtmp_sync.wire.constants import (
    CAPS_RECONNECT,
    CONNECT_FAILED,
    CONNECT_INVALID_APP,
    CONNECT_RECONNECT_REQUEST,
    CONNECT_REJECTED,
)

__all__ = ["NetConnection"]

_FIRST_REDIAL_SECONDS: Final = 0.05  # a takeover takes longer, a dropped connection does not
_LAST_REDIAL_SECONDS: Final = 0.5
_LAST_MOVE_SECONDS: Final = 5.0  # the present connection still works: no hurry
_MAX_REDIRECTS: Final = 5
_SESSION_KEY_BYTES: Final = 16

# Answers that another attempt would not change.
_FINAL_REFUSALS: Final = frozenset({CONNECT_REJECTED, CONNECT_INVALID_APP})

# The standard library's logger: this is code in other people's programs, quiet unless asked.
_log = logging.getLogger("rtmp_sync.client")


class NetConnection:
    """A connection to an RTMP application, as the Flash class of this name.

    reconnect: dial again when the connection is lost, until `close`.
    session_key: 16 bytes under which calls are numbered, from 1 on, and run exactly once; by
    default random with `reconnect`, and none without it. Never one that another NetConnection
    had: its calls' results would be the answers.
    digest_scheme: 0 or 1 for a handshake with digest, which old servers want for H.264.
    tls: for rtmps: an SSLContext, or a PEM file of the authorities that may have signed the
    server's certificate; by default those that the system trusts.

    state: "closed", "connecting", "connected" or "reconnecting". properties, info: the two objects
    of the server's last answer to `connect`. reconnects: how many there were.
    client: an object whose public methods the server may call. on_status: called with the
    information object of each onStatus of the connection. on_reconnect: called after each
    reconnect. on_closed: called once with the reason, when there will be no next attempt.
    Callables may be coroutine functions.

    Arguments that AMF cannot express are LocalProtocolError, as is a session key of another length.

    Source: the class of this name in ActionScript, client-side and server-side. That it connects
    again and numbers its calls is of this project.
    """

    def __init__(
        self,
        reconnect: bool = True,
        session_key: bytes | None = None,
        *,
        digest_scheme: int = -1,
        tls: ssl.SSLContext | Path | str | None = None,
    ) -> None:
        if session_key is None and reconnect:
            session_key = secrets.token_bytes(_SESSION_KEY_BYTES)
        if session_key is not None and len(session_key) != _SESSION_KEY_BYTES:
            raise LocalProtocolError(f"a session key of {len(session_key)} bytes; it has 16")
        self.reconnect = reconnect
        self.session_key = session_key
        self.state = "closed"
        self.properties: dict[str, object] = {}  # of the server's answer to connect
        self.info: dict[str, object] = {}
        self.reconnects = 0
        self.client: object | None = None
        self.on_status: Callable[[dict[str, object]], object] | None = None
        self.on_reconnect: Callable[[], object] | None = None
        self.on_closed: Callable[[str], object] | None = None
        self._digest_scheme = digest_scheme
        self._tls: Trust = Path(tls) if isinstance(tls, str) else tls
        self._url: RtmpUrl | None = None
        self._params: dict[str, object] = {}
        self._arguments: tuple[object, ...] = ()
        self._link: ClientLink | None = None
        self._calls = RemoteCalls(numbered=session_key is not None)
        self._shared_objects: dict[tuple[str, bool], RemoteSharedObject] = {}
        self._streams: dict[int, RemoteStream] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._redialling: asyncio.Task[None] | None = None

    @property
    def uri(self) -> str:
        """The address that `connect` was given, or that a server's request to reconnect has named
        since; "" before the first `connect`."""
        return self._url.text if self._url is not None else ""

    # --- connect and close

    async def connect(
        self, url: str, *arguments: object, object_encoding: int = 0, **params: object
    ) -> dict[str, object]:
        """Connect to rtmp://host[:port]/application[/instance]; the information object.

        arguments: for the application. params: more properties of the command object.
        object_encoding: 0 or 3, the version of AMF. ConnectError if the server refuses (its `info`
        is the information object), does not answer, or the address is none, and for a NetConnection
        that is not closed; redirects are followed.
        """
        if self.state != "closed":
            raise ConnectError(CONNECT_FAILED, f"this NetConnection is {self.state}")
        self._url = RtmpUrl.parse(url)
        self._arguments = arguments
        self._params = {
            "flashVer": "LNX 32,0,0,465",  # servers tell players from encoders by it
            "fpad": False,
            "capabilities": 239,
            "audioCodecs": 0xFFF,
            "videoCodecs": 0xFF,
            "videoFunction": 1,
            "objectEncoding": object_encoding,
            **params,
        }
        if self.reconnect:
            self._params.setdefault("capsEx", float(CAPS_RECONNECT))
        if self.session_key is not None:
            self._params["sessionKey"] = self.session_key.hex()
        self.state = "connecting"
        try:
            link = await self._dial()
        except BaseException:
            self.state = "closed"
            raise
        self._established(link)
        return self.info

    async def close(self) -> None:
        """Close; whatever waits for an answer gets ConnectionLost."""
        for shared_object in list(self._shared_objects.values()):
            shared_object.release("the connection was closed")  # what is only lost, waits for us
        link, self._link = self._link, None
        redialling, self._redialling = self._redialling, None
        if redialling is not None:
            redialling.cancel()
        self._ended("the connection was closed")
        if link is not None:
            await link.close()
        for task in [*self._tasks]:
            if task is not asyncio.current_task():
                task.cancel()

    async def __aenter__(self) -> NetConnection:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _dial(self) -> ClientLink:
        """A link whose connect was accepted. ConnectError."""
        url = self._url
        assert url is not None  # connect sets it first
        for _ in range(_MAX_REDIRECTS):
            link, answer = await dial(
                url,
                {"app": url.app, "tcUrl": url.text, **self._params},
                self._arguments,
                on_event=self._receive,
                on_lost=self._lost,
                digest_scheme=self._digest_scheme,
                tls=self._tls,
            )
            if answer.ok:
                if not link.alive:
                    raise ConnectError(CONNECT_FAILED, f"{url.text}: the connection ended")
                self.properties, self.info = answer.properties, answer.info
                return link
            link.abort("refused")
            target = redirect_of(answer)
            if target is None:
                raise ConnectError(
                    str(answer.info.get("code", CONNECT_FAILED)),
                    str(answer.info.get("description", "")),
                    answer.info,
                )
            url = url.joined(target)
        raise ConnectError(CONNECT_FAILED, f"more than {_MAX_REDIRECTS} redirects")

    def _established(self, link: ClientLink) -> None:
        self._link = link
        self.state = "connected"
        for shared_object in self._shared_objects.values():
            shared_object.use(link)
        self._calls.send_again(link)

    # --- calls

    async def call(self, name: str, *arguments: object, timeout: float | None = None) -> Any:
        """Call a method of the application; its result. timeout: seconds, None for any time.

        CallError: it was refused or failed. ConnectionLost: the connection ended, and there is
        no reconnect. TimeoutError: no answer in time; whether it ran is unknown.
        """
        if timeout is not None:
            async with asyncio.timeout(timeout):
                return await self.call(name, *arguments)
        self._check()
        return await self._answer(await self._calls.begin(name, arguments))

    async def _answer(self, call: RemoteCall) -> object:
        try:
            self._check()  # it may have waited for its turn
            if self._link is not None:
                self._calls.send(self._link, call)
                await self._link.drain()
            elif not call.number:
                raise ConnectionLost("not connected")
            return await call.answer
        finally:
            self._calls.end(call, self._link)

    async def drain(self) -> None:
        """Wait while more is written than the server takes."""
        if self._link is not None:
            await self._link.drain()

    def _check(self) -> None:
        if self.state == "closed":
            raise ConnectionLost("the connection is closed")

    # --- shared objects and streams

    async def shared_object(self, name: str, persistent: bool = False) -> RemoteSharedObject:
        """Use a shared object; it is in sync when this returns. CallError if it is refused,
        ConnectionLost if the connection is closed."""
        self._check()
        found = self.begin_use(name, persistent)
        try:
            await asyncio.shield(found.used)
        except CallError:
            self._shared_objects.pop((name, persistent), None)
            raise
        return found

    def begin_use(self, name: str, persistent: bool = False) -> RemoteSharedObject:
        """Use a shared object as soon as there is a connection; it may not be in sync yet."""
        found = self._shared_objects.get((name, persistent))
        if found is None:
            found = RemoteSharedObject(name, persistent, self._released)
            self._shared_objects[name, persistent] = found
            if self._link is not None:
                found.use(self._link)
        return found

    def _released(self, released: RemoteSharedObject) -> None:
        self._shared_objects.pop((released.name, released.persistent), None)

    async def create_stream(self) -> RemoteStream:
        """A new message stream, on the present connection only. ConnectionLost if that is closed or
        ends meanwhile."""
        self._check()
        link = self._link
        msid = await self._answer(RemoteCalls.unnumbered("createStream", ()))
        if link is None or link is not self._link or not isinstance(msid, (int, float)):
            raise ConnectionLost("the stream's connection ended")
        stream = self._streams[int(msid)] = RemoteStream(link, int(msid))
        return stream

    # --- what comes in

    def _receive(self, link: ClientLink, event: Event) -> None:
        try:
            self._take(link, event)
        except RemoteProtocolError:
            raise
        except Exception:  # a callback of the application's: the connection goes on
            _log.exception("a callback failed at %s", type(event).__name__)

    def _take(self, link: ClientLink, event: Event) -> None:
        if isinstance(event, CallAnswered):
            self._calls.receive(event)
        elif isinstance(event, SharedObjectReceived):
            message = event.message
            found = self._shared_objects.get((message.name, message.persistent))
            if found is not None:
                found.receive(message)
        elif isinstance(event, MediaReceived):
            stream = self._streams.get(event.msid)
            if stream is not None:
                stream.receive_media(event)
        elif isinstance(event, CommandReceived):
            self._run(called(link, event, self.client))
        elif isinstance(event, StatusReceived):
            self._receive_status(event)
        elif isinstance(event, StreamSignalled):
            stream = self._streams.get(event.msid)
            if stream is not None:
                stream.receive_signal(event)

    def _receive_status(self, event: StatusReceived) -> None:
        stream = self._streams.get(event.msid)
        if stream is not None:
            stream.receive_status(event)
            return
        if self.on_status is not None:
            self._run(self.on_status(event.info))
        if event.info.get("code") == CONNECT_RECONNECT_REQUEST and self.reconnect:
            self._move(event.info.get("tcUrl"))

    def _run(self, result: object) -> None:
        """Let a coroutine that a callback returned run on."""
        if inspect.iscoroutine(result):
            task = asyncio.get_running_loop().create_task(result)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    # --- the end of a link

    def _lost(self, link: ClientLink, reason: str) -> None:
        if link is not self._link:
            return
        self._link = None
        if not self.reconnect:
            self._ended(reason)
            return
        _log.info("connection lost: %s", reason)
        self.state = "reconnecting"
        self._forget_link(reason, for_good=False)
        self._begin_redial(_FIRST_REDIAL_SECONDS, _LAST_REDIAL_SECONDS)

    def _move(self, target: object) -> None:
        """The server asked for a reconnect, perhaps to another address."""
        if isinstance(target, str) and self._url is not None:
            self._url = self._url.joined(target)
        _log.info("the server asked for a reconnect")
        self._begin_redial(0.0, _LAST_MOVE_SECONDS)

    def _begin_redial(self, first: float, last: float) -> None:
        """Dial in `first` seconds and at growing intervals; in place of the attempts so far."""
        if self._redialling is not None:
            self._redialling.cancel()
        self._redialling = asyncio.get_running_loop().create_task(self._redial(first, last))

    def _forget_link(self, reason: str, *, for_good: bool) -> None:
        self._calls.link_lost(reason, for_good=for_good)
        shared_objects = list(self._shared_objects.values())
        if for_good:
            self._shared_objects.clear()  # first: whoever is told may use one again
        for shared_object in shared_objects:
            shared_object.link_lost(reason, for_good=for_good)
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.end(reason)

    async def _redial(self, delay: float, last: float) -> None:
        told = ""
        while True:
            await asyncio.sleep(delay)
            delay = min(max(2 * delay, _FIRST_REDIAL_SECONDS), last)
            try:
                link = await self._dial()
                break
            except ConnectError as error:
                if error.code in _FINAL_REFUSALS:
                    self._redialling = None
                    if self._link is None:
                        self._ended(str(error))
                    return  # else it goes on with the connection that it has
                if str(error) != told:  # once, not at each attempt
                    told = str(error)
                    _log.warning("no reconnect yet: %s", told)
        self._redialling = None
        self.reconnects += 1
        former, self._link = self._link, None
        if former is not None:
            self._forget_link("the server asked for a reconnect", for_good=False)
            former.abort("the server asked for a reconnect")
        self._established(link)
        _log.info("reconnected, %d times in all", self.reconnects)
        if self.on_reconnect is not None:
            self._run(self.on_reconnect())

    def _ended(self, reason: str) -> None:
        if self.state == "closed":
            return
        self.state = "closed"
        self._forget_link(reason, for_good=True)
        if self.on_closed is not None:
            self._run(self.on_closed(reason))
