"""Writes AMF0 values (../shared/wire/amf0.md), and AMF3 values inside them where AMF0 has no form.

One output is one reference context. With `avmplus` false the marker 0x11 is never written and
what AMF0 cannot say takes its nearest form: ByteArray and vectors a strict array, a Dictionary
with text keys an object, ArrayCollection an array, ObjectProxy its object, the rest
"unsupported". Raises LocalProtocolError for what AMF0 cannot say at all.
"""

from __future__ import annotations

from datetime import date, datetime
from struct import Struct
from typing import Any, Final, final

from pyamf import ASObject, MixedArray, TypedObject, Undefined
from pyamf.amf3 import ByteArray

from rtmp_sync.errors import LocalProtocolError
from rtmp_sync.wire import flex
from rtmp_sync.wire.amf3_writer import Amf3Writer, exact_double
from rtmp_sync.wire.classes import alias_of, attributes_of
from rtmp_sync.wire.constants import MAX_MESSAGE_BYTES
from rtmp_sync.wire.limits import MAX_DEPTH
from rtmp_sync.wire.names import WRITTEN_AMF0, text_of, write_amf0
from rtmp_sync.wire.primitives import BytesWriter, write_f64_be
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

__all__ = ["Amf0Output"]

_COUNTED: Final = Struct(">BI").pack
_REFERENCE: Final = Struct(">BH").pack
_DATE: Final = Struct(">Bdh").pack
_U16: Final = Struct(">H").pack
_LENGTH: Final[list[bytes]] = [_U16(length) for length in range(0x200)]
_STRING: Final[list[bytes]] = [_REFERENCE(2, length) for length in range(0x200)]
_END: Final = b"\x00\x00\x09"
_REACH: Final = 0x10000
"""Containers from this slot on cannot be referred to: they are written in full again."""


