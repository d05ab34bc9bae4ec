"""The relays that the configuration asks for, of one instance: `[[apps.NAME.relays]]`.

push   every stream of these names, while it is published here
pull   a stream of these names that somebody wants to play and nobody publishes; until some
       seconds after the last player has left
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

import structlog

from rtmp_sync.config_apps import RelaySection
from rtmp_sync.server.live import LiveStreams
from rtmp_sync.server.relay import Remote, path_of
from rtmp_sync.server.relay_pull import RelayPull
from rtmp_sync.server.relay_push import RelayPush

__all__ = ["Relays"]

_MAX_STREAMS: Final = 1000  # pushed and pulled by one instance: names are the clients' choice


class _Pull(NamedTuple):
    relay: RelayPull
    linger: float


class Relays:
    """Looks at each stream that somebody begins or ends to publish or to play: `changed`."""

    def __init__(self, live: LiveStreams, instance: str, sections: Sequence[RelaySection]) -> None:
        self._live = live
        self._sections = [one for one in sections if _matches(instance, one.instances)]
        self._pushes: dict[str, list[RelayPush]] = {}
        self._pulls: dict[str, _Pull] = {}
        self._ends: dict[str, asyncio.TimerHandle] = {}  # of pulls that nobody wants now
        self._changed: set[str] = set()
        self._looking: asyncio.Handle | None = None
        self._log = structlog.get_logger("rtmp_sync.relay")
        if self._sections:
            live.on_change = self._change

    def pulls(self, name: str) -> bool:
        """Whether a stream of that name is pulled when somebody wants it."""
        return self._puller(name) is not None

    def let_go(self) -> None:
        """This origin serves the instance no longer."""
        self._live.on_change = lambda _: None
        if self._looking is not None:
            self._looking.cancel()
        for timer in self._ends.values():
            timer.cancel()
        for name in list(self._pushes):
            self._end_pushes(name)
        for name in list(self._pulls):
            self._end_pull(name)

    def _change(self, name: str) -> None:
        """Look when whoever does this is done with it."""
        self._changed.add(name)
        if self._looking is None:
            self._looking = asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        self._looking = None
        names, self._changed = self._changed, set()
        for name in names:
            self._look_at_pushes(name)
            self._look_at_pull(name)

    def _look_at_pushes(self, name: str) -> None:
        if not self._live.is_published(name):
            self._end_pushes(name)
        elif name not in self._pushes:
            remotes = {
                one.push: Remote(one.push, name, one.ca)
                for one in self._sections
                if one.push and _matches(name, one.streams)
            }
            if remotes and self._room(name):
                self._pushes[name] = [
                    RelayPush(self._live, name, remote, _untold) for remote in remotes.values()
                ]

    def _end_pushes(self, name: str) -> None:
        for push in self._pushes.pop(name, ()):
            push.close()

    def _look_at_pull(self, name: str) -> None:
        pull, published = self._pulls.get(name), self._live.is_published(name)
        if pull is not None and published and not pull.relay.publishes:
            self._end_pull(name)  # somebody else was first
        elif self._live.audience(name):
            if (timer := self._ends.pop(name, None)) is not None:
                timer.cancel()
            if pull is None and not published:
                self._begin_pull(name)
        elif pull is not None and name not in self._ends:
            loop = asyncio.get_running_loop()
            self._ends[name] = loop.call_later(pull.linger, self._end_pull, name)

    def _begin_pull(self, name: str) -> None:
        section = self._puller(name)
        if section is None or section.pull is None or not self._room(name):
            return
        path = path_of(self._live.hop, name, self._live.a_player(name))
        remote = Remote(section.pull, name, section.ca)
        relay = RelayPull(self._live, name, remote, path, _untold)
        self._pulls[name] = _Pull(relay, section.linger)

    def _puller(self, name: str) -> RelaySection | None:
        fitting = (one for one in self._sections if one.pull and _matches(name, one.streams))
        return next(fitting, None)

    def _end_pull(self, name: str) -> None:
        if (timer := self._ends.pop(name, None)) is not None:
            timer.cancel()
        if (pull := self._pulls.pop(name, None)) is not None:
            pull.relay.close()

    def _room(self, name: str) -> bool:
        room = len(self._pushes) + len(self._pulls) < _MAX_STREAMS
        if not room:
            self._log.warning("relay_refused", stream=name, reason=f"{_MAX_STREAMS} are relayed")
        return room


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _untold(code: str, description: str, level: str) -> None:
    """Nobody asked for them but the configuration: the log says it all."""
