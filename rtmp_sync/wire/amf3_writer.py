"""Writes AMF3 values (../shared/wire/amf3.md).

One writer is one reference context: it remembers the strings, objects and class definitions
that it has written and refers back to them. Raises LocalProtocolError for what AMF3 cannot say.
"""

from __future__ import annotations

from datetime import date, datetime
from struct import Struct, pack
from typing import Any, Final, final

from pyamf import ASObject, MixedArray, TypedObject, Undefined
from pyamf.amf3 import ByteArray

from rtmp_sync.errors import LocalProtocolError
from rtmp_sync.wire import flex
from rtmp_sync.wire.amf3_reader import Traits
from rtmp_sync.wire.classes import alias_of, attributes_of, sealed_names, write_itself
from rtmp_sync.wire.limits import MAX_DEPTH
from rtmp_sync.wire.values import (
    XML,
    Date,
    Dictionary,
    Unsupported,
    VectorDouble,
    VectorInt,
    VectorObject,
    VectorUint,
    XMLDocument,
    ms_from_date,
)

__all__ = ["Amf3Writer", "exact_double", "key_text"]

_DOUBLE: Final = Struct(">Bd").pack
_LARGEST_EXACT: Final = 1 << 53


def _u29_of(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    if number < 0x4000:
        return bytes((number >> 7 | 0x80, number & 0x7F))
    if number < 0x200000:
        return bytes((number >> 14 | 0x80, number >> 7 & 0x7F | 0x80, number & 0x7F))
    if number < 0x20000000:
        return bytes(
            (
                number >> 22 | 0x80,
                number >> 15 & 0x7F | 0x80,
                number >> 8 & 0x7F | 0x80,
                number & 0xFF,
            )
        )
    raise LocalProtocolError(f"AMF3: {number} does not fit 29 bits")


_U29: Final[list[bytes]] = [_u29_of(number) for number in range(0x4000)]
_INTEGER: Final[list[bytes]] = [b"\x04" + _u29_of(number) for number in range(0x400)]


def exact_double(number: int) -> float:
    """An integer as AMF's double; refused when the double would be another number."""
    if -_LARGEST_EXACT <= number <= _LARGEST_EXACT:
        return float(number)
    try:
        double = float(number)
    except OverflowError:
        raise LocalProtocolError(f"AMF: {number} is beyond a double") from None
    if int(double) != number:
        raise LocalProtocolError(f"AMF: {number} is beyond a double's 53 bits")
    return double


def key_text(key: object) -> str:
    """A property's name: str, or an int in its decimal form."""
    if isinstance(key, str):
        return key
    if isinstance(key, int) and not isinstance(key, bool):
        return str(int(key))
    raise LocalProtocolError(f"AMF: a property's name is a {type(key).__name__}, not a str")


@final
class Amf3Writer:
    """`value(value, depth)` appends to `parts`; `depth` is how many containers may be opened."""

    def __init__(self, parts: list[bytes]) -> None:
        self.parts = parts
        self.strings: dict[str, bytes] = {}  # text -> its reference as written
        self.objects: dict[int, int] = {}  # id -> slot
        self.slots = 0
        self.traits: dict[Any, int] = {}
        self._kept: list[object] = []  # keeps ids in `objects` from being given to others

    def value(self, value: object, depth: int = MAX_DEPTH) -> None:
        kind = type(value)
        if kind is str:
            self.parts.append(b"\x06")
            self.string(value)  # type: ignore[arg-type]  # `kind` says so; a cast costs a call
        elif value is None:
            self.parts.append(b"\x01")
        elif kind is float:
            self.parts.append(_DOUBLE(5, value))
        elif kind is int:
            self._integer(value)  # type: ignore[arg-type]  # as above
        elif value is True:
            self.parts.append(b"\x03")
        elif value is False:
            self.parts.append(b"\x02")
        elif kind is list or kind is tuple:
            if self._open(b"\x09", value, depth):
                self._dense(value, depth - 1)
        elif kind is dict or kind is ASObject:
            if self._open(b"\x0a", value, depth):
                self._anonymous(value, depth - 1)  # type: ignore[arg-type]  # as above
        else:
            self._rare(value, depth)

    def string(self, text: str) -> None:
        """A string body: inline at its first appearance, then by reference."""
        parts = self.parts
        reference = self.strings.get(text)
        if reference is not None:
            parts.append(reference)
        elif text:
            raw = text.encode()
            self.strings[text] = _u29(len(self.strings) << 1)
            parts.append(_u29(len(raw) << 1 | 1))
            parts.append(raw)
        else:
            parts.append(b"\x01")

    def _integer(self, number: int) -> None:
        if 0 <= number < 0x400:
            self.parts.append(_INTEGER[number])
        elif -0x10000000 <= number < 0x10000000:
            self.parts.append(b"\x04" + _u29(number & 0x1FFFFFFF))
        else:
            self.parts.append(_DOUBLE(5, exact_double(number)))

    def _open(self, marker: bytes, value: object, depth: int) -> bool:
        """Write the marker and take a slot; False when a reference said it all."""
        self.parts.append(marker)
        slot = self.objects.get(id(value))
        if slot is not None:
            self.parts.append(_u29(slot << 1))
            return False
        if depth <= 0:
            raise LocalProtocolError("AMF3: nested too deep")
        self.objects[id(value)] = self.slots
        self.slots += 1
        return True

    # containers -----------------------------------------------------------------------------

    def _dense(self, items: Any, depth: int) -> None:
        self.parts.append(_u29(len(items) << 1 | 1))
        self.parts.append(b"\x01")
        for item in items:
            self.value(item, depth)

    def _anonymous(self, source: dict[Any, object], depth: int) -> None:
        if "" in source:
            # A dynamic member cannot have an empty name, since that ends the list; a sealed can.
            self._definition(("", True, ("",)), "", [""], True)
            self.value(source[""], depth)
            source = {key: value for key, value in source.items() if key != ""}
        else:
            self._definition(None, "", [], True)
        self._properties(source, depth)

    def _definition(self, key: Any, name: str, names: list[str], dynamic: bool) -> None:
        index = self.traits.get(key)
        if index is not None:
            self.parts.append(_u29(index << 2 | 1))
            return
        self.traits[key] = len(self.traits)
        self.parts.append(_u29(len(names) << 4 | (0xB if dynamic else 3)))
        self.string(name)
        for member in names:
            self.string(member)

    def _properties(self, source: dict[Any, object], depth: int) -> None:
        """Name and value, then the empty name. The frequent kinds are written in place."""
        parts = self.parts
        strings = self.strings
        for key, value in source.items():
            name = key if type(key) is str else key_text(key)
            reference = strings.get(name)
            if reference is not None:
                parts.append(reference)
            else:
                self.string(name)
            kind = type(value)
            if kind is str:
                parts.append(b"\x06")
                self.string(value)  # type: ignore[arg-type]  # `kind` says so
            elif kind is float:
                parts.append(_DOUBLE(5, value))
            elif value is None:
                parts.append(b"\x01")
            elif value is True:
                parts.append(b"\x03")
            elif value is False:
                parts.append(b"\x02")
            else:
                self.value(value, depth)
        parts.append(b"\x01")

    def _mixed(self, source: dict[Any, object], depth: int) -> None:
        """int keys 0 to n-1 are the dense part, all others names."""
        count = 0
        while count in source and type(count) is int:
            count += 1
        named = {
            key: value
            for key, value in source.items()
            if type(key) is not int or not 0 <= key < count
        }
        if "" in named:
            raise LocalProtocolError("AMF3: an array cannot have an empty name")
        self.parts.append(_u29(count << 1 | 1))
        self._properties(named, depth)
        for index in range(count):
            self.value(source[index], depth)

    def _typed(self, instance: Any, depth: int) -> None:
        traits: Traits | None = instance.__dict__.get("traits")
        name = instance.alias
        if traits is None or any(member not in instance for member in traits.names):
            self._members(name, [], True, instance, depth)
        else:
            self._members(name, traits.names, traits.dynamic, instance, depth)

    def _members(
        self, name: str, names: list[str], dynamic: bool, source: dict[Any, object], depth: int
    ) -> None:
        sealed = set(names)
        rest = {key: value for key, value in source.items() if key not in sealed}
        dynamic = dynamic or bool(rest)
        self._definition((name, dynamic, tuple(names)), name, names, dynamic)
        for member in names:
            self.value(source[member], depth)
        if dynamic:
            if "" in rest:
                raise LocalProtocolError(f"AMF3: {name} cannot have a member without a name")
            self._properties(rest, depth)

    # the rest -------------------------------------------------------------------------------

    def _rare(self, value: object, depth: int) -> None:
        if value is Undefined:
            self.parts.append(b"\x00")
        elif isinstance(value, (XML, XMLDocument)):
            if self._open(b"\x0b" if isinstance(value, XML) else b"\x07", value, depth):
                self._block(value.encode())
        elif isinstance(value, (datetime, date, Date)):
            self._date(value)
        elif isinstance(value, (ByteArray, bytes, bytearray, memoryview)):
            if self._open(b"\x0c", value, depth):
                self._block(bytes(value))
        elif isinstance(value, (VectorInt, VectorUint, VectorDouble)):
            self._vector(value, depth)
        elif isinstance(value, VectorObject):
            if self._open(b"\x10", value, depth):
                self.parts.append(_u29(len(value) << 1 | 1))
                self.parts.append(b"\x01" if value.fixed else b"\x00")
                self.string(value.class_name)
                for item in value:
                    self.value(item, depth - 1)
        elif isinstance(value, Dictionary):
            if self._open(b"\x11", value, depth):
                self.parts.append(_u29(len(value) << 1 | 1))
                self.parts.append(b"\x01" if value.weak else b"\x00")
                for key, item in value:
                    self.value(key, depth - 1)
                    self.value(item, depth - 1)
        elif isinstance(value, MixedArray):
            if self._open(b"\x09", value, depth):
                self._mixed(value, depth - 1)
        elif isinstance(value, Unsupported):
            self.parts.append(b"\x00")  # AMF3 has no such marker; undefined is the nearest
        else:
            self._instance(value, depth)

    def _instance(self, value: Any, depth: int) -> None:
        """Instances of classes, then subclasses of Python's own types."""
        flex_kind = flex.kind_of(value)
        alias = alias_of(type(value))
        if flex_kind:
            if self._open(b"\x0a", value, depth):
                self._flex(flex_kind, value, depth - 1)
        elif isinstance(value, TypedObject):
            if self._open(b"\x0a", value, depth):
                self._typed(value, depth - 1)
        elif alias is not None and not alias.anonymous:
            if self._open(b"\x0a", value, depth):
                self._registered(alias, value, depth - 1)
        elif isinstance(value, str):
            self.parts.append(b"\x06")
            self.string(str(value))
        elif isinstance(value, int):
            self._integer(int(value))
        elif isinstance(value, float):
            self.parts.append(_DOUBLE(5, value))
        elif isinstance(value, dict):
            if self._open(b"\x0a", value, depth):
                self._anonymous(value, depth - 1)
        elif isinstance(value, (list, tuple, set, frozenset)):
            if self._open(b"\x09", value, depth):
                self._dense(value, depth - 1)
        else:
            raise LocalProtocolError(
                f"AMF: {type(value).__name__} has no form; register the class with pyamf"
            )

    def _registered(self, alias: Any, value: Any, depth: int) -> None:
        if alias.external:
            self._external(alias.alias)
            self.parts.append(write_itself(value, self._aside(depth)))
            return
        names, dynamic = sealed_names(alias)
        attributes = attributes_of(alias, value)
        self._kept.extend(attributes.values())
        self._members(alias.alias, names, dynamic, attributes, depth)

    def _external(self, name: str) -> None:
        index = self.traits.get((name,))
        if index is not None:
            self.parts.append(_u29(index << 2 | 1))
            return
        self.traits[(name,)] = len(self.traits)
        self.parts.append(b"\x07")
        self.string(name)

    def _aside(self, depth: int) -> Any:
        """A function that returns a value's bytes instead of appending them."""

        def write(value: object) -> bytes:
            outer = self.parts
            self.parts = []
            self._kept.append(value)
            try:
                self.value(value, depth)
                return b"".join(self.parts)
            finally:
                self.parts = outer

        return write

    def _flex(self, kind: int, value: Any, depth: int) -> None:
        self._external(flex.NAMES[kind])
        if kind <= flex.LAST_WRAPPER:
            inner = flex.wrapped(kind, value)
            self._kept.append(inner)
            self.value(inner, depth)
            return
        for head, members in flex.sections(kind, value):
            self.parts.append(head)
            self._kept.extend(members)
            for member in members:
                self.value(member, depth)

    def _date(self, value: datetime | date | Date) -> None:
        """Always inline: equal dates are not one object in Python, but each takes its slot."""
        if isinstance(value, Date):
            ms = value.ms
        elif isinstance(value, datetime):
            ms = ms_from_date(value)
        else:
            ms = ms_from_date(datetime(value.year, value.month, value.day))
        self.slots += 1
        self.parts.append(b"\x08\x01")
        self.parts.append(pack(">d", ms))

    def _block(self, raw: bytes) -> None:
        self.parts.append(_u29(len(raw) << 1 | 1))
        self.parts.append(raw)

    def _vector(self, value: VectorInt | VectorUint | VectorDouble, depth: int) -> None:
        letter, marker = "d", b"\x0f"
        if isinstance(value, VectorInt):
            letter, marker = "i", b"\x0d"
        elif isinstance(value, VectorUint):
            letter, marker = "I", b"\x0e"
        if self._open(marker, value, depth):
            self.parts.append(_u29(len(value) << 1 | 1))
            self.parts.append(b"\x01" if value.fixed else b"\x00")
            self.parts.append(pack(f">{len(value)}{letter}", *value))


def _u29(number: int) -> bytes:
    return _U29[number] if number < 0x4000 else _u29_of(number)
