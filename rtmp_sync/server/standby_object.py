"""A shared object as a replayed call sees it on the standby: it reads, and writes do nothing.

The state of a standby is what the active one says. A replayed method runs for what it does to
the application's own memory, so it must neither fail nor change anything by writing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING

from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.state.shared_object import SharedObject

if TYPE_CHECKING:
    from rtmp_sync.server.fanout import SyncItem

__all__ = ["REPLAYING", "Listeners", "StandbyObject"]

Listeners = dict[tuple[str, str], "Callable[[list[SyncItem]], object] | None"]

REPLAYING: ContextVar[bool] = ContextVar("REPLAYING", default=False)
"""Set in the task of a replayed call, and in what it starts: it stays one though this origin is
promoted while it runs."""


class StandbyObject:
    """What a `Fanout` is on the active one. listeners: where its `on_sync` waits for that."""

    __slots__ = ("_key", "_listeners", "_scope", "_state")

    def __init__(
        self, state: ReplicatedState, scope: str, name: str, kind: str, listeners: Listeners
    ) -> None:
        self._state = state
        self._scope = scope
        self._key = (name, kind)
        self._listeners = listeners

    @property
    def obj(self) -> SharedObject:
        """The object as this copy has it now; an empty one if it has none."""
        name, kind = self._key
        found = self._state.find(self._scope, name, kind)
        return found if found is not None else SharedObject(self._scope, f"{kind}:{name}", 0, 0)

    @property
    def on_sync(self) -> Callable[[list[SyncItem]], object] | None:
        return self._listeners.get(self._key)

    @on_sync.setter
    def on_sync(self, listener: Callable[[list[SyncItem]], object] | None) -> None:
        self._listeners[self._key] = listener

    def next_version(self) -> int:
        """Of a write that does nothing."""
        return 0

    def set(self, writer: None, key: str, raw: bytes, flags: int | None, version: int) -> None:
        """Nothing."""

    def delete(self, asked: None, key: str, version: int) -> None:
        """Nothing."""

    def clear(self, version: int) -> None:
        """Nothing."""

    def send(self, raw: bytes, flags: int | None) -> None:
        """Nothing."""
