"""Reads AMF0 values (../shared/wire/amf0.md), and the AMF3 values inside them.

One reader is one reference context: AMF0's table of containers, and from the first 0x11 on
AMF3's three tables, which live as long as this reader. How a cut input shows: `amf3_reader`.
"""

from __future__ import annotations

from typing import Any, final

from pyamf import ASObject, MixedArray, TypedObject, Undefined

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.wire.amf3_reader import Amf3Reader
from rtmp_sync.wire.classes import alias_of, fill, make
from rtmp_sync.wire.limits import Limits
from rtmp_sync.wire.names import BEFORE_AMF0, COMPILED, EMPTY, read_name
from rtmp_sync.wire.primitives import read_f64_be
from rtmp_sync.wire.values import UNSUPPORTED, XMLDocument, date_from_ms

__all__ = ["Amf0Reader"]


@final
class Amf0Reader:
    """`value(depth)` reads one value; `depth` is how many containers may still be opened."""

    def __init__(self, data: bytes, pos: int, limits: Limits) -> None:
        self.data = data
        self.pos = pos
        self.left = limits.max_values
        self.limits = limits
        self.table: list[object] = []
        self._amf3: Amf3Reader | None = None

    def value(self, depth: int) -> object:
        data = self.data
        pos = self.pos
        marker = data[pos]
        if marker == 2:
            start = pos + 3
            self.pos = start + (data[pos + 1] << 8 | data[pos + 2])
            return data[start : self.pos].decode()
        if marker == 0:
            self.pos = pos + 9
            return read_f64_be(data, pos + 1)
        if marker == 5:
            self.pos = pos + 1
            return None
        if marker == 1:
            self.pos = pos + 2
            return data[pos + 1] != 0
        self.pos = pos + 1
        if marker == 3 and depth > 0:
            anonymous: dict[str, object] = ASObject()
            self.table.append(anonymous)
            self._properties(anonymous, depth - 1)
            return anonymous
        if marker == 3 or marker == 8 or marker == 10 or marker == 16 or marker == 17:
            if depth <= 0:
                raise RemoteProtocolError("AMF0: nested too deep")
            return self._container(marker, depth - 1)
        return self._rare(marker)

    def _container(self, marker: int, depth: int) -> object:
        if marker == 10:
            return self._strict_array(depth)
        if marker == 8:
            self.pos += 4  # the count is a hint that is often wrong
            mixed: dict[str, object] = MixedArray()
            self.table.append(mixed)
            self._properties(mixed, depth)
            return mixed
        if marker == 16:
            return self._typed_object(depth)
        return self._avmplus(depth)

    def _properties(self, target: dict[str, object], depth: int) -> None:
        """Name and value up to `00 00 09`. The frequent kinds are read in place."""
        data = self.data
        pos = self.pos
        name = BEFORE_AMF0
        used = 0
        for used in range(self.left + 1):
            guess = name.next
            end = pos + guess.size
            if guess.stands_at(data, pos) if COMPILED else data[pos:end] == guess.raw:
                name = guess
                marker = data[end]
            else:
                end = pos + 2 + (data[pos] << 8 | data[pos + 1])
                marker = data[end]  # fails for a cut name, before that is remembered
                if end != pos + 2:
                    name = read_name(name, data[pos:end], 2)
                elif marker != 9:
                    name = EMPTY
                else:
                    break
            key = name.text
            if marker == 2:
                start = end + 3
                pos = start + data[end + 2]
                if data[end + 1]:
                    pos += data[end + 1] << 8
                target[key] = data[start:pos].decode()
            elif marker == 0:
                target[key] = read_f64_be(data, end + 1)
                pos = end + 9
            elif marker == 1:
                target[key] = data[end + 1] != 0
                pos = end + 2
            elif marker == 5:
                target[key] = None
                pos = end + 1
            else:
                self.pos = end
                target[key] = self.value(depth)
                pos = self.pos
                if self.left < used:
                    raise RemoteProtocolError("AMF0: too many values")
        else:
            raise RemoteProtocolError("AMF0: too many values")
        self.pos = end + 1
        self.left -= used
        if self.left < 0:
            raise RemoteProtocolError("AMF0: too many values")

    def _strict_array(self, depth: int) -> object:
        count = self._u32()
        if count > len(self.data) - self.pos:
            raise RemoteProtocolError("AMF0: an array's count goes beyond the input")
        self._spend(count)
        items: list[object] = []
        self.table.append(items)
        append = items.append
        for _ in range(count):
            append(self.value(depth))
        return items

    def _typed_object(self, depth: int) -> object:
        name = self._text(self._u16())
        alias: Any = alias_of(name) if name else None
        if alias is None or alias.external:  # AMF0 has no externalizable form
            plain: dict[str, object] = TypedObject(name) if name else ASObject()
            self.table.append(plain)
            self._properties(plain, depth)
            return plain
        instance = make(alias)
        self.table.append(instance)
        attributes: dict[str, object] = {}
        self._properties(attributes, depth)
        fill(alias, instance, attributes)
        return instance

    def _avmplus(self, depth: int) -> object:
        amf3 = self._amf3
        if amf3 is None:
            amf3 = self._amf3 = Amf3Reader(self.data, self.pos, self.limits)
        amf3.pos = self.pos
        amf3.left = self.left
        value = amf3.value(depth)
        self.pos = amf3.pos
        self.left = amf3.left
        return value

    def _rare(self, marker: int) -> object:
        if marker == 7:
            return self.table[self._u16()]
        if marker == 6:
            return Undefined
        if marker == 11:
            start = self.pos
            self.pos = start + 10  # the time zone behind the double means nothing
            return date_from_ms(read_f64_be(self.data, start))
        if marker == 12:
            return self._text(self._u32())
        if marker == 15:
            return XMLDocument(self._text(self._u32()))
        if marker == 13:
            return UNSUPPORTED
        raise RemoteProtocolError(f"AMF0: marker 0x{marker:02x} where a value should be")

    def _u16(self) -> int:
        data = self.data
        pos = self.pos
        self.pos = pos + 2
        return data[pos] << 8 | data[pos + 1]

    def _u32(self) -> int:
        high = self._u16()
        return high << 16 | self._u16()

    def _text(self, length: int) -> str:
        start = self.pos
        self.pos = start + length
        return self.data[start : self.pos].decode()

    def _spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise RemoteProtocolError("AMF0: too many values")
