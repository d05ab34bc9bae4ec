"""SharedObject: named slots with a version, and what a returning client needs to catch up.

The value of a slot is AMF bytes with their marker, as they came from the wire. A deleted
slot leaves a tombstone, so that a client which saw version N can be told what changed
since. `floor` is the lowest version for which that is still known: it is where the object
began, where it was last cleared, where the last tombstone was dropped, or where an epoch
started that may have lost something. Below it a client gets `clear` and every slot.

Always holds: floor <= version; every slot and tombstone has a version <= version; a key is
a slot or a tombstone, not both; `sum` is the sum of the marks of all of them.
Only `ReplicatedState`'s fold calls the methods that edit.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from rtmp_sync.state.digest import MASK, mark, slot_mark, tombstone_mark

__all__ = ["SharedObject", "Slot"]

MAX_TOMBSTONES: Final = 1024  # beyond, telling a client everything is cheaper than remembering


class Slot(NamedTuple):
    """One value. `mark` is its part of the digest."""

    value: bytes
    version: int
    mark: int


class SharedObject:
    __slots__ = (
        "floor",
        "full_name",
        "gone",
        "header",
        "kind",
        "name",
        "scope",
        "slots",
        "sum",
        "tombstones",
        "version",
    )

    def __init__(self, scope: str, full_name: str, version: int, floor: int) -> None:
        self.scope = scope
        self.full_name = full_name  # with its namespace, e.g. "P:text"
        self.kind = full_name[:1]  # "P" persistent, "T" temporary, "V" application variables
        self.name = full_name[2:]
        self.version = version
        self.floor = floor
        self.slots: dict[str, Slot] = {}
        self.tombstones: dict[str, int] = {}
        self.gone = False
        self.sum = 0
        self.header = 0  # its mark as last counted by the state's digest

    @property
    def persistent(self) -> bool:
        return self.kind == "P"

    def since(self, version: int) -> list[tuple[str, Slot | None]] | None:
        """What changed after `version`: (key, slot), None for a deleted one.

        Returns None when that is not known: the client needs `clear` and every slot.
        """
        if not self.floor <= version <= self.version:
            return None
        changed: list[tuple[str, Slot | None]] = [
            (key, slot) for key, slot in self.slots.items() if slot.version > version
        ]
        changed += [(key, None) for key, at in self.tombstones.items() if at > version]
        return changed

    def set(self, key: str, value: bytes, version: int) -> None:
        new_mark = slot_mark(key, value, version)
        old = self.slots.get(key)
        if old is not None:
            self.sum = (self.sum + new_mark - old.mark) & MASK
        else:
            self._drop_tombstone(key)
            self.sum = (self.sum + new_mark) & MASK
        self.slots[key] = Slot(value, version, new_mark)
        if version > self.version:
            self.version = version

    def delete(self, key: str, version: int) -> None:
        old = self.slots.pop(key, None)
        if old is not None:
            self.sum = (self.sum - old.mark) & MASK
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
        self.tombstones = {}
        self.sum = 0
        if version > self.version:
            self.version = version
        self.floor = self.version

    def skip(self, step: int) -> None:
        """Jump over versions that clients may have seen and this copy may not."""
        self.version += step
        self.floor = self.version

    def count_header(self) -> int:
        """The mark of the object as a whole, from its running sum."""
        return mark("object", self.full_name, self.version, self.floor, self.sum.to_bytes(16))

    def recount(self) -> int:
        """The same mark from the slots themselves."""
        total = sum(slot_mark(key, slot.value, slot.version) for key, slot in self.slots.items())
        total += sum(tombstone_mark(key, at) for key, at in self.tombstones.items())
        total &= MASK
        return mark("object", self.full_name, self.version, self.floor, total.to_bytes(16))

    def _drop_tombstone(self, key: str) -> None:
        at = self.tombstones.pop(key, None)
        if at is not None:
            self.sum = (self.sum - tombstone_mark(key, at)) & MASK
