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
from rtmp_sync.wire.names import WRITTEN_AMF3, text_of, write_amf3
from rtmp_sync.wire.primitives import BytesWriter, write_f64_be
from rtmp_sync.wire.u29 import u29
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

__all__ = ["Amf3Writer", "exact_double"]

_DATE: Final = Struct(">BBd").pack
_LARGEST_EXACT: Final = 1 << 53


_STRING: Final[list[bytes]] = [b"\x06" + u29(size << 1 | 1) for size in range(0x200)]
_INTEGER: Final[list[bytes]] = [b"\x04" + u29(number) for number in range(0x400)]


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


@final
class Amf3Writer:
    """`value(value, depth)` appends to `out`; `depth` is how many containers may be opened."""

    def __init__(self, out: BytesWriter) -> None:
        self.out = out
        self.strings: dict[str, bytes] = {}  # text -> its reference as written
        self.objects: dict[int, int] = {}  # id -> slot
        self.slots = 0
        self.traits: dict[Any, int] = {}
        self._plain = b""  # an anonymous object's marker and class, once it has been defined
        self._kept: list[object] = []  # keeps ids in `objects` from being given to others

    def value(self, value: Any, depth: int = MAX_DEPTH) -> None:
        kind = type(value)
        if kind is str:
            self.out.append(0x06)
            self.string(value)
        elif value is None:
            self.out.append(0x01)
        elif kind is float:
            self.out.append(5)
            write_f64_be(self.out, value)
        elif kind is dict or kind is ASObject:
            if self._open(b"\x0a", value, depth):
                self._anonymous(value, depth - 1)
        elif kind is int:
            self._integer(value)
        elif value is True:
            self.out.append(0x03)
        elif value is False:
            self.out.append(0x02)
        elif kind is list or kind is tuple:
            if self._open(b"\x09", value, depth):
                self._dense(value, depth - 1)
        else:
            self._rare(value, depth)

    def string(self, text: str) -> None:
        """A string body: inline at its first appearance, then by reference."""
        if not text:
            self.out.append(0x01)
            return
        reference = self.strings.get(text)
        if reference is not None:
            self.out.write(reference)
            return
        raw = text.encode()
        self.strings[text] = u29(len(self.strings) << 1)
        self.out.write(u29(len(raw) << 1 | 1))
        self.out.write(raw)

    def _integer(self, number: int) -> None:
        if 0 <= number < 0x400:
            self.out.write(_INTEGER[number])
        elif -0x10000000 <= number < 0x10000000:
            self.out.write(b"\x04" + u29(number & 0x1FFFFFFF))
        else:
            self.out.append(5)
            write_f64_be(self.out, exact_double(number))

    def _open(self, marker: bytes, value: object, depth: int) -> bool:
        """Take a slot; False when a reference to an earlier one said it all."""
        slots = self.slots
        slot = self.objects.setdefault(id(value), slots)
        if slot != slots:
            self.out.write(marker + u29(slot << 1))
            return False
        if depth <= 0:
            raise LocalProtocolError("AMF3: nested too deep")
        self.slots = slots + 1
        return True

    # containers -----------------------------------------------------------------------------

    def _dense(self, items: Any, depth: int) -> None:
        self.out.write(b"\x09" + u29(len(items) << 1 | 1) + b"\x01")
        for item in items:
            self.value(item, depth)

    def _anonymous(self, source: dict[Any, Any], depth: int) -> None:
        if "" in source:
            # A dynamic member cannot have an empty name, since that ends the list; a sealed can.
            self._definition("", [""], True)
            self.value(source[""], depth)
            source = {key: value for key, value in source.items() if key != ""}
        elif self._plain:
            self.out.write(self._plain)
        else:
            self._definition("", [], True)
            self._plain = b"\x0a" + u29(self.traits["", True, ()] << 2 | 1)
        self._properties(source, depth)

    def _definition(self, name: str, names: list[str], dynamic: bool) -> None:
        """The object's marker and what its class is: inline at first, then by reference."""
        key = (name, dynamic, tuple(names))
        index = self.traits.get(key)
        if index is not None:
            self.out.write(b"\x0a" + u29(index << 2 | 1))
            return
        self.traits[key] = len(self.traits)
        self.out.write(b"\x0a" + u29(len(names) << 4 | (0xB if dynamic else 3)))
        self.string(name)
        for member in names:
            self.string(member)

    def _properties(self, source: dict[Any, Any], depth: int) -> None:
        """Name and value, then the empty name. The frequent kinds are written in place."""
        out = self.out
        strings = self.strings
        written = WRITTEN_AMF3
        fresh = u29(len(strings) << 1)  # the reference that the next new string gets
        for key, value in source.items():
            name = key if type(key) is str else text_of(key)
            reference = strings.setdefault(name, fresh)
            if reference is not fresh:
                out.write(reference)
            else:
                fresh = u29(len(strings) << 1)
                known = written.get(name)
                out.write(write_amf3(name) if known is None else known)
            kind = type(value)
            if kind is str:
                text: str = value
                if not text:
                    out.write(b"\x06\x01")
                    continue
                reference = strings.setdefault(text, fresh)
                if reference is not fresh:
                    out.append(0x06)
                    out.write(reference)
                else:
                    fresh = u29(len(strings) << 1)
                    raw = text.encode()
                    size = len(raw)
                    out.write(_STRING[size] if size < 0x200 else b"\x06" + u29(size << 1 | 1))
                    out.write(raw)
            elif kind is float:
                out.append(5)
                write_f64_be(out, value)
            elif value is None:
                out.append(0x01)
            elif value is True:
                out.append(0x03)
            elif value is False:
                out.append(0x02)
            else:
                self.value(value, depth)
                fresh = u29(len(strings) << 1)
        out.append(0x01)

    def _mixed(self, source: dict[Any, Any], depth: int) -> None:
        """int keys 0 to n-1 are the dense part, all others names."""
        count = 0
        while count in source:
            count += 1
        named = {key: value for key, value in source.items() if type(key) is str or key >= count}
        if "" in named:
            raise LocalProtocolError("AMF3: an array cannot have an empty name")
        self.out.write(b"\x09" + u29(count << 1 | 1))
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
        self, name: str, names: list[str], dynamic: bool, source: dict[Any, Any], depth: int
    ) -> None:
        sealed = set(names)
        rest = {key: value for key, value in source.items() if key not in sealed}
        dynamic = dynamic or bool(rest)
        self._definition(name, names, dynamic)
        for member in names:
            self.value(source[member], depth)
        if dynamic:
            if "" in rest:
                raise LocalProtocolError(f"AMF3: {name} cannot have a member without a name")
            self._properties(rest, depth)

    # the rest -------------------------------------------------------------------------------

    def _rare(self, value: object, depth: int) -> None:
        if value is Undefined:
            self.out.append(0x00)
        elif isinstance(value, (XML, XMLDocument)):
            marker = b"\x0b" if isinstance(value, XML) else b"\x07"
            if self._open(marker, value, depth):
                self._block(marker, value.encode())
        elif isinstance(value, (datetime, date, Date)):
            self._date(value, depth)
        elif isinstance(value, (ByteArray, bytes, bytearray, memoryview)):
            if self._open(b"\x0c", value, depth):
                self._block(b"\x0c", bytes(value))
        elif isinstance(value, (VectorInt, VectorUint, VectorDouble)):
            self._vector(value, depth)
        elif isinstance(value, VectorObject):
            if self._open(b"\x10", value, depth):
                self._head(b"\x10", len(value), value.fixed)
                self.string(value.class_name)
                for item in value:
                    self.value(item, depth - 1)
        elif isinstance(value, Dictionary):
            if self._open(b"\x11", value, depth):
                self._head(b"\x11", len(value), value.weak)
                for key, item in value:
                    self.value(key, depth - 1)
                    self.value(item, depth - 1)
        elif isinstance(value, MixedArray):
            if self._open(b"\x09", value, depth):
                self._mixed(value, depth - 1)
        elif isinstance(value, Unsupported):
            self.out.append(0x00)  # AMF3 has no such marker; undefined is the nearest
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
            self.out.append(0x06)
            self.string(str(value))
        elif isinstance(value, int):
            self._integer(int(value))
        elif isinstance(value, float):
            self.out.append(5)
            write_f64_be(self.out, value)
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
            self.out.write(write_itself(value, self._aside(depth)))
            return
        names, dynamic = sealed_names(alias)
        attributes = attributes_of(alias, value)
        self._kept.extend(attributes.values())
        self._members(alias.alias, names, dynamic, attributes, depth)

    def _external(self, name: str) -> None:
        index = self.traits.get((name,))
        if index is not None:
            self.out.write(b"\x0a" + u29(index << 2 | 1))
            return
        self.traits[(name,)] = len(self.traits)
        self.out.write(b"\x0a\x07")
        self.string(name)

    def _aside(self, depth: int) -> Any:
        """A function that returns a value's bytes instead of appending them."""

        def write(value: object) -> bytes:
            outer = self.out
            self.out = BytesWriter()
            self._kept.append(value)
            try:
                self.value(value, depth)
                return self.out.getvalue()
            finally:
                self.out = outer

        return write

    def _flex(self, kind: int, value: Any, depth: int) -> None:
        self._external(flex.NAMES[kind])
        if kind <= flex.LAST_WRAPPER:
            inner = flex.wrapped(kind, value)
            self._kept.append(inner)
            self.value(inner, depth)
            return
        for head, members in flex.sections(kind, value):
            self.out.write(head)
            self._kept.extend(members)
            for member in members:
                self.value(member, depth)

    def _date(self, value: datetime | date | Date, depth: int) -> None:
        if isinstance(value, Date):
            ms = value.ms
        elif isinstance(value, datetime):
            ms = ms_from_date(value)
        else:
            ms = ms_from_date(datetime(value.year, value.month, value.day))
        if self._open(b"\x08", value, depth):
            self.out.write(_DATE(8, 1, ms))

    def _block(self, marker: bytes, raw: bytes) -> None:
        self.out.write(marker + u29(len(raw) << 1 | 1))
        self.out.write(raw)

    def _head(self, marker: bytes, count: int, flag: bool) -> None:
        self.out.write(marker + u29(count << 1 | 1) + (b"\x01" if flag else b"\x00"))

    def _vector(self, value: VectorInt | VectorUint | VectorDouble, depth: int) -> None:
        letter, marker = "d", b"\x0f"
        if isinstance(value, VectorInt):
            letter, marker = "i", b"\x0d"
        elif isinstance(value, VectorUint):
            letter, marker = "I", b"\x0e"
        if self._open(marker, value, depth):
            self._head(marker, len(value), value.fixed)
            self.out.write(pack(f">{len(value)}{letter}", *value))
