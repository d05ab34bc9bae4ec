"""A shared object as a replayed call sees it on the standby: it reads, and writes do nothing.

The state of a standby is what the active one says. A replayed method runs for what it does to
the application's own memory, so it must neither fail nor change anything by writing.
"""

from __future__ import annotations

from contextvars import ContextVar

from rtmp_sync.server.object_settings import ObjectSettings
from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.state.shared_object import SharedObject

__all__ = ["REPLAYING", "Settings", "StandbyObject"]

Settings = dict[tuple[str, str], ObjectSettings]
"""By name and kind of the object."""

REPLAYING: ContextVar[bool] = ContextVar("REPLAYING", default=False)
"""Set in the task of a replayed call, and in what it starts: it stays one though this origin is
promoted while it runs."""


class StandbyObject:
    """What a `Fanout` is on the active one. settings: where those of all objects wait for that."""

    __slots__ = ("_key", "_scope", "_settings", "_state")

    def __init__(
        self, state: ReplicatedState, scope: str, name: str, kind: str, settings: Settings
    ) -> None:
        self._state = state
        self._scope = scope
        self._key = (name, kind)
        self._settings = settings

    @property
    def obj(self) -> SharedObject:
        """The object as this copy has it now; an empty one if it has none."""
        name, kind = self._key
        found = self._state.find(self._scope, name, kind)
        return found if found is not None else SharedObject(self._scope, f"{kind}:{name}", 0, 0)

    @property
    def settings(self) -> ObjectSettings:
        """What the application asks of the object, for when this origin has taken over."""
        return self._settings.setdefault(self._key, ObjectSettings())

    def next_version(self) -> int:
        """Of a write that does nothing."""
        return 0

    def set(self, writer: None, key: str, raw: bytes, flags: int | None, version: int) -> None:
        """Nothing."""

    def delete(self, asked: None, key: str, version: int) -> None:
        """Nothing."""

    def clear(self, asked: None, version: int) -> None:
        """Nothing."""

    def send(self, raw: bytes, flags: int | None) -> None:
        """Nothing."""

    def lock(self) -> None:
        """Nothing."""

    def unlock(self) -> None:
        """Nothing."""

    async def flush(self) -> None:
        """Nothing: what is replayed is committed."""
