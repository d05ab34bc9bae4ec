"""Between a class name on the wire and pyamf's registry of classes.

Only what is registered already is ever used: `pyamf.get_class_alias` would import a module
because a peer named it, so it is not called here.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import pyamf
import pyamf.amf3

from rtmp_sync.errors import LocalProtocolError, RemoteProtocolError

__all__ = [
    "alias_of",
    "attributes_of",
    "fill",
    "make",
    "read_itself",
    "sealed_names",
    "write_itself",
]

_REGISTERED: Final[dict[Any, Any]] = pyamf.CLASS_CACHE


def alias_of(key: str | type) -> Any:
    """pyamf's ClassAlias registered for a class or for its name on the wire, or None."""
    alias = _REGISTERED.get(key)
    if alias is not None:
        alias.compile()
    return alias


def make(alias: Any) -> Any:
    """An empty instance of a registered class."""
    try:
        return alias.createInstance()
    except Exception as error:  # application code: whatever it raises, the peer asked for it
        raise RemoteProtocolError(f"class {alias.alias} cannot be made: {error}") from error


def fill(alias: Any, instance: object, attributes: dict[str, object]) -> None:
    """Hand the attributes that were read to the instance, by the class's own rules."""
    for name in attributes:
        if name.startswith("__"):  # Python's own, which no peer may set on an object of ours
            raise RemoteProtocolError(f"class {alias.alias} has no member {name}")
    try:
        alias.applyAttributes(instance, attributes)
    except Exception as error:  # application code: whatever it raises, the peer sent that
        raise RemoteProtocolError(f"class {alias.alias} refuses its members: {error}") from error


def attributes_of(alias: Any, instance: object) -> dict[Any, Any]:
    """What of a registered class's instance goes on the wire."""
    try:
        found: dict[Any, Any] = alias.getEncodableAttributes(instance)
    except Exception as error:  # application code: whatever it raises, we were asked to send it
        raise LocalProtocolError(f"class {alias.alias} gives no members: {error}") from error
    return found


def sealed_names(alias: Any) -> tuple[list[str], bool]:
    """AMF3 traits of a registered class: its sealed members, and whether it takes others too."""
    definition = pyamf.amf3.ClassDefinition(alias)
    dynamic = definition.encoding == pyamf.amf3.ObjectEncoding.DYNAMIC
    return list(alias.static_attrs or ()), dynamic


class _Peeled:
    """What pyamf's DataInput and DataOutput expect of a codec: a stream, and whole values."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.context = None
        self.strict = False


class _Source(_Peeled):
    def __init__(self, stream: Any, read: Any) -> None:
        super().__init__(stream)
        self._read = read

    def readElement(self) -> object:
        value, end = self._read(self.stream.tell())
        self.stream.seek(end)
        return value


class _Target(_Peeled):
    def __init__(self, stream: Any, write: Any) -> None:
        super().__init__(stream)
        self._write = write

    def writeElement(self, value: object) -> None:
        self.stream.write(self._write(value))


def read_itself(instance: Any, stream: Any, read: Any) -> int:
    """Let a registered externalizable class read its body from `stream`; return the end.

    read: (position) -> (value, end), for whole AMF3 values inside the body.
    """
    try:
        instance.__readamf__(pyamf.amf3.DataInput(_Source(stream, read)))
    except (RemoteProtocolError, IndexError, struct.error, UnicodeDecodeError):
        raise
    except Exception as error:  # application code: whatever it raises, the peer sent that
        raise RemoteProtocolError(f"{type(instance).__name__} refuses its body: {error}") from error
    end: int = stream.tell()
    return end


def write_itself(instance: Any, write: Any) -> bytes:
    """The body of a registered externalizable class; write: (value) -> its AMF3 bytes."""
    stream = pyamf.util.BufferedByteStream()
    try:
        instance.__writeamf__(pyamf.amf3.DataOutput(_Target(stream, write)))
    except LocalProtocolError:
        raise
    except Exception as error:  # application code: whatever it raises, we were asked to send it
        raise LocalProtocolError(f"{type(instance).__name__} gives no body: {error}") from error
    body: bytes = stream.getvalue()
    return body
