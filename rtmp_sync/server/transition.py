"""Going over from one stream to another while it plays, as `play2` asks for.

    at once        onStatus with Play.Transition, whose `details` is the name of the new stream
    at its place   onPlayStatus with Play.TransitionComplete, then what a decoder needs, then the
                   key frame

Until then the old stream goes on. Names of the properties as Flash Media Server, Red5 and
crtmpserver send them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rtmp_sync.server.peer_stream import PeerStream
from rtmp_sync.state.live_stream import LiveMessage, step_ms
from rtmp_sync.wire import amf0, media
from rtmp_sync.wire.constants import LEVEL_STATUS, PLAY_TRANSITION, TRANSITION_SUCCESS

__all__ = ["Transition", "announce", "completed", "play_status"]

_SOUND_ONLY_MS: Final = 1000  # of sound without any picture


def announce(to: PeerStream, name: str) -> None:
    """The player will go over to a stream."""
    text = f"Transitioning to {name}."
    to.status(PLAY_TRANSITION, text, details=name, reason=TRANSITION_SUCCESS)


def completed(name: str) -> dict[str, object]:
    """What onPlayStatus says besides when the player has gone over."""
    return {"details": name, "description": f"Transitioned to {name}."}


def play_status(code: str, **more: object) -> bytes:
    """onPlayStatus comes as data."""
    return amf0.encode("onPlayStatus", {"level": LEVEL_STATUS, "code": code, **more})


class Transition:
    """Hears the stream to go over to (`channel.Tap`). go_over: called once, with the key frame
    about to go to the players. A stream without pictures has no key frames: any sound will do."""

    def __init__(self, go_over: Callable[[], None]) -> None:
        self.is_past = True  # what is heard now was sent before
        self._go_over = go_over
        self._has_pictures = False
        self._sound_from: int | None = None

    def begin(self) -> None:
        """It is published, now or again."""
        self._has_pictures = False
        self._sound_from = None

    def hear(self, message: LiveMessage) -> None:
        """One message."""
        self._has_pictures = self._has_pictures or bool(message.flags & media.VIDEO)
        if not self.is_past and (message.flags & media.KEY_FRAME or self._is_sound_only(message)):
            self._go_over()

    def end(self) -> None:
        """It may be published again."""

    def _is_sound_only(self, message: LiveMessage) -> bool:
        if self._has_pictures or message.flags != media.AUDIO:
            return False
        if self._sound_from is None:
            self._sound_from = message.timestamp
        # a clock that was set back counts, too
        return abs(step_ms(self._sound_from, message.timestamp)) >= _SOUND_ONLY_MS
