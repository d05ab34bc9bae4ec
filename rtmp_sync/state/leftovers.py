"""Leftovers: what a copy held before another took its place, let go bit by bit."""

from __future__ import annotations

from typing import Final

from rtmp_sync.state.calls import Session
from rtmp_sync.state.instance import Instance
from rtmp_sync.state.shared_object import SharedObject

__all__ = ["Leftovers"]

_STEP: Final = 256  # entries


class Leftovers:
    """True while something is left. Dropped as a whole it is freed in one long go."""

    __slots__ = ("_instances", "_objects", "_sessions", "_slots")

    def __init__(self, instances: dict[str, Instance], sessions: dict[str, Session]) -> None:
        """Takes them over: nobody else reads them any more."""
        self._instances = instances
        self._sessions = sessions
        self._objects: dict[str, SharedObject] = {}
        self._slots: dict[str, bytes] = {}

    def __bool__(self) -> bool:
        return bool(self._instances or self._sessions or self._objects or self._slots)

    def let_go(self) -> None:
        """A step: some hundred entries."""
        for _ in range(_STEP):
            if self._slots:
                self._slots.popitem()
            elif self._objects:
                self._slots = self._objects.popitem()[1].slots
            elif self._instances:
                self._objects = self._instances.popitem()[1].objects
            elif self._sessions:
                self._sessions.popitem()
            else:
                return
