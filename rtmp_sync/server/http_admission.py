"""Who may come in over HTTP: the same questions as over RTMP, to the same application.

on_connect   user name and user type are "", the address's query is in `params["app"]`
in           a client of the instance like any other one, until its response has ended
on_play      with the query in `request.query`; access paths and keys before it
registered   the pair knows of it, once it has something to play: a request that comes to nothing
             changes nothing
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from contextlib import suppress
from typing import Any, NamedTuple

from aiohttp import web

from rtmp_sync.app_client import Client, Transport
from rtmp_sync.errors import CallError, Reject
from rtmp_sync.protocol.events import ConnectRequested
from rtmp_sync.protocol.play_range import PlayRange
from rtmp_sync.server.admission import Admitted, Refused, admit
from rtmp_sync.server.authority import Deposed
from rtmp_sync.server.http_player import HttpPlayer
from rtmp_sync.server.http_request import HttpRefused, StreamUrl
from rtmp_sync.server.instance import Instance
from rtmp_sync.server.instances import Instances
from rtmp_sync.server.stream_admission import StreamRefused, admit_player
from rtmp_sync.server.tasks import Tasks
from rtmp_sync.server.traffic import Traffic
from rtmp_sync.storage.recording import Recording
from rtmp_sync.stream_request import StreamRequest
from rtmp_sync.wire.constants import CALL_FAILED, CONNECT_FAILED, PLAY_STREAM_NOT_FOUND

__all__ = ["HttpAdmission", "Viewer"]


_SENT_AWAY = "The application has ended this connection."


class ViewerLink:
    """How the application reaches a browser: it can only send it away (`app.ClientLink`)."""

    def __init__(self, player: HttpPlayer) -> None:
        self._player = player

    def call(self, name: str, arguments: tuple[object, ...]) -> Awaitable[object]:
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        text = f"a client over HTTP has no methods, so no {name}"
        answer.set_exception(CallError(CALL_FAILED, text, None))
        return answer

    def notify(self, name: str, arguments: tuple[object, ...], made: dict[Hashable, bytes]) -> None:
        """It has no methods."""

    def ping(self) -> Awaitable[float]:
        answer: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        answer.set_exception(CallError(CALL_FAILED, "a client over HTTP has no ping", None))
        return answer

    def limit_to_server(self, rate: int | None) -> None:
        """It sends nothing."""

    def limit_to_client(self, rate: int | None) -> None:
        self._player.limit_rate(rate)

    def disconnect(self, description: str, info: object = None) -> None:
        self._player.end()

    def redirect(self, url: str, description: str) -> bool:
        return False

    @property
    def traffic(self) -> Traffic:
        return Traffic(bytes_out=self._player.bytes_out, dropped=self._player.dropped_tags)


class Viewer(NamedTuple):
    """A browser that is in."""

    instance: Instance
    client: Client
    player: HttpPlayer


class HttpAdmission:
    """All of it raises HttpRefused with what to answer."""

    def __init__(self, instances: Instances, tasks: Tasks) -> None:
        self._instances = instances
        self._tasks = tasks

    async def come_in(
        self,
        request: web.BaseRequest,
        url: StreamUrl,
        address: str,
        player: HttpPlayer,
        transport: Transport,
    ) -> Viewer:
        """Ask `on_connect`; `leave` must follow. transport: see `Client.transport`."""
        if self._instances.serving(url.app) is None:
            raise HttpRefused(404, f"There is no application {url.app}.")
        app = f"{url.app}/{url.instance}"
        params: dict[str, object] = {
            "app": f"{app}?{url.query}" if url.query else app,
            "flashVer": _header(request, "User-Agent"),
            "pageUrl": _header(request, "Referer") or _header(request, "Origin"),
            "tcUrl": f"{request.scheme}://{_header(request, 'Host')}{request.rel_url.raw_path_qs}",
        }
        asked = ConnectRequested(0.0, str(params["app"]), params, [], 0)
        link = ViewerLink(player)

        def unwanted(admitted: Admitted) -> None:
            admitted.instance.disconnected(admitted.client, "lost")

        try:
            admission = admit(self._instances, asked, link, address, transport)
            admitted: Admitted = await self._ask(admission, unwanted)
        except Refused as refused:
            info = refused.values[1]
            failed = isinstance(info, dict) and info.get("code") == CONNECT_FAILED
            raise HttpRefused(503 if failed else 403, refused.reason) from None
        if admitted.instance.stopped:  # it was unloaded meanwhile
            raise HttpRefused(503, "The application was shut down.")
        self._instances.enter(admitted.instance, admitted.client)
        viewer = Viewer(admitted.instance, admitted.client, player)
        if player.ended.done():
            self.leave(viewer)
            raise HttpRefused(403, _SENT_AWAY)
        return viewer

    def register(self, viewer: Viewer) -> None:
        """It is about to play. Raises Deposed."""
        if viewer.player.ended.done():
            raise HttpRefused(403, _SENT_AWAY)
        self._instances.register(viewer.instance, viewer.client, None)

    def leave(self, viewer: Viewer) -> None:
        """Its response has ended."""
        instance = viewer.instance
        instance.tally.left(viewer.client.traffic)
        viewer.client.unlink()
        with suppress(Deposed):  # the next origin has this client as an orphan
            self._instances.leave(instance, viewer.client, "closed")

    async def may_play(self, viewer: Viewer, url: StreamUrl) -> Recording | None:
        """Ask `on_play`. The recording to play; None for what is live, now or later."""
        named = f"{url.stream}?{url.query}" if url.query else url.stream
        asked = StreamRequest.parse(named, "play")

        def unwanted(recording: Recording | None) -> None:
            if recording is not None:
                recording.abandon()

        source = PlayRange.of(url.start, -1, 1000).source
        question = admit_player(viewer.instance, viewer.client, asked, source)
        try:
            recording: Recording | None = await self._ask(question, unwanted)
        except StreamRefused as refusal:
            status = 404 if refusal.code == PLAY_STREAM_NOT_FOUND else 503
            raise HttpRefused(status, refusal.description) from None
        except Reject as refusal:
            raise HttpRefused(403, refusal.description) from None
        return recording

    def _ask(
        self, question: Coroutine[Any, Any, Any], unwanted: Callable[[Any], None]
    ) -> asyncio.Future[Any]:
        """Have the application decide. Its hooks run to their end though a browser has gone;
        `unwanted` gets what nobody waits for then."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def decided(result: Any, error: BaseException | None) -> None:
            if answer.done():
                if error is None:
                    unwanted(result)
            elif isinstance(error, asyncio.CancelledError):
                answer.cancel()  # this origin serves no longer
            elif error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(result)

        self._tasks.start(question, decided)
        return answer


def _header(request: web.BaseRequest, name: str) -> str:
    """As text that AMF and JSON can say: what is no UTF-8 in it is lost."""
    return request.headers.get(name, "").encode(errors="surrogateescape").decode(errors="replace")
