"""Holds decoded AMF values against the JSON form of the vector files (../shared/vectors).

`difference` says where a value is not what the vector says, or "" if it is. References are
compared by identity: what a vector calls slot n must be one and the same object.
"""

from __future__ import annotations

import math
import struct
from datetime import datetime
from typing import Any

import pyamf
from pyamf.amf3 import ByteArray
from pyamf.flex import ArrayCollection, ObjectProxy

from rtmp_sync.wire import values

_SCALARS = {"null": None, "undefined": pyamf.Undefined, "unsupported": values.UNSUPPORTED}
_NAMED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf, "-0": -0.0}
_VECTORS = {
    "vector-int": values.VectorInt,
    "vector-uint": values.VectorUint,
    "vector-double": values.VectorDouble,
    "vector-object": values.VectorObject,
}


def difference(expected: list[dict[str, Any]], actual: list[Any]) -> str:
    """Where the values of one message differ from the vector's, or ""."""
    if len(expected) != len(actual):
        return f"{len(actual)} values, not {len(expected)}"
    amf0: dict[int, Any] = {}
    amf3: dict[int, Any] = {}
    for number, (said, value) in enumerate(zip(expected, actual, strict=True)):
        found = _Comparison(amf0, amf3).of(said, value, f"[{number}]")
        if found:
            return found
    return ""


def same_double(one: float, other: float) -> bool:
    """The same bits, but for NaN, which are all alike."""
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return struct.pack(">d", one) == struct.pack(">d", other)


