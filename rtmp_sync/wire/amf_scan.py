"""Checks AMF values without building them, so that their bytes can be passed on as they are.

A shared object's value is accepted by what is checked here and then spliced into messages of
others. Accepted are the bytes that the readers accept, except what only a class itself can
refuse (a registered class its members, a flex class a body of the wrong type).

A ScanContext is the reference tables of one message, reduced to what the check needs: sizes,
which strings name an externalizable class, what each class definition says. They grow exactly
as a reader's would, so it is known of each reference whether it points into its own value.
"""

from __future__ import annotations

from typing import Final, final

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.wire import flex
from rtmp_sync.wire.limits import DEFAULT, Limits

__all__ = ["HAS_AMF3", "HAS_REFERENCE", "REFERS_OUTSIDE", "ScanContext", "scan"]

HAS_REFERENCE: Final = 1
"""The value refers to something: an object, a string or a class definition."""
REFERS_OUTSIDE: Final = 2
"""Its references count from earlier values of the message: they point at those, or at itself
with an index that only holds in this place. Alone, its bytes mean nothing or something else."""
HAS_AMF3: Final = 4
"""It holds the marker 0x11, which a peer with object encoding 0 may not understand."""

_NAME_LENGTHS: Final = frozenset(len(name) for name in flex.KINDS)


@final
class _Definition:
    def __init__(self, members: int, dynamic: bool, external: bool, kind: int) -> None:
        self.members = members
        self.dynamic = dynamic
        self.external = external
        self.kind = kind  # of wire.flex; 0 is any other class


