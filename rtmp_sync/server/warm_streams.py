"""Warm standby: what the active's live streams show now, at the other origin too.

    active      a stream is published ─► a tap sends it over the link, from its last key frame on
    standby     keeps of each what a late joiner needs
    takeover    who plays a stream before its publisher is back gets that at once

What the link has no room for is left out, and the stream begins anew there at its next key frame:
Changes and heartbeats never wait for media.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from rtmp_sync.server.clock import now
from rtmp_sync.server.live import LiveStreams
from rtmp_sync.state.live_stream import LiveMessage, LiveStream
from rtmp_sync.wire import media
from rtmp_sync.wire.constants import DATA
from rtmp_sync.wire.messages import data_name
from rtmp_sync.wire.records import MAX_MESSAGE_BYTES, Media

__all__ = ["WarmStreams"]

_MAX_STREAMS: Final = 100  # more are not kept: 200 MB at most
_CACHE_BYTES: Final = 2 * 1024 * 1024  # of one
_PAYLOAD_BYTES: Final = MAX_MESSAGE_BYTES - 4096  # the rest of a message's record fits into that
_OLD_SECONDS: Final = 10.0  # nothing came for so long: it is not what the stream shows now
_FORGET: Final = 0  # in place of a message's type


class _Kept(NamedTuple):
    stream: LiveStream
    heard_at: float


class WarmStreams:
    """send: gives the other origin a message; False when it cannot take it."""

    def __init__(self, *, enabled: bool, gop_cache_bytes: int) -> None:
        self.send: Callable[[Media], bool] = lambda _: False
        self._enabled = enabled
        self._cache_bytes = min(gop_cache_bytes, _CACHE_BYTES)
        self._relays: dict[tuple[str, str], _Relay] = {}
        self._kept: dict[tuple[str, str], _Kept] = {}

    # On the active

    def begin(self, scope: str, live: LiveStreams, name: str) -> None:
        """A stream of an instance is published."""
        if self._enabled:
            relay = self._relays[scope, name] = _Relay(scope, name, live, self._say)
            relay.start()

    def end(self, scope: str, name: str) -> None:
        """It is not any more."""
        relay = self._relays.pop((scope, name), None)
        if relay is not None:
            relay.stop()

    def tell_all(self) -> None:
        """The other origin has come, and knows nothing."""
        for relay in self._relays.values():
            relay.begin_anew()

    def _say(self, record: Media) -> bool:
        return self.send(record)

    # On the standby

    def receive(self, record: Media) -> None:
        """What the active says."""
        key = (record.scope, record.stream)
        if record.type == _FORGET:
            self._kept.pop(key, None)
            return
        known = self._kept.pop(key, None)  # whose turn is longest ago is the first one
        if known is None:
            if not self._enabled or not self._has_room():
                return
            known = _Kept(LiveStream(record.stream, gop_cache_bytes=self._cache_bytes), 0.0)
        stream, payload = known.stream, record.payload
        self._kept[key] = _Kept(stream, now())
        if record.type == DATA and data_name(payload) == "onMetaData":
            stream.set_metadata(record.timestamp, payload)
        else:
            flags = media.classify(record.type, payload) if record.type != DATA else 0
            stream.publish(record.type, flags, record.timestamp, payload)

    def _has_room(self) -> bool:
        """For one more. Those that ended while the link was down are never taken back."""
        if len(self._kept) < _MAX_STREAMS:
            return True
        key, oldest = next(iter(self._kept.items()))
        if oldest.heard_at >= now() - _OLD_SECONDS:
            return False
        del self._kept[key]
        return True

    def take(self, scope: str) -> list[LiveStream]:
        """This origin has taken over: what the streams of an instance showed last."""
        keys = [key for key in self._kept if key[0] == scope]
        found = [self._kept.pop(key) for key in keys]
        oldest = now() - _OLD_SECONDS
        return [one.stream for one in found if one.heard_at >= oldest]


class _Relay:
    """A tap that sends what it hears to the other origin."""

    def __init__(
        self, scope: str, name: str, live: LiveStreams, say: Callable[[Media], bool]
    ) -> None:
        self._scope = scope
        self._name = name
        self._live = live
        self._say = say
        self._behind = False  # until the next key frame

    def start(self) -> None:
        self._live.tap(self._name, self, passes_on=True)

    def stop(self) -> None:
        self._live.untap(self._name, self)
        self._forget()

    def begin_anew(self) -> None:
        """From what a late joiner needs on."""
        self._forget()
        channel = self._live.channel(self._name)
        for message in channel.stream.join() if channel is not None else ():
            self._send(message)

    def begin(self) -> None:
        self._forget()

    def hear(self, message: LiveMessage) -> None:
        if not self._behind:
            self._send(message)
        elif message.flags & media.KEY_FRAME:
            self.begin_anew()  # with this one

    def end(self) -> None:
        self._forget()

    def _send(self, message: LiveMessage) -> None:
        type, _, timestamp, payload = message
        if not self._behind:
            said = Media(self._scope, self._name, type, timestamp, payload)
            self._behind = len(payload) > _PAYLOAD_BYTES or not self._say(said)

    def _forget(self) -> None:
        self._behind = not self._say(Media(self._scope, self._name, _FORGET, 0, b""))
