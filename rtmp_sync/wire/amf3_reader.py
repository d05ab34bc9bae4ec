"""Reads AMF3 values (../shared/wire/amf3.md).

One reader is one reference context: three tables (strings, objects, traits) that live for a
whole message. `pos` is where the next value starts. Slices of bytes end silently at the end of
the input, so a cut value shows in one of two ways: the next read raises IndexError, or `pos`
has passed the end when the caller is done; both are for the entry points in `amf3` and `amf0`
to turn into RemoteProtocolError.
"""

from __future__ import annotations

from struct import unpack_from
from typing import TYPE_CHECKING, Any, final

from pyamf import ASObject, MixedArray, TypedObject, Undefined
from pyamf.amf3 import ByteArray
from pyamf.util import BufferedByteStream

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.wire import flex
from rtmp_sync.wire.classes import alias_of, fill, make, read_itself
from rtmp_sync.wire.limits import Limits
from rtmp_sync.wire.names import BEFORE_AMF3, COMPILED, read_name
from rtmp_sync.wire.primitives import read_f64_be
from rtmp_sync.wire.values import (
    XML,
    Dictionary,
    VectorDouble,
    VectorInt,
    VectorObject,
    VectorUint,
    XMLDocument,
    date_from_ms,
)

if TYPE_CHECKING:
    from mypy_extensions import i64

__all__ = ["Amf3Reader", "Traits"]


@final
class Traits:
    """What an inline class definition says. `alias` is pyamf's for a registered class."""

    def __init__(self, name: str, names: list[str], dynamic: bool, external: bool) -> None:
        self.name = name
        self.names = names
        self.dynamic = dynamic
        self.external = external
        self.alias: Any = alias_of(name) if name else None
        if self.alias is not None and bool(self.alias.external) != external:
            self.alias = None


