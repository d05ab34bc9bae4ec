"""Server-side streams: what an application publishes, records and relays by itself.

The model is FMS's server-side `Stream`. They are of this process: after a takeover, or a restart,
the application begins them again, in `on_promote`. In a call that a standby replays they do
nothing, for the active origin's do it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from typing import Any, Final, Literal, Protocol

from rtmp_sync.errors import LocalProtocolError
from rtmp_sync.server.client_tls import Trust
from rtmp_sync.server.live import LiveStreams
from rtmp_sync.server.relay import Remote, path_of
from rtmp_sync.server.relay_pull import RelayPull
from rtmp_sync.server.relay_push import RelayPush
from rtmp_sync.server.rtmp_url import RtmpUrl
from rtmp_sync.server.server_playlist import Item, Playlist
from rtmp_sync.server.server_recording import ServerRecording
from rtmp_sync.storage.recorder import Take
from rtmp_sync.storage.recording import Recording
from rtmp_sync.storage.segment import metadata_of
from rtmp_sync.wire import amf0

__all__ = ["ServerStream", "ServerStreams", "Studio"]

_MAX_PUSHES: Final = 100  # of one stream: each is a connection

Stop = Callable[[], None]


class Studio(Protocol):
    """What server-side streams need of their instance."""

    live: LiveStreams

    @property
    def active(self) -> bool: ...

    def played_by(self, name: str) -> str | None: ...

    async def recording_of(self, name: str) -> Recording | None:
        """Raises OSError and RemoteProtocolError."""

    async def place_of(self, name: str, kind: str) -> Take:
        """Raises NameRefused."""

    def run(self, coroutine: Coroutine[Any, Any, object], what: str) -> None: ...

    def report(self, what: str, error: Exception) -> None: ...


class ServerStream:
    """One name among the live streams of the instance. Made by `Application.stream`.

    name: that of the stream. on_status: called with {"code", "level", "description"} of whatever
    becomes of it; may be a coroutine function. In a call that a standby replays its methods do
    nothing.

    Source: FMS's server-side class Stream, its NetStream for `publish_to`, and their codes.
    """

    def __init__(self, studio: Studio, name: str, on_closed: Callable[[str], object]) -> None:
        self.name = name
        self.on_status: Callable[[dict[str, str]], object] | None = None
        self._studio = studio
        self._on_closed = on_closed
        self._closed = False
        self._playlist = Playlist(
            studio.live, studio.recording_of, studio.played_by, name, self._status
        )
        self._recording: ServerRecording | None = None
        self._pull: RelayPull | None = None
        self._pushes: set[RelayPush] = set()

    def __repr__(self) -> str:
        return f"<ServerStream {self.name}>"

    @property
    def current_time(self) -> float:
        """How many seconds `play` has played."""
        return self._playlist.current_ms / 1000

    @property
    def source(self) -> str | None:
        """What `play` plays now."""
        return self._playlist.source

    @property
    def at_work(self) -> bool:
        """Whether there is anything that `close` would end."""
        others = self._recording or self._pull or self._pushes
        return self._playlist.at_work or bool(others)

    @property
    def published(self) -> bool:
        """Whether anybody publishes it."""
        return self._studio.live.is_published(self.name)

    @property
    def metadata(self) -> dict[str, Any]:
        """The `onMetaData` of who publishes it, as the encoder named it (`width`, `framerate`, …);
        {} until it has come."""
        channel = self._studio.live.channel(self.name)
        message = channel.stream.metadata if channel is not None else None
        return dict(metadata_of(message.payload)) if message is not None else {}

    async def length(self) -> float:
        """How many seconds its recording has; 0 if there is none. OSError if the disk cannot be
        read, RemoteProtocolError if what is there is no recording."""
        recording = await self._studio.recording_of(self.name)
        if recording is None:
            return 0.0
        recording.abandon()
        return recording.duration_ms / 1000

    def play(self, source: str, start: float = -2, length: float = -1, reset: bool = True) -> None:
        """Publish what another stream of this instance is; one after the other is a playlist.

        start: -2 what is live or else recorded (or live, once somebody publishes it), -1 only what
        is live, from 0 on so many seconds into a recording. length: seconds, -1 for all, 0 for one
        picture. reset: now, instead of what plays; else after it. What cannot be played is told to
        `on_status` and left out.
        """
        if self._active:
            self._playlist.play(Item(source, start, length), reset=reset)

    def stop(self) -> None:
        """Play nothing any more."""
        self._playlist.stop()

    def record(self, how: Literal["record", "append", False] = "record") -> None:
        """Record the stream, whoever publishes it, now and later; "record" writes over what there
        was, "append" goes on behind it; False: no longer. What fails is told to `on_status`."""
        if self._recording is not None:
            self._recording.close()
            self._recording = None
        if how and self._active:
            self._recording = ServerRecording(
                self._studio.live, self._studio.place_of, self.name, how, self._status
            )

    def publish_to(self, url: str, name: str | None = None, *, tls: Trust = None) -> Stop:
        """Publish it at another server too, whenever it is published here; returns how to stop
        that. url: rtmp[s]://host[:port]/application[/instance]. name: there, if not the same.
        tls: as of `NetConnection`, the file as a Path.

        ConnectError for what is no such address, LocalProtocolError above 100 servers. A server
        that is away is dialled again.
        """
        RtmpUrl.parse(url)
        if not self._active:
            return lambda: None
        if len(self._pushes) >= _MAX_PUSHES:
            raise LocalProtocolError(f"{self.name} is pushed to {_MAX_PUSHES} servers already")
        remote = Remote(url, name or self.name, tls)
        push = RelayPush(self._studio.live, self.name, remote, self._status)
        self._pushes.add(push)

        def stop() -> None:
            self._pushes.discard(push)
            push.close()

        return stop

    def pull_from(self, url: str, name: str | None = None, *, tls: Trust = None) -> Stop:
        """Publish what another server's stream is, whenever it is published there, in place of
        what was pulled so far; returns how to stop that. Arguments as of `publish_to`."""
        RtmpUrl.parse(url)
        if self._pull is not None:
            self._pull.close()
            self._pull = None
        if not self._active:
            return lambda: None
        live, remote = self._studio.live, Remote(url, name or self.name, tls)
        path = path_of(live.hop, self.name, None)
        pull = self._pull = RelayPull(live, self.name, remote, path, self._status)

        def stop() -> None:
            if self._pull is pull:
                self._pull = None
            pull.close()

        return stop

    def send(self, handler: str, *arguments: object) -> None:
        """Call `handler` of everybody who plays it: a data message. `"@setDataFrame"` with
        `"onMetaData"` and its values is for those who come later, too."""
        if self._active:
            self._studio.live.say(self.name, amf0.encode(handler, *arguments))

    def close(self) -> None:
        """End all that it does, for good; `Application.stream` makes another one."""
        self._closed = True
        self._on_closed(self.name)
        self.stop()
        self.record(False)
        if self._pull is not None:
            self._pull.close()
            self._pull = None
        for push in self._pushes:
            push.close()
        self._pushes.clear()

    @property
    def _active(self) -> bool:
        return self._studio.active and not self._closed

    def _status(self, code: str, description: str, level: str) -> None:
        if self.on_status is None:
            return
        what = f"{self.name}.on_status"
        try:
            result = self.on_status({"code": code, "level": level, "description": description})
        except Exception as error:  # the application's: the stream goes on
            self._studio.report(what, error)
            return
        if inspect.iscoroutine(result):
            self._studio.run(result, what)


class ServerStreams:
    """Of one instance, by name."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._streams: dict[str, ServerStream] = {}

    def get(self, name: str) -> ServerStream:
        """The one of that name, the same each time."""
        found = self._streams.get(name)
        if found is None:
            found = self._streams[name] = ServerStream(self._studio, name, self._closed)
        return found

    @property
    def at_work(self) -> bool:
        """Whether one of them does anything."""
        return any(stream.at_work for stream in self._streams.values())

    def played_by(self, name: str) -> str | None:
        """What the stream of that name plays, if there is one."""
        found = self._streams.get(name)
        return found.source if found is not None else None

    def _closed(self, name: str) -> None:
        self._streams.pop(name, None)

    def let_go(self) -> None:
        """This origin serves the instance no longer."""
        for stream in list(self._streams.values()):
            stream.close()
