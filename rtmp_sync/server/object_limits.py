"""How much clients may make of the shared objects of one instance; the application may do more."""

from __future__ import annotations

from typing import NamedTuple

from rtmp_sync.state.shared_object import SharedObject

__all__ = ["ObjectLimits", "slot_bytes"]


class ObjectLimits(NamedTuple):
    """objects: of the instance. slots, object_bytes: of one object, names and values together."""

    objects: int
    slots: int
    object_bytes: int

    def take(self, obj: SharedObject, held_bytes: int, key: str, raw: bytes) -> bool:
        """Whether a slot of an object that holds so many bytes may be set. What makes it no bigger
        always may."""
        old = obj.slots.get(key)
        if old is None:
            more = slot_bytes(key, raw)
            return len(obj.slots) < self.slots and held_bytes + more <= self.object_bytes
        more = len(raw) - len(old)
        return more <= 0 or held_bytes + more <= self.object_bytes


def slot_bytes(key: str, raw: bytes) -> int:
    """What a slot counts."""
    return len(key) + len(raw)