@final
class Amf3Reader:
    """`value(depth)` reads one value; `depth` is how many containers may still be opened."""

    def __init__(self, data: bytes, pos: int, limits: Limits) -> None:
        self.data = data
        self.pos = pos
        self.left = limits.max_values
        self.byte_arrays_left = limits.max_byte_arrays
        self.strings: list[str] = []
        self.objects: list[object] = []
        self.traits: list[Traits] = []
        self._stream: Any = None

    def value(self, depth: int) -> object:
        data = self.data
        pos = self.pos
        marker = data[pos]
        self.pos = pos + 1
        if marker == 6:
            return self.string()
        if marker == 0x0A:
            return self._object(depth)
        if marker == 4:
            number = self.u29()
            return number if number < 0x10000000 else number - 0x20000000
        if marker == 5:
            self.pos = pos + 9
            return read_f64_be(data, pos + 1)
        if marker == 1:
            return None
        if marker == 3:
            return True
        if marker == 2:
            return False
        if marker == 0:
            return Undefined
        return self._complex(marker, depth)

    def u29(self) -> int:
        data = self.data
        pos = self.pos
        byte = data[pos]
        if byte < 0x80:
            self.pos = pos + 1
            return byte
        number = (byte & 0x7F) << 7
        byte = data[pos + 1]
        if byte < 0x80:
            self.pos = pos + 2
            return number | byte
        number = (number | byte & 0x7F) << 7
        byte = data[pos + 2]
        if byte < 0x80:
            self.pos = pos + 3
            return number | byte
        self.pos = pos + 4
        return (number | byte & 0x7F) << 8 | data[pos + 3]

    def string(self) -> str:
        head = self.u29()
        if not head & 1:
            return self.strings[head >> 1]
        if head == 1:
            return ""
        start = self.pos
        self.pos = start + (head >> 1)
        text = self.data[start : self.pos].decode()
        self.strings.append(text)
        return text

    def _complex(self, marker: int, depth: int) -> object:
        """Everything that takes a slot in the object table."""
        if marker > 0x11:
            raise RemoteProtocolError(f"AMF3: unknown marker 0x{marker:02x}")
        head = self.u29()
        if not head & 1:
            return self.objects[head >> 1]
        if marker == 0x08:
            start = self.pos
            self.pos = start + 8
            date = date_from_ms(read_f64_be(self.data, start))
            self.objects.append(date)
            return date
        if marker == 0x0C:
            return self._byte_array(head >> 1)
        if marker == 0x07 or marker == 0x0B:
            text = self._take(head >> 1).decode()
            xml = XMLDocument(text) if marker == 0x07 else XML(text)
            self.objects.append(xml)
            return xml
        if depth <= 0:
            raise RemoteProtocolError("AMF3: nested too deep")
        if marker == 0x09:
            return self._array(head >> 1, depth - 1)
        if marker == 0x11:
            return self._dictionary(head >> 1, depth - 1)
        if marker == 0x10:
            return self._vector_object(head >> 1, depth - 1)
        return self._vector(marker, head >> 1)

    # containers -----------------------------------------------------------------------------

    def _object(self, depth: int) -> object:
        head = self.data[self.pos]
        if head < 0x80:
            self.pos += 1
        else:
            head = self.u29()
        if not head & 1:
            return self.objects[head >> 1]
        if depth <= 0:
            raise RemoteProtocolError("AMF3: nested too deep")
        traits = self._define(head) if head & 2 else self.traits[head >> 2]
        if traits.external:
            return self._external(traits, depth - 1)
        if traits.alias is not None:
            return self._registered(traits, depth - 1)
        target: dict[str, object]
        if traits.name:
            typed = TypedObject(traits.name)
            typed.traits = traits  # so that it is written as it was read
            target = typed
        else:
            target = ASObject()
        self.objects.append(target)
        if traits.names:
            self._sealed(traits.names, target, depth - 1)
        if traits.dynamic:
            self._properties(target, depth - 1)
        return target

    def _registered(self, traits: Traits, depth: int) -> object:
        instance = make(traits.alias)
        self.objects.append(instance)
        attributes: dict[str, object] = {}
        self._sealed(traits.names, attributes, depth)
        if traits.dynamic:
            self._properties(attributes, depth)
        fill(traits.alias, instance, attributes)
        return instance

    def _define(self, head: int) -> Traits:
        external = head & 4 != 0
        name = self.string()
        names: list[str] = []
        if not external:
            count = head >> 4
            self._expect(count)
            self._spend(count)
            names = [self.string() for _ in range(count)]
        traits = Traits(name, names, head & 8 != 0, external)
        self.traits.append(traits)
        return traits

    def _sealed(self, names: list[str], target: dict[str, object], depth: int) -> None:
        self._spend(len(names))
        for name in names:
            target[name] = self.value(depth)

    def _properties(self, target: dict[str, object], depth: int) -> None:
        """Name and value up to the empty name. The frequent kinds are read in place."""
        data = self.data
        strings = self.strings
        pos: i64 = self.pos
        start: i64
        head: i64
        limit = self.left
        name = BEFORE_AMF3
        used = 0
        for used in range(limit + 1):
            head = data[pos]
            if head == 1:
                break
            if head & 0x81 == 0:
                key = strings[head >> 1]
                pos += 1
            elif head < 0x80:
                start = pos
                pos += 1 + (head >> 1)
                guess = name.next
                if guess.stands_at(data, start) if COMPILED else data[start:pos] == guess.raw:
                    name = guess
                else:
                    marker = data[pos]  # fails for a cut name, before that is remembered
                    name = read_name(name, data[start:pos], 1)
                key = name.text
                strings.append(key)
            else:
                self.pos = pos
                key = self.string()
                pos = self.pos
                if not key:
                    pos -= 1  # a name of no length written the long way: the end mark
                    break
            marker = data[pos]
            if marker == 6:
                head = data[pos + 1]
                pos += 2
                if head >= 0x80:
                    self.pos = pos - 1
                    target[key] = self.string()
                    pos = self.pos
                elif not head & 1:
                    target[key] = strings[head >> 1]
                elif head == 1:
                    target[key] = ""
                else:
                    start = pos
                    pos += head >> 1
                    text = data[start:pos].decode()
                    strings.append(text)
                    target[key] = text
            elif marker == 5:
                target[key] = read_f64_be(data, pos + 1)
                pos += 9
            elif marker == 4 and data[pos + 1] < 0x80:
                target[key] = data[pos + 1]
                pos += 2
            elif marker == 3:
                target[key] = True
                pos += 1
            elif marker == 2:
                target[key] = False
                pos += 1
            elif marker == 1:
                target[key] = None
                pos += 1
            else:
                self.pos = pos
                target[key] = self.value(depth)
                pos = self.pos
                if self.left < used:
                    raise RemoteProtocolError("AMF3: too many values")
        else:
            raise RemoteProtocolError("AMF3: too many values")
        self.pos = pos + 1
        self.left -= used
        if self.left < 0:
            raise RemoteProtocolError("AMF3: too many values")

    def _array(self, count: int, depth: int) -> object:
        data = self.data
        self._expect(count)
        self._spend(count)
        if data[self.pos] == 1:
            self.pos += 1
            items: list[object] = []
            self.objects.append(items)
            append = items.append
            for _ in range(count):
                append(self.value(depth))
            return items
        mixed: dict[Any, object] = MixedArray()
        self.objects.append(mixed)
        self._properties(mixed, depth)
        if not mixed:  # the long way of writing "no names"
            plain: list[object] = []
            self.objects[-1] = plain
            append = plain.append
            for _ in range(count):
                append(self.value(depth))
            return plain
        for index in range(count):
            mixed[index] = self.value(depth)
        return mixed

    def _dictionary(self, count: int, depth: int) -> object:
        self._expect(2 * count)
        self._spend(2 * count)
        entries = Dictionary((), self._flag())
        self.objects.append(entries)
        for _ in range(count):
            key = self.value(depth)
            entries.append((key, self.value(depth)))
        return entries

    def _vector_object(self, count: int, depth: int) -> object:
        self._expect(count)
        self._spend(count)
        fixed = self._flag()
        # the slot comes before the class name, but a string cannot refer to it
        items = VectorObject((), fixed, self.string())
        self.objects.append(items)
        for _ in range(count):
            items.append(self.value(depth))
        return items

    def _vector(self, marker: int, count: int) -> object:
        size = 8 if marker == 0x0F else 4
        self._expect(count * size)
        self._spend(count)
        fixed = self._flag()
        start = self.pos
        self.pos = start + count * size
        vector: object
        if marker == 0x0F:
            vector = VectorDouble(unpack_from(f">{count}d", self.data, start), fixed)
        elif marker == 0x0E:
            vector = VectorUint(unpack_from(f">{count}I", self.data, start), fixed)
        else:
            vector = VectorInt(unpack_from(f">{count}i", self.data, start), fixed)
        self.objects.append(vector)
        return vector

    def _byte_array(self, length: int) -> object:
        content = self._take(length)
        self.byte_arrays_left -= 1
        if self.byte_arrays_left < 0:
            raise RemoteProtocolError("AMF3: too many byte arrays")
        array = ByteArray(content)
        array.compressed = False  # else pyamf would deflate what is deflated already
        self.objects.append(array)
        return array

    # externalizable -------------------------------------------------------------------------

    def _external(self, traits: Traits, depth: int) -> object:
        kind = flex.KINDS.get(traits.name, 0)
        if kind:
            return self._flex(kind, traits, depth)
        if traits.alias is None:
            raise RemoteProtocolError(f"AMF3: externalizable class {traits.name!r} is not known")
        instance = make(traits.alias)
        self.objects.append(instance)
        if self._stream is None:
            self._stream = BufferedByteStream(self.data)
        self._stream.seek(self.pos)

        def read(pos: int) -> tuple[object, int]:
            self.pos = pos
            self._spend(1)
            return self.value(depth), self.pos

        self.pos = read_itself(instance, self._stream, read)
        return instance

    def _flex(self, kind: int, traits: Traits, depth: int) -> object:
        instance = flex.make(kind)
        self.objects.append(instance)
        if kind <= flex.LAST_WRAPPER:
            self._spend(1)
            flex.fill_wrapper(kind, instance, self.value(depth))
            return instance
        for section in flex.SECTIONS[kind]:
            flags = [self._byte()]
            while flags[-1] & 0x80:
                flags.append(self._byte())
            for number, flag in enumerate(flags):
                for bit in range(7):
                    if flag >> bit & 1:
                        self._spend(1)
                        flex.fill_member(instance, section, number, bit, self.value(depth))
        return instance

    # small ones -----------------------------------------------------------------------------

    def _byte(self) -> int:
        byte = self.data[self.pos]
        self.pos += 1
        return byte

    def _flag(self) -> bool:
        return self._byte() != 0

    def _take(self, length: int) -> bytes:
        self._expect(length)
        start = self.pos
        self.pos = start + length
        return self.data[start : self.pos]

    def _expect(self, length: int) -> None:
        """Each counted element takes at least a byte, so a count is checked before it is used."""
        if length > len(self.data) - self.pos:
            raise RemoteProtocolError("AMF3: a length or count goes beyond the input")

    def _spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise RemoteProtocolError("AMF3: too many values")