class _Comparison:
    def __init__(self, slots: dict[int, Any], inner: dict[int, Any]) -> None:
        self.slots = slots
        self.inner = inner

    def of(self, said: dict[str, Any], value: Any, path: str) -> str:
        kind = said["t"]
        if kind == "avmplus":
            return _Comparison(self.inner, self.inner).of(said["v"], value, path)
        if kind == "reference":
            return "" if self.slots[said["index"]] is value else f"{path} is not the same object"
        if "id" in said:
            self.slots[said["id"]] = value
        if kind in _SCALARS:
            return "" if value is _SCALARS[kind] else f"{path} = {value!r}, not {kind}"
        read = getattr(self, "_" + kind.replace("-", "_"))
        found: str = read(said, value, path)
        return found

    def _number(self, said: dict[str, Any], value: Any, path: str) -> str:
        wanted = _NAMED.get(said["v"], said["v"])
        right = type(value) in (float, int) and same_double(float(wanted), float(value))
        return "" if right else f"{path} = {value!r}, not {wanted}"

    _double = _number

    def _integer(self, said: dict[str, Any], value: Any, path: str) -> str:
        # a double once it has been written again as AMF0
        right = type(value) in (int, float) and value == said["v"]
        return "" if right else f"{path} = {value!r}, not {said['v']}"

    def _boolean(self, said: dict[str, Any], value: Any, path: str) -> str:
        return "" if value is said["v"] else f"{path} = {value!r}, not {said['v']}"

    def _text(self, said: dict[str, Any], value: Any, path: str, kind: type = str) -> str:
        wanted = said["v"] if "v" in said else said["v_repeat"][0] * said["v_repeat"][1]
        return "" if type(value) is kind and value == wanted else f"{path} = {value!r:.200}"

    _string = _long_string = _text

    def _xml(self, said: dict[str, Any], value: Any, path: str) -> str:
        kind = type(value) if isinstance(value, values.XML | values.XMLDocument) else values.XML
        return self._text(said, value, path, kind)

    _xml_document = _xml

    def _date(self, said: dict[str, Any], value: Any, path: str) -> str:
        ms = value.ms if isinstance(value, values.Date) else None
        if isinstance(value, datetime):
            ms = values.ms_from_date(value)
        wanted = float(_NAMED.get(said["ms"], said["ms"]))
        right = ms is not None and same_double(ms, wanted)
        return "" if right else f"{path} = {value!r}, not {said['ms']}"

    def _byte_array(self, said: dict[str, Any], value: Any, path: str) -> str:
        right = type(value) is ByteArray and bytes(value).hex() == said["hex"]
        return "" if right else f"{path} = {value!r}"

    def _mapping(
        self, pairs: list[Any], value: Any, path: str, kind: type, name: str | None
    ) -> str:
        if type(value) is not kind or (kind is pyamf.TypedObject and value.alias != name):
            return f"{path} is a {type(value).__name__}, not {name or kind.__name__}"
        last = dict(pairs)
        if [str(key) for key in value] != list(last):
            return f"{path} has the names {list(value)}, not {list(last)}"
        for key, said in pairs:
            # of a name that comes twice the last one stays, but each takes its slots
            if said is last[key]:
                found = self.of(said, value[key] if key in value else value[int(key)], path + key)
                if found:
                    return found
        return ""

    def _object(self, said: dict[str, Any], value: Any, path: str) -> str:
        pairs = [*said.get("sealed", ()), *said.get("props", ())]
        name = said.get("class") or None
        kind = pyamf.TypedObject if name else pyamf.ASObject
        if name in pyamf.CLASS_CACHE:
            kind = pyamf.CLASS_CACHE[name].klass
            return "" if type(value) is kind else f"{path} is a {type(value).__name__}, not {name}"
        return self._mapping(pairs, value, path, kind, name)

    def _typed_object(self, said: dict[str, Any], value: Any, path: str) -> str:
        return self._object(said, value, path)

    def _ecma_array(self, said: dict[str, Any], value: Any, path: str) -> str:
        return self._mapping(said["props"], value, path, pyamf.MixedArray, None)

    def _items(self, said: list[Any], value: Any, path: str) -> str:
        if len(said) != len(value):
            return f"{path} has {len(value)} items, not {len(said)}"
        for index, (wanted, item) in enumerate(zip(said, value, strict=True)):
            found = self.of(wanted, item, f"{path}[{index}]")
            if found:
                return found
        return ""

    def _strict_array(self, said: dict[str, Any], value: Any, path: str) -> str:
        if type(value) is not list:
            return f"{path} is a {type(value).__name__}"
        return self._items(said["items"], value, path)

    def _array(self, said: dict[str, Any], value: Any, path: str) -> str:
        if not said["assoc"]:
            return self._strict_array({"items": said["dense"]}, value, path)
        dense = [[str(index), item] for index, item in enumerate(said["dense"])]
        return self._mapping([*said["assoc"], *dense], value, path, pyamf.MixedArray, None)

    def _vector(self, said: dict[str, Any], value: Any, path: str) -> str:
        if type(value) is not _VECTORS[said["t"]] or value.fixed is not said["fixed"]:
            return f"{path} = {value!r:.200}"
        if said["t"] == "vector-object":
            if value.class_name != said["class"]:
                return f"{path} holds {value.class_name}"
            return self._items(said["items"], value, path)
        wanted = [{"t": "number", "v": item} for item in said["items"]]
        return self._items(wanted, value, path)

    _vector_int = _vector_uint = _vector_double = _vector_object = _vector

    def _dictionary(self, said: dict[str, Any], value: Any, path: str) -> str:
        if type(value) is not values.Dictionary or value.weak is not said["weak"]:
            return f"{path} = {value!r:.200}"
        wanted = [side for pair in said["entries"] for side in pair]
        return self._items(wanted, [side for pair in value for side in pair], path)

    def _externalizable(self, said: dict[str, Any], value: Any, path: str) -> str:
        (body,) = said["body"]
        if said["class"].endswith("ArrayCollection"):
            if type(value) is not ArrayCollection:
                return f"{path} is a {type(value).__name__}"
            if body["t"] == "object":  # pyamf's own form: the items are in the member `source`
                body = dict(body["props"])["source"]
            return self._items(body["dense"], list(value), path)
        if type(value) is not ObjectProxy:
            return f"{path} is a {type(value).__name__}"
        return self.of(body, value.__dict__["_amf_object"], path)