@final
class ScanContext:
    """One per message. `flags` tells of the last value that was scanned."""

    def __init__(self) -> None:
        self.flags = 0
        self._data = b""
        self._pos = 0
        self._used = 0
        self._byte_arrays = 0
        self._max_values = 0
        self._max_byte_arrays = 0
        self._table = 0
        self._strings: list[int] = []  # the kind of flex class that a string names, mostly 0
        self._objects = 0
        self._definitions: list[_Definition] = []
        self._table_before = 0
        self._strings_before = 0
        self._objects_before = 0
        self._definitions_before = 0

    def value(self, data: bytes, offset: int, limits: Limits) -> int:
        """`scan` without its translation of errors."""
        self._data = data
        self._pos = offset
        self._max_values = limits.max_values
        self._max_byte_arrays = limits.max_byte_arrays
        self._table_before = self._table
        self._strings_before = len(self._strings)
        self._objects_before = self._objects
        self._definitions_before = len(self._definitions)
        self.flags = 0
        self._amf0(limits.max_depth)
        return self._pos

    # AMF0 -----------------------------------------------------------------------------------

    def _amf0(self, depth: int) -> None:
        data = self._data
        pos = self._pos
        marker = data[pos]
        self._spend(1)
        if marker == 2:
            self._text(pos + 3, data[pos + 1] << 8 | data[pos + 2])
        elif marker == 0:
            self._pos = pos + 9
        elif marker == 1:
            self._pos = pos + 2
        elif marker == 5 or marker == 6 or marker == 13:
            self._pos = pos + 1
        elif marker == 11:
            self._pos = pos + 11
        elif marker == 7:
            self._pos = pos + 3
            self._refer(data[pos + 1] << 8 | data[pos + 2], self._table, self._table_before)
        elif marker == 12 or marker == 15:
            self._text(pos + 5, self._u32(pos + 1))
        elif marker == 3 or marker == 8 or marker == 10 or marker == 16 or marker == 17:
            if depth <= 0:
                raise RemoteProtocolError("AMF0: nested too deep")
            self._container(marker, pos + 1, depth - 1)
        else:
            raise RemoteProtocolError(f"AMF0: marker 0x{marker:02x} where a value should be")

    def _container(self, marker: int, pos: int, depth: int) -> None:
        data = self._data
        self._pos = pos
        if marker == 17:
            self.flags |= HAS_AMF3
            self._amf3(depth)
            return
        self._table += 1
        if marker == 10:
            count = self._u32(pos)
            self._pos = pos + 4
            self._expect(count)
            for _ in range(count):
                self._amf0(depth)
            return
        if marker == 8:
            self._pos = pos + 4
        elif marker == 16:
            self._text(pos + 2, data[pos] << 8 | data[pos + 1])
        while True:
            start = self._pos + 2
            end = start + (data[start - 2] << 8 | data[start - 1])
            if end == start and data[end] == 9:
                self._pos = end + 1
                return
            data[start:end].decode()
            self._pos = end
            self._amf0(depth)

    # AMF3 -----------------------------------------------------------------------------------

    def _amf3(self, depth: int) -> None:
        marker = self._data[self._pos]
        self._pos += 1
        self._spend(1)
        if marker == 6:
            self._string()
        elif marker == 4:
            self._u29()
        elif marker == 5:
            self._pos += 8
        elif marker > 0x11:
            raise RemoteProtocolError(f"AMF3: unknown marker 0x{marker:02x}")
        elif marker > 3:
            head = self._u29()
            if not head & 1:
                self._refer(head >> 1, self._objects, self._objects_before)
            elif marker == 0x0A:
                self._object(head, depth)
            else:
                self._objects += 1
                self._complex(marker, head >> 1, depth)

    def _complex(self, marker: int, count: int, depth: int) -> None:
        if marker == 0x08:
            self._pos += 8
        elif marker == 0x07 or marker == 0x0B:
            self._text(self._pos, count)
        elif marker == 0x0C:
            self._byte_arrays += 1
            if self._byte_arrays > self._max_byte_arrays:
                raise RemoteProtocolError("AMF3: too many byte arrays")
            self._pos += count
        elif depth <= 0:
            raise RemoteProtocolError("AMF3: nested too deep")
        elif marker == 0x09:
            self._expect(count)
            self._properties(depth - 1)
            self._values(count, depth - 1)
        elif marker == 0x11:
            self._expect(2 * count)
            self._pos += 1
            self._values(2 * count, depth - 1)
        elif marker == 0x10:
            self._expect(count)
            self._pos += 1
            self._string()
            self._values(count, depth - 1)
        else:
            self._spend(count)
            self._pos += 1 + count * (8 if marker == 0x0F else 4)

    def _values(self, count: int, depth: int) -> None:
        for _ in range(count):
            self._amf3(depth)

    def _properties(self, depth: int) -> None:
        while self._string():
            self._amf3(depth)

    def _object(self, head: int, depth: int) -> None:
        if depth <= 0:
            raise RemoteProtocolError("AMF3: nested too deep")
        definition = self._definition(head)
        self._objects += 1
        if definition.external:
            self._external(definition.kind, depth - 1)
            return
        self._values(definition.members, depth - 1)
        if definition.dynamic:
            self._properties(depth - 1)

    def _definition(self, head: int) -> _Definition:
        if not head & 2:
            index = head >> 2
            self._refer(index, len(self._definitions), self._definitions_before)
            return self._definitions[index]
        external = head & 4 != 0
        members = 0 if external else head >> 4
        self._expect(members)
        self._spend(members)
        kind = self._string() - 1
        for _ in range(members):
            self._string()
        definition = _Definition(members, head & 8 != 0, external, kind)
        self._definitions.append(definition)
        return definition

    def _external(self, kind: int, depth: int) -> None:
        if kind <= 0:
            raise RemoteProtocolError("AMF3: an externalizable class that is not known")
        if kind <= flex.LAST_WRAPPER:
            self._amf3(depth)
            return
        for _ in flex.SECTIONS[kind]:
            bits = 0
            more = True
            while more:
                flag = self._data[self._pos]
                self._pos += 1
                bits += (flag & 0x7F).bit_count()
                more = flag & 0x80 != 0
            self._values(bits, depth)

    def _string(self) -> int:
        """0 for the empty string, else 1 + the kind of flex class that the string names."""
        head = self._u29()
        if not head & 1:
            index = head >> 1
            self._refer(index, len(self._strings), self._strings_before)
            return 1 + self._strings[index]
        if head == 1:
            return 0
        length = head >> 1
        start = self._pos
        self._text(start, length)
        kind = 0
        if length in _NAME_LENGTHS:
            kind = flex.KINDS.get(self._data[start : start + length].decode(), 0)
        self._strings.append(kind)
        return 1 + kind

    def _u29(self) -> int:
        data = self._data
        pos = self._pos
        number = 0
        for _ in range(3):
            byte = data[pos]
            pos += 1
            if byte < 0x80:
                self._pos = pos
                return number << 7 | byte
            number = number << 7 | byte & 0x7F
        self._pos = pos + 1
        return number << 8 | data[pos]

    # both -----------------------------------------------------------------------------------

    def _u32(self, pos: int) -> int:
        data = self._data
        return data[pos] << 24 | data[pos + 1] << 16 | data[pos + 2] << 8 | data[pos + 3]

    def _text(self, start: int, length: int) -> None:
        end = start + length
        self._pos = end
        self._data[start:end].decode()

    def _refer(self, index: int, size: int, before: int) -> None:
        if index >= size:
            raise RemoteProtocolError("AMF: a reference points to nothing")
        self.flags |= HAS_REFERENCE | REFERS_OUTSIDE if before else HAS_REFERENCE

    def _expect(self, count: int) -> None:
        """Each counted element takes at least a byte, so a count is checked before it is used."""
        if count > len(self._data) - self._pos:
            raise RemoteProtocolError("AMF: a count goes beyond the input")

    def _spend(self, count: int) -> None:
        self._used += count
        if self._used > self._max_values:
            raise RemoteProtocolError("AMF: too many values")


def scan(data: bytes, offset: int, context: ScanContext, limits: Limits = DEFAULT) -> int:
    """Check the AMF0 value at `offset`; return where it ends. `context.flags` tells of it.

    Raises RemoteProtocolError for what `decode` refuses; the context is then of no more use.
    """
    if len(data) - offset > limits.max_bytes:
        raise RemoteProtocolError(f"AMF: {len(data) - offset} bytes are more than the limit")
    try:
        end = context.value(data, offset, limits)
    except IndexError:
        raise RemoteProtocolError("AMF: the input ends inside a value") from None
    except UnicodeDecodeError as error:
        raise RemoteProtocolError(f"AMF: a string is not UTF-8: {error}") from None
    if end > len(data):
        raise RemoteProtocolError("AMF: the input ends inside a value")
    return end
