"""SharedObject: named slots with a version, and what a returning client needs to catch up.

The value of a slot is AMF bytes with their marker, as they came from the wire. A deleted
slot leaves a tombstone, so that a client which saw version N can be told what changed
since. `floor` is the lowest version for which that is still known: it is where the object
began, where it was last cleared, where the last tombstone was dropped, or where an epoch
started that may have lost something. Below it a client gets `clear` and every slot.

Always holds: floor <= version; every slot and tombstone has a version <= version; a key is
a slot or a tombstone, not both; `versions` has the keys of `slots`; `sum` is the sum of the
marks of all of them. Only `ReplicatedState`'s fold calls the methods that edit.

Values and versions are two plain dicts of bytes and ints: nothing in them that the garbage
collector looks through, and copying one, for a snapshot, takes a few nanoseconds a slot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rtmp_sync.state.digest import MASK, mark, slot_mark, tombstone_mark

__all__ = ["FrozenObject", "SharedObject", "object_mark"]

MAX_TOMBSTONES: Final = 1024  # beyond, telling a client everything is cheaper than remembering


@dataclass(frozen=True, slots=True)
class FrozenObject:
    """What an object held at one instant; `sum` and `header` are what was counted of it."""

    source: SharedObject
    version: int
    floor: int
    sum: int
    header: int
    slots: dict[str, bytes]
    versions: dict[str, int]
    tombstones: dict[str, int]
    recounts: int


class SharedObject:
    __slots__ = (
        "floor",
        "full_name",
        "gone",
        "header",
        "kind",
        "name",
        "recounts",
        "scope",
        "slots",
        "sum",
        "tombstones",
        "version",
        "versions",
    )

    def __init__(self, scope: str, full_name: str, version: int, floor: int) -> None:
        self.scope = scope
        self.full_name = full_name  # with its namespace, e.g. "P:text"
        self.kind = full_name[:1]  # "P" persistent, "T" temporary, "V" application variables
        self.name = full_name[2:]
        self.version = version
        self.floor = floor
        self.slots: dict[str, bytes] = {}
        self.versions: dict[str, int] = {}
        self.tombstones: dict[str, int] = {}
        self.gone = False
        self.sum = 0
        self.recounts = 0  # how often `sum` began anew, or was corrected
        self.header = 0  # its mark as last counted by the state's digest

    @property
    def persistent(self) -> bool:
        return self.kind == "P"

    def since(self, version: int) -> list[tuple[str, bytes | None]] | None:
        """What changed after `version`: (key, value), None for a deleted slot.

        Returns None when that is not known: the client needs `clear` and every slot.
        """
        if not self.floor <= version <= self.version:
            return None
        slots = self.slots
        changed: list[tuple[str, bytes | None]] = [
            (key, slots[key]) for key, at in self.versions.items() if at > version
        ]
        changed += [(key, None) for key, at in self.tombstones.items() if at > version]
        return changed

    def set(self, key: str, value: bytes, version: int) -> None:
        old = self.slots.get(key)
        if old is not None:
            self.sum -= slot_mark(key, old, self.versions[key])
        else:
            self._drop_tombstone(key)
        self.sum = (self.sum + slot_mark(key, value, version)) & MASK
        self.slots[key] = value
        self.versions[key] = version
        if version > self.version:
            self.version = version

    def delete(self, key: str, version: int) -> None:
        old = self.slots.pop(key, None)
        if old is not None:
            self.sum = (self.sum - slot_mark(key, old, self.versions.pop(key))) & MASK
        self.bury(key, version)
        if version > self.version:
            self.version = version

    def bury(self, key: str, version: int) -> None:
        """Leave a tombstone; past the bound the oldest one goes and `floor` rises to it."""
        self._drop_tombstone(key)
        self.tombstones[key] = version
        self.sum = (self.sum + tombstone_mark(key, version)) & MASK
        if len(self.tombstones) > MAX_TOMBSTONES:
            oldest = next(iter(self.tombstones))
            self.floor = max(self.floor, self.tombstones[oldest])
            self._drop_tombstone(oldest)

    def clear(self, version: int) -> None:
        self.slots = {}
        self.versions = {}
        self.tombstones = {}
        self.sum = 0
        self.recounts += 1
        if version > self.version:
            self.version = version
        self.floor = self.version

    def skip(self, step: int) -> None:
        """Jump over versions that clients may have seen and this copy may not."""
        self.version += step
        self.floor = self.version

    def count_header(self) -> int:
        """The mark of the object as a whole, from its running sum."""
        return object_mark(self.full_name, self.version, self.floor, self.sum)

    def freeze(self) -> FrozenObject:
        """Its content as it is now, whatever is edited later."""
        return FrozenObject(
            self,
            self.version,
            self.floor,
            self.sum,
            self.header,
            self.slots.copy(),
            self.versions.copy(),
            self.tombstones.copy(),
            self.recounts,
        )

    def correct(self, frozen: FrozenObject, counted: int) -> None:
        """`counted` is what the entries of `frozen` come to, and not what `sum` said then."""
        if self.recounts == frozen.recounts:  # else `sum` is without the wrong entry since
            self.sum = (self.sum + counted - frozen.sum) & MASK
            self.recounts += 1

    def _drop_tombstone(self, key: str) -> None:
        at = self.tombstones.pop(key, None)
        if at is not None:
            self.sum = (self.sum - tombstone_mark(key, at)) & MASK


def object_mark(full_name: str, version: int, floor: int, total: int) -> int:
    """total: the sum of the marks of its slots and tombstones."""
    return mark("object", full_name, version, floor, total.to_bytes(16))