@final
class Amf0Output:
    """`value(value, depth)` appends to `out`; `depth` is how many containers may be opened."""

    def __init__(self, out: BytesWriter, avmplus: bool) -> None:
        self.out = out
        self.avmplus = avmplus
        self.table: dict[int, int] = {}  # id -> slot
        self.slots = 0
        self._kept: list[object] = []  # keeps ids in `table` from being given to others
        self._amf3: Amf3Writer | None = None

    def value(self, value: Any, depth: int = MAX_DEPTH) -> None:
        kind = type(value)
        if kind is str:
            self._string(value)
        elif kind is float:
            self.out.append(0)
            write_f64_be(self.out, value)
        elif value is None:
            self.out.append(0x05)
        elif value is True:
            self.out.write(b"\x01\x01")
        elif value is False:
            self.out.write(b"\x01\x00")
        elif kind is int:
            self.out.append(0)
            write_f64_be(self.out, exact_double(value))
        elif kind is dict or kind is ASObject:
            if self._open(value, depth):
                self.out.append(0x03)
                self._properties(value, depth - 1)
        elif kind is list or kind is tuple:
            self._strict_array(value, depth)
        else:
            self._rare(value, depth)

    def _string(self, text: str) -> None:
        raw = text.encode()
        length = len(raw)
        if length < 0x200:
            self.out.write(_STRING[length])
        elif length < 0x10000:
            self.out.write(_REFERENCE(2, length))
        else:
            self.out.write(_COUNTED(12, length))
        if length >= 0x200:
            self._check_size()
        self.out.write(raw)

    def _open(self, value: object, depth: int) -> bool:
        """Take a slot; False when a reference to an earlier one said it all."""
        slots = self.slots
        slot = self.table.setdefault(id(value), slots)
        if slot < slots and slot < _REACH:
            self.out.write(_REFERENCE(7, slot))
            return False
        if depth <= 0:
            raise LocalProtocolError("AMF0: nested too deep")
        self._check_size()
        self.slots = slots + 1
        return True

    def _check_size(self) -> None:
        """A text that AMF3 refers to, and a container beyond `_REACH`, is written in full each
        time: a few bytes of a hostile peer would become any number of ours."""
        if len(self.out) > MAX_MESSAGE_BYTES:
            raise LocalProtocolError(f"AMF0: more than {MAX_MESSAGE_BYTES} bytes")

    def _properties(self, source: dict[Any, Any], depth: int) -> None:
        """Name and value, then the end mark. The frequent kinds are written in place."""
        out = self.out
        names = WRITTEN_AMF0
        for key, value in source.items():
            name = names.get(key) if type(key) is str else write_amf0(text_of(key))
            if name is None:
                name = write_amf0(key)
            out.write(name)
            kind = type(value)
            if kind is str:
                text: str = value
                raw = text.encode()
                length = len(raw)
                if length < 0x200:
                    out.write(_STRING[length])
                    out.write(raw)
                else:
                    self._string(text)
            elif kind is float:
                out.append(0)
                write_f64_be(out, value)
            elif value is None:
                out.append(0x05)
            elif value is True:
                out.write(b"\x01\x01")
            elif value is False:
                out.write(b"\x01\x00")
            else:
                self.value(value, depth)
        out.write(_END)

    def _strict_array(self, value: Any, depth: int) -> None:
        if self._open(value, depth):
            self.out.write(_COUNTED(10, len(value)))
            for item in value:
                self.value(item, depth - 1)

    # the rest -------------------------------------------------------------------------------

    def _rare(self, value: object, depth: int) -> None:
        if value is Undefined:
            self.out.append(0x06)
        elif isinstance(value, MixedArray):
            if self._open(value, depth):
                self.out.write(_COUNTED(8, len(value)))
                self._properties(value, depth - 1)
        elif isinstance(value, TypedObject):
            if self._open(value, depth):
                self._typed(value.alias, value, depth - 1)
        elif isinstance(value, (datetime, date, Date)):
            self._date(value)
        elif isinstance(value, XMLDocument) or (isinstance(value, XML) and not self.avmplus):
            raw = value.encode()
            self.out.write(_COUNTED(15, len(raw)))
            self.out.write(raw)
        elif isinstance(value, Unsupported):
            self.out.append(0x0D)
        elif isinstance(value, (ByteArray, bytes, bytearray, memoryview)):
            self._amf3_only(value, lambda: list(bytes(value)), depth)
        elif isinstance(value, (VectorInt, VectorUint, VectorDouble, VectorObject)):
            self._amf3_only(value, lambda: value, depth)
        elif isinstance(value, Dictionary):
            self._amf3_only(value, lambda: _object_of(value), depth)
        elif isinstance(value, XML):
            self._avmplus(value, depth)
        else:
            self._instance(value, depth)

    def _instance(self, value: Any, depth: int) -> None:
        """Instances of classes, then subclasses of Python's own types."""
        kind = flex.kind_of(value)
        alias = alias_of(type(value))
        if kind:
            self._amf3_only(
                value,
                lambda: flex.wrapped(kind, value) if kind <= flex.LAST_WRAPPER else _UNSUPPORTED,
                depth,
            )
        elif alias is not None and not alias.anonymous:
            if alias.external or (alias.amf3 and self.avmplus):
                self._amf3_only(value, lambda: _UNSUPPORTED, depth)
            elif self._open(value, depth):
                attributes = attributes_of(alias, value)
                self._kept.extend(attributes.values())
                self._typed(alias.alias, attributes, depth - 1)
        elif isinstance(value, str):
            self._string(str(value))
        elif isinstance(value, int):
            self.out.append(0)
            write_f64_be(self.out, exact_double(int(value)))
        elif isinstance(value, float):
            self.out.append(0)
            write_f64_be(self.out, value)
        elif isinstance(value, dict):
            if self._open(value, depth):
                self.out.append(0x03)
                self._properties(value, depth - 1)
        elif isinstance(value, (list, tuple, set, frozenset)):
            self._strict_array(value, depth)
        else:
            raise LocalProtocolError(
                f"AMF: {type(value).__name__} has no form; register the class with pyamf"
            )

    def _typed(self, name: str, source: dict[Any, Any], depth: int) -> None:
        self.out.append(0x10)
        self.out.write(write_amf0(name))
        self._properties(source, depth)

    def _date(self, value: datetime | date | Date) -> None:
        if isinstance(value, Date):
            ms = value.ms
        elif isinstance(value, datetime):
            ms = ms_from_date(value)
        else:
            ms = ms_from_date(datetime(value.year, value.month, value.day))
        self.out.write(_DATE(11, ms, 0))

    def _amf3_only(self, value: object, nearest: Any, depth: int) -> None:
        if self.avmplus:
            self._avmplus(value, depth)
            return
        plain = nearest()
        if plain is value:
            self._strict_array(value, depth)
        elif plain is _UNSUPPORTED:
            self.out.append(0x0D)
        else:
            self._kept.append(plain)
            self.value(plain, depth)

    def _avmplus(self, value: object, depth: int) -> None:
        if self._amf3 is None:
            self._amf3 = Amf3Writer(self.out)
        if depth <= 0:
            raise LocalProtocolError("AMF0: nested too deep")
        self.out.append(0x11)
        self._amf3.out = self.out
        self._amf3.value(value, depth - 1)


_UNSUPPORTED: Final = Unsupported()


def _object_of(dictionary: Dictionary) -> object:
    if all(isinstance(key, str) for key, _ in dictionary):
        return dict(dictionary)
    return _UNSUPPORTED
