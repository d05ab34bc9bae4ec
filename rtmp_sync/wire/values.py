"""Values of AMF that neither Python nor pyamf has a type for.

Everything else is Python's own (None, bool, int, float, str, list, naive UTC datetime) or
pyamf's (Undefined, ASObject, MixedArray, TypedObject, registered classes, amf3.ByteArray,
flex.ArrayCollection, flex.ObjectProxy and the flex messages).

Keys of a MixedArray are `str` as on the wire; `int` keys are the dense part of an AMF3 array.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, final

# Both register classes with pyamf, so that a name on the wire finds them without any import.

__all__ = [
    "UNSUPPORTED",
    "XML",
    "ArrayList",
    "Date",
    "Dictionary",
    "SerializationProxy",
    "Unsupported",
    "VectorDouble",
    "VectorInt",
    "VectorObject",
    "VectorUint",
    "XMLDocument",
    "date_from_ms",
    "ms_from_date",
]

_EPOCH: Final = datetime(1970, 1, 1)
_LAST_MS: Final = 253402300799999.0  # 9999-12-31, where datetime ends
_FIRST_MS: Final = -62135596800000.0  # 0001-01-01, where it begins


class VectorInt(list[int]):
    """AS3 `Vector.<int>`, 32 bits signed. `fixed`: its length may not change."""

    def __init__(self, items: Iterable[int] = (), fixed: bool = False) -> None:
        super().__init__(items)
        self.fixed = fixed


class VectorUint(list[int]):
    """AS3 `Vector.<uint>`, 32 bits unsigned. `fixed`: its length may not change."""

    def __init__(self, items: Iterable[int] = (), fixed: bool = False) -> None:
        super().__init__(items)
        self.fixed = fixed


class VectorDouble(list[float]):
    """AS3 `Vector.<Number>`. `fixed`: its length may not change."""

    def __init__(self, items: Iterable[float] = (), fixed: bool = False) -> None:
        super().__init__(items)
        self.fixed = fixed


class VectorObject(list[Any]):
    """AS3 `Vector.<T>` of objects; `class_name` is T as on the wire, "" or "*" if untyped."""

    def __init__(
        self, items: Iterable[object] = (), fixed: bool = False, class_name: str = ""
    ) -> None:
        super().__init__(items)
        self.fixed = fixed
        self.class_name = class_name


class Dictionary(list[tuple[Any, Any]]):
    """AS3 `flash.utils.Dictionary`: (key, value) pairs in wire order.

    A list because keys are any values, also objects that Python cannot hash or that hold the
    dictionary itself. `weak`: keys are held weakly.
    """

    def __init__(self, pairs: Iterable[tuple[object, object]] = (), weak: bool = False) -> None:
        super().__init__(pairs)
        self.weak = weak


class ArrayList(list[Any]):
    """`flex.messaging.io.ArrayList`, for which pyamf has no class."""


class SerializationProxy:
    """`flex.messaging.io.SerializationProxy`: a wrapper around one value."""

    __slots__ = ("value",)

    def __init__(self, value: object = None) -> None:
        self.value = value


class XML(str):
    """Text of an E4X `XML` value; never parsed here, so no entity is ever expanded."""

    __slots__ = ()


class XMLDocument(str):
    """Text of a `flash.xml.XMLDocument`; never parsed here."""

    __slots__ = ()


@final
class Unsupported:
    """AMF0's "unsupported" marker: the sender had a value that it could not write."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNSUPPORTED"

    def __bool__(self) -> bool:
        return False


UNSUPPORTED: Final = Unsupported()


@final
@dataclass(frozen=True, slots=True)
class Date:
    """A date that `datetime` cannot hold exactly: `ms` since 1970-01-01 UTC.

    NaN is Flash's invalid date; the others lie outside the years 1 to 9999 or between two
    microseconds.
    """

    ms: float


def date_from_ms(ms: float) -> datetime | Date:
    """The naive UTC datetime that encodes to exactly `ms`, else a Date."""
    if not _FIRST_MS <= ms <= _LAST_MS:  # false for NaN too
        return Date(ms)
    whole = int(ms)
    microseconds = whole * 1000 + round((ms - whole) * 1000)  # `ms * 1000` would be inexact
    if microseconds / 1000 != ms:
        return Date(ms)
    return _EPOCH + timedelta(microseconds=microseconds)


def ms_from_date(date: datetime) -> float:
    """Milliseconds since 1970-01-01 UTC; a naive datetime is taken as UTC.

    AMF's double holds whole milliseconds of any year, and microseconds of the years near 1970.
    """
    if date.tzinfo is not None:
        date = date.astimezone(UTC).replace(tzinfo=None)
    return (date - _EPOCH) // timedelta(microseconds=1) / 1000
