"""Flex's externalizable classes: what their bodies hold.

Wrappers hold one AMF3 value. The small messages DSA, DSK and DSC hold sections (one for each
class of their inheritance); a section is flag bytes (7 flags each, the high bit says that
another follows) and then one AMF3 value for each flag that is set.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from pyamf.amf3 import ByteArray
from pyamf.flex import ArrayCollection, ObjectProxy
from pyamf.flex.messaging import AcknowledgeMessageExt, AsyncMessageExt, CommandMessageExt

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.wire.values import ArrayList, SerializationProxy

__all__ = ["KINDS", "LAST_WRAPPER", "SECTIONS", "fill_member", "fill_wrapper", "kind_of", "make"]

ARRAY_COLLECTION: Final = 1
ARRAY_LIST: Final = 2
OBJECT_PROXY: Final = 3
SERIALIZATION_PROXY: Final = 4
LAST_WRAPPER: Final = 4
ASYNC_SMALL: Final = 5
ACKNOWLEDGE_SMALL: Final = 6
COMMAND_SMALL: Final = 7

KINDS: Final[dict[str, int]] = {
    "flex.messaging.io.ArrayCollection": ARRAY_COLLECTION,
    "flex.messaging.io.ArrayList": ARRAY_LIST,
    "flex.messaging.io.ObjectProxy": OBJECT_PROXY,
    "flex.messaging.io.SerializationProxy": SERIALIZATION_PROXY,
    "DSA": ASYNC_SMALL,
    "DSK": ACKNOWLEDGE_SMALL,
    "DSC": COMMAND_SMALL,
}
NAMES: Final[dict[int, str]] = {kind: name for name, kind in KINDS.items()}

_CLASSES: Final[dict[int, Any]] = {
    ARRAY_COLLECTION: ArrayCollection,
    ARRAY_LIST: ArrayList,
    OBJECT_PROXY: ObjectProxy,
    SERIALIZATION_PROXY: SerializationProxy,
    ASYNC_SMALL: AsyncMessageExt,
    ACKNOWLEDGE_SMALL: AcknowledgeMessageExt,
    COMMAND_SMALL: CommandMessageExt,
}
_KIND_OF: Final[dict[type, int]] = {kls: kind for kind, kls in _CLASSES.items()}

# (section, number of the flag byte, bit) -> member. A set flag that is not here holds a value
# of a newer Flex, which is read and dropped. The second kind of id is 16 bytes of a UUID.
ABSTRACT: Final = 0
ASYNC: Final = 1
ACKNOWLEDGE: Final = 2
COMMAND: Final = 3
SECTIONS: Final[dict[int, tuple[int, ...]]] = {
    ASYNC_SMALL: (ABSTRACT, ASYNC),
    ACKNOWLEDGE_SMALL: (ABSTRACT, ASYNC, ACKNOWLEDGE),
    COMMAND_SMALL: (ABSTRACT, ASYNC, COMMAND),
}
MEMBERS: Final[dict[tuple[int, int, int], str]] = {
    (ABSTRACT, 0, 0): "body",
    (ABSTRACT, 0, 1): "clientId",
    (ABSTRACT, 0, 2): "destination",
    (ABSTRACT, 0, 3): "headers",
    (ABSTRACT, 0, 4): "messageId",
    (ABSTRACT, 0, 5): "timestamp",
    (ABSTRACT, 0, 6): "timeToLive",
    (ABSTRACT, 1, 0): "clientId",
    (ABSTRACT, 1, 1): "messageId",
    (ASYNC, 0, 0): "correlationId",
    (ASYNC, 0, 1): "correlationId",
    (COMMAND, 0, 0): "operation",
}
UUID_FLAGS: Final = frozenset({(ABSTRACT, 1, 0), (ABSTRACT, 1, 1), (ASYNC, 0, 1)})


def kind_of(value: object) -> int:
    """The kind of an instance of one of these classes, 0 for any other value."""
    return _KIND_OF.get(type(value), 0)


def make(kind: int) -> Any:
    """An empty instance; a small message's members are all null until they are read."""
    instance = _CLASSES[kind]()
    if kind > LAST_WRAPPER:
        instance.headers = None
    return instance


def fill_wrapper(kind: int, instance: Any, value: Any) -> None:
    """Put the wrapped value into the instance. Raises RemoteProtocolError if it does not fit."""
    if kind == SERIALIZATION_PROXY:
        instance.value = value
    elif kind == OBJECT_PROXY:
        # by __dict__, since the attribute's setter would copy the value and so lose its identity
        instance.__dict__["_amf_object"] = value
    elif isinstance(value, list):
        instance.extend(value)
    elif isinstance(value, dict) and isinstance(value.get("source"), list):
        instance.extend(value["source"])  # pyamf reads this form too; nobody is known to send it
    elif value is not None:
        raise RemoteProtocolError(f"AMF3: {type(instance).__name__} holds no array")


def wrapped(kind: int, instance: Any) -> object:
    """The value inside a wrapper."""
    if kind == SERIALIZATION_PROXY:
        return instance.value
    if kind == OBJECT_PROXY:
        return instance.__dict__["_amf_object"]
    return list(instance)


def fill_member(instance: Any, section: int, number: int, bit: int, value: Any) -> None:
    """Put one flagged value of a small message into it."""
    flag = (section, number, bit)
    name = MEMBERS.get(flag)
    if name is None:
        return
    if flag in UUID_FLAGS:
        content = value.getvalue() if isinstance(value, ByteArray) else b""
        if len(content) != 16:
            raise RemoteProtocolError(f"AMF3: {name} is no UUID of 16 bytes")
        value = UUID(bytes=content)
    setattr(instance, name, value)


def sections(kind: int, instance: Any) -> list[tuple[bytes, list[object]]]:
    """A small message as it is written: for each section its flag bytes and its values."""
    written: list[tuple[bytes, list[object]]] = []
    for section in SECTIONS[kind]:
        flags = [0, 0]
        values: list[object] = []
        for flag, name in MEMBERS.items():
            value = getattr(instance, name) if flag[0] == section else None
            if value is None or isinstance(value, UUID) != (flag in UUID_FLAGS):
                continue
            flags[flag[1]] |= 1 << flag[2]
            values.append(ByteArray(value.bytes) if isinstance(value, UUID) else value)
        head = bytes([flags[0] | 0x80, flags[1]]) if flags[1] else bytes([flags[0]])
        written.append((head, values))
    return written
