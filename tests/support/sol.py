"""Local shared object files (.sol): a small reader, and a comparison with their publisher's tree.

file  = 00 BF, length u32, "TCSO", 6 bytes, name (u16 + text), 3 zero bytes, version u8, entry*
entry = name, value, 00        version 0: u16 + text, AMF0; 3: AMF3 string, AMF3
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pyamf
from pyamf.amf3 import ByteArray

from rtmp_sync.wire import values
from rtmp_sync.wire.amf0_reader import Amf0Reader
from rtmp_sync.wire.amf3_reader import Amf3Reader
from rtmp_sync.wire.limits import Limits

LIMITS = Limits(max_values=1_000_000)
DEPTH = 64


def read(data: bytes) -> tuple[int, list[tuple[str, Any]]]:
    """The AMF version and the slots in order."""
    assert data[:2] == b"\x00\xbf"
    assert data[6:10] == b"TCSO"
    pos = 16
    pos += 2 + int.from_bytes(data[pos : pos + 2], "big") + 3
    version = data[pos]
    pos += 1
    amf3 = Amf3Reader(data, pos, LIMITS)
    amf0 = Amf0Reader(data, pos, LIMITS)
    amf0.table.append({})  # the shared object itself is the first container of the file
    slots: list[tuple[str, Any]] = []
    size = 6 + int.from_bytes(data[2:6], "big")  # what lies behind is no part of it
    while pos < size:
        if version == 3:
            amf3.pos = pos
            name = amf3.string()
            slots.append((name, amf3.value(DEPTH)))
            pos = amf3.pos + 1
        else:
            end = pos + 2 + int.from_bytes(data[pos : pos + 2], "big")
            amf0.pos = end
            slots.append((data[pos + 2 : end].decode(), amf0.value(DEPTH)))
            pos = amf0.pos + 1
    assert pos == size
    return version, slots


def difference(said: Any, value: Any, path: str) -> str:
    """Where a value differs from the publisher's tree, or "". Cycles are cut there."""
    if isinstance(said, str):
        wanted = {"Null": None, "Undefined": pyamf.Undefined, "Unsupported": values.UNSUPPORTED}
        return "" if value is wanted[said] else f"{path} = {value!r}, not {said}"
    ((kind, content),) = said.items()
    if kind in ("Reference", "Amf3ObjectReference"):
        return "" if isinstance(value, dict | list) else f"{path} is no container"
    if kind in ("Number", "Integer", "Bool", "String"):
        # NaN and infinities are null there
        right = value == content if content is not None else value - value != 0
        return "" if right else f"{path} = {value!r}, not {content!r}"
    if kind == "Date":
        ms = value.ms if isinstance(value, values.Date) else None
        ms = values.ms_from_date(value) if isinstance(value, datetime) else ms
        return "" if ms == content[0] else f"{path} = {value!r}, not {content[0]}"
    if kind == "XML":
        return "" if value == content[0] else f"{path} = {value!r}"
    if kind == "ByteArray":
        items = content[1] if isinstance(content[-1], list) else content
        right = isinstance(value, ByteArray) and list(bytes(value)) == items
        return "" if right else f"{path} = {value!r}"
    return _container(kind, content, value, path)


def _container(kind: str, content: Any, value: Any, path: str) -> str:
    if kind == "Object":
        data = content.get("data", content)
        return _members(data["elements"], value, path)
    if kind == "ECMAArray":
        _, dense, named, _ = content
        pairs = [*named, *({"name": str(n), "value": item} for n, item in enumerate(dense))]
        return _members(pairs, value, path)
    if kind == "Custom":  # a flex collection: its body, decoded
        inner = value if isinstance(value, list) else value.__dict__["_amf_object"]
        body = content[0][0]["value"] if content[0] else content[1][0]["value"]
        return difference(body, inner, path)
    if kind == "Dictionary":
        _, pairs, _ = content
        keys = [difference(k, v[0], path + "{}") for (k, _), v in zip(pairs, value, strict=True)]
        return next(filter(None, keys), "") or _items(
            [v for _, v in pairs], [v for _, v in value], path
        )
    if kind == "StrictArray":
        return _items(content[1], value, path)
    if kind == "VectorObject":
        return _items(content[1], value, path)
    if kind in ("VectorInt", "VectorUInt", "VectorDouble"):
        tagged = [{"Number": item} for item in content[0]]
        return _items(tagged, value, path)
    raise AssertionError(f"{kind} is not known here")


def _items(said: list[Any], value: Any, path: str) -> str:
    if len(said) != len(value):
        return f"{path} has {len(value)} items, not {len(said)}"
    found = (
        difference(wanted, item, f"{path}[{index}]")
        for index, (wanted, item) in enumerate(zip(said, value, strict=True))
    )
    return next(filter(None, found), "")


def _members(said: list[Any], value: Any, path: str) -> str:
    if isinstance(value, list):
        return _items([pair["value"] for pair in said], value, path)
    last = {pair["name"]: pair["value"] for pair in said}
    if {str(name) for name in value} != set(last):
        return f"{path} has the names {list(value)}, not {list(last)}"
    found = (difference(last[str(name)], item, f"{path}.{name}") for name, item in value.items())
    return next(filter(None, found), "")
