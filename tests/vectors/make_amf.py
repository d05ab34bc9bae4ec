"""Makes tests/vectors/amf0.json and amf3.json:  python -m tests.vectors.make_amf

Part by hand from the layouts (the bytes are spelled out below), part by pyamf. The form is that
of the shared vectors; one vector a line.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pyamf
from pyamf.flex import ArrayCollection, ObjectProxy

FOLDER = Path(__file__).parent
Tagged = dict[str, Any]


def text(value: str) -> Tagged:
    return {"t": "string", "v": value}


def number(value: float) -> Tagged:
    return {"t": "number", "v": value}


def integer(value: int) -> Tagged:
    return {"t": "integer", "v": value}


def avmplus(value: Tagged) -> Tagged:
    return {"t": "avmplus", "v": value}


def ref(index: int) -> Tagged:
    return {"t": "reference", "index": index}


def anonymous(slot: int, *pairs: list[Any]) -> Tagged:
    """AMF3's anonymous dynamic object."""
    return {
        "t": "object",
        "id": slot,
        "class": "",
        "dynamic": True,
        "sealed": [],
        "props": list(pairs),
    }


NULL = {"t": "null"}
TRUE = {"t": "boolean", "v": True}
COLLECTION = b"flex.messaging.io.ArrayCollection".hex()
PROXY = b"flex.messaging.io.ObjectProxy".hex()

# name, bytes (or pieces of them and how often), values
AMF0: list[tuple[str, str | list[Any], list[Tagged]]] = [
    ("no-values", "", []),
    ("number-negative-zero", "008000000000000000", [{"t": "number", "v": "-0"}]),
    ("number-infinity", "007ff0000000000000", [{"t": "number", "v": "Infinity"}]),
    ("number-subnormal", "000000000000000001", [number(5e-324)]),
    ("number-signalling-nan", "007ff0000000000001", [{"t": "number", "v": "NaN"}]),
    ("boolean-false", "0100", [{"t": "boolean", "v": False}]),
    ("boolean-two", "0102", [TRUE]),
    ("string-empty", "020000", [text("")]),
    ("string-four-bytes-a-letter", "020004f09f9982", [text("🙂")]),
    ("string-byte-order-mark", "020004efbbbf61", [text("\ufeffa")]),
    ("long-string-empty", "0c00000000", [{"t": "long-string", "v": ""}]),
    ("undefined-unsupported", "060d", [{"t": "undefined"}, {"t": "unsupported"}]),
    (
        "object-name-twice",
        "03" + "000161" + "0101" + "000161" + "05" + "000009",
        [{"t": "object", "id": 0, "props": [["a", TRUE], ["a", NULL]]}],
    ),
    (
        "object-nine-behind-a-name",
        "03" + "000109" + "05" + "000009",
        [{"t": "object", "id": 0, "props": [["\t", NULL]]}],
    ),
    (
        "object-only-empty-name",
        "03" + "0000" + "05" + "000009",
        [{"t": "object", "id": 0, "props": [["", NULL]]}],
    ),
    (
        "ecma-array-count-zero",
        "0800000000" + "000130" + "05" + "000009",
        [{"t": "ecma-array", "id": 0, "count": 0, "props": [["0", NULL]]}],
    ),
    ("strict-array-empty", "0a00000000", [{"t": "strict-array", "id": 0, "items": []}]),
    (
        "strict-array-in-itself",
        "0a00000002" + "070000" + "05",
        [{"t": "strict-array", "id": 0, "items": [ref(0), NULL]}],
    ),
    (
        "reference-to-an-earlier-value",
        "03000009" + "0a00000001" + "070000" + "070001",
        [
            {"t": "object", "id": 0, "props": []},
            {"t": "strict-array", "id": 1, "items": [ref(0)]},
            ref(1),
        ],
    ),
    (
        "dates-take-no-slot",
        "0b42711a3e8e0a00000000" + "0a00000000" + "070000",
        [
            {"t": "date", "ms": 1175276019872, "tz": 0},
            {"t": "strict-array", "id": 0, "items": []},
            ref(0),
        ],
    ),
    ("date-nan", "0b7ff80000000000000000", [{"t": "date", "ms": "NaN", "tz": 0}]),
    ("date-fraction", "0b3fd55555555555550000", [{"t": "date", "ms": 1 / 3, "tz": 0}]),
    (
        "date-year-300000",
        "0b" + struct.pack(">d", 9.4e15).hex() + "0000",
        [{"t": "date", "ms": 9.4e15, "tz": 0}],
    ),
    (
        "long-string",
        [["0c00010000", 1], ["c3a9", 32_768]],
        [{"t": "long-string", "v_repeat": ["é", 32_768]}],
    ),
    ("xml-document", "0f000000043c612f3e", [{"t": "xml-document", "v": "<a/>"}]),
    (
        "typed-object-refers-to-itself",
        "10" + "0003412e42" + "000173" + "070000" + "000009",
        [{"t": "typed-object", "id": 0, "class": "A.B", "props": [["s", ref(0)]]}],
    ),
    (
        "avmplus-takes-no-slot-here",
        "11" + "090101" + "0a00000000" + "070000",
        [
            avmplus({"t": "array", "id": 0, "assoc": [], "dense": []}),
            {"t": "strict-array", "id": 0, "items": []},
            ref(0),
        ],
    ),
    (
        "avmplus-strings-live-on",
        "11" + "060361" + "05" + "11" + "0600",
        [avmplus(text("a")), NULL, avmplus(text("a"))],
    ),
    (
        "avmplus-inside-an-object",
        "03" + "000161" + "11" + "0407" + "000162" + "0101" + "000009",
        [{"t": "object", "id": 0, "props": [["a", avmplus(integer(7))], ["b", TRUE]]}],
    ),
    (
        "onMetaData",
        "02000a6f6e4d65746144617461"
        + "0800000000"
        + "00057769647468"
        + "004094000000000000"
        + "000009",
        [
            text("onMetaData"),
            {"t": "ecma-array", "id": 0, "count": 0, "props": [["width", number(1280.0)]]},
        ],
    ),
]

AMF3: list[tuple[str, str | list[Any], list[Tagged]]] = [
    ("integer-least", "04c0808000", [integer(-268435456)]),
    ("integer-most", "04bfffffff", [integer(268435455)]),
    ("integer-written-long", "0480808001", [integer(1)]),
    ("double-integral", "053ff0000000000000", [{"t": "double", "v": 1}]),
    ("string-length-written-long", "06800361", [text("a")]),
    (
        "string-empty-is-never-referred-to",
        "060106036106010600",
        [text(t) for t in ("", "a", "", "a")],
    ),
    (
        "array-names-then-items",
        "0905" + "0361" + "03" + "01" + "01" + "0401",
        [{"t": "array", "id": 0, "assoc": [["a", TRUE]], "dense": [NULL, integer(1)]}],
    ),
    (
        "array-sparse",
        "0903" + "0335" + "02" + "01" + "03",
        [{"t": "array", "id": 0, "assoc": [["5", {"t": "boolean", "v": False}]], "dense": [TRUE]}],
    ),
    (
        "array-in-itself",
        "090301" + "0900",
        [{"t": "array", "id": 0, "assoc": [], "dense": [ref(0)]}],
    ),
    (
        "object-value-refers-to-name",
        "0a0b01" + "0361" + "0600" + "01",
        [anonymous(0, ["a", text("a")])],
    ),
    (
        "object-sealed-and-dynamic",
        "0a1b" + "07412e42" + "0378" + "0401" + "0379" + "0402" + "01",
        [
            {
                "t": "object",
                "id": 0,
                "class": "A.B",
                "dynamic": True,
                "sealed": [["x", integer(1)]],
                "props": [["y", integer(2)]],
            }
        ],
    ),
    (
        "object-traits-by-reference",
        "0a13" + "07412e42" + "0378" + "0401" + "0a01" + "0402",
        [
            {
                "t": "object",
                "id": slot,
                "class": "A.B",
                "dynamic": False,
                "sealed": [["x", integer(slot + 1)]],
            }
            for slot in (0, 1)
        ],
    ),
    (
        "object-class-name-by-reference",
        "0607412e42" + "0a0b" + "00" + "01",
        [
            text("A.B"),
            {"t": "object", "id": 0, "class": "A.B", "dynamic": True, "sealed": [], "props": []},
        ],
    ),
    (
        "dates-take-a-slot",
        "08010000000000000000" * 2 + "0802",
        [{"t": "date", "id": 0, "ms": 0}, {"t": "date", "id": 1, "ms": 0}, ref(1)],
    ),
    ("date-nan", "08017ff8000000000000", [{"t": "date", "id": 0, "ms": "NaN"}]),
    ("date-bits-ignored", "087f0000000000000000", [{"t": "date", "id": 0, "ms": 0}]),
    ("xml", "0b093c612f3e", [{"t": "xml", "id": 0, "v": "<a/>"}]),
    ("xml-document", "07093c612f3e", [{"t": "xml-document", "id": 0, "v": "<a/>"}]),
    (
        "xml-is-not-in-the-string-table",
        "0b0361" + "060362" + "0600",
        [{"t": "xml", "id": 0, "v": "a"}, text("b"), text("b")],
    ),
    ("byte-array", "0c0700ff78", [{"t": "byte-array", "id": 0, "hex": "00ff78"}]),
    ("byte-array-zlib-header", "0c05789c", [{"t": "byte-array", "id": 0, "hex": "789c"}]),
    (
        "vector-int-any-flag-is-fixed",
        "0d03ffffffffff",
        [{"t": "vector-int", "id": 0, "fixed": True, "items": [-1]}],
    ),
    (
        "vector-uint",
        "0e0300ffffffff",
        [{"t": "vector-uint", "id": 0, "fixed": False, "items": [4294967295]}],
    ),
    (
        "vector-double-empty",
        "0f0100",
        [{"t": "vector-double", "id": 0, "fixed": False, "items": []}],
    ),
    (
        "vector-object-class-by-reference-and-itself",
        "0607412e42" + "100501" + "00" + "01" + "1000",
        [
            text("A.B"),
            {"t": "vector-object", "id": 0, "fixed": True, "class": "A.B", "items": [NULL, ref(0)]},
        ],
    ),
    (
        "dictionary-keys-of-all-kinds",
        "110700" + "0a0b0101" + "0401" + "0402" + "060361" + "0a02" + "1100",
        [
            {
                "t": "dictionary",
                "id": 0,
                "weak": False,
                "entries": [
                    [anonymous(1), integer(1)],
                    [integer(2), text("a")],
                    [ref(1), ref(0)],
                ],
            }
        ],
    ),
    (
        "collection-and-its-array-take-two-slots",
        "0a07" + "43" + COLLECTION + "090301" + "0401" + "0902",
        [
            {
                "t": "externalizable",
                "id": 0,
                "class": "flex.messaging.io.ArrayCollection",
                "body": [{"t": "array", "id": 1, "assoc": [], "dense": [integer(1)]}],
            },
            {"t": "array", "id": 2, "assoc": [], "dense": [integer(1)]},
        ],
    ),
    (
        "proxy",
        "0a07" + "3b" + PROXY + "0a0b01" + "0361" + "03" + "01",
        [
            {
                "t": "externalizable",
                "id": 0,
                "class": "flex.messaging.io.ObjectProxy",
                "body": [anonymous(1, ["a", TRUE])],
            }
        ],
    ),
]

# name, bytes, why
AMF0_ERRORS = [
    ("movieclip", "04", "reserved marker 0x04"),
    ("object-end-as-value", "09", "end mark where a value should be"),
    ("object-end-behind-a-name", "030001610900", "end mark behind a name"),
    ("marker-ff", "ff", "unknown marker"),
    ("string-longer-than-input", "02ffff61", "length exceeds input"),
    ("long-string-of-2-31", "0c80000000", "length exceeds input"),
    ("strict-array-of-2-31", "0a80000000", "count exceeds input"),
    ("surrogate", "020003eda080", "invalid UTF-8"),
    ("overlong-nul", "020002c080", "invalid UTF-8"),
    ("name-not-utf8", "030001ff05000009", "invalid UTF-8"),
    ("reference-to-what-comes-later", "0700000a00000000", "reference out of range"),
    ("reference-to-avmplus-value", "11090101070000", "reference out of range"),
    ("avmplus-reference-to-amf0-value", "0a00000000110900", "reference out of range"),
    ("nested-10000", [["0a00000001", 10_000], ["05", 1]], "nested too deep"),
    ("nested-100000-objects", [["03000161", 100_000]], "nested too deep"),
]
AMF3_ERRORS = [
    ("u29-cut", "04808080", "unexpected end"),
    ("u29-length-of-2-28", "06ffffffff", "length exceeds input"),
    ("object-reference-out-of-range", "0a00", "reference out of range"),
    ("string-reference-out-of-range-as-name", "0a0b0100", "reference out of range"),
    ("double-cut", "05000000000000", "unexpected end"),
    ("dictionary-count", "11ffffffff00", "count exceeds input"),
    ("vector-uint-count", "0effffffff00", "count exceeds input"),
    ("vector-double-cut", "0f03003ff0", "unexpected end"),
    ("array-without-items", "090501", "unexpected end"),
    ("array-without-end-of-names", "0901036101", "unexpected end"),
    ("sealed-count", "0affffff7301", "count exceeds input"),
    ("externalizable-module", "0a0713" + b"os.system".hex(), "externalizable, not known"),
    ("collection-of-an-integer", "0a0743" + COLLECTION + "0401", "no array inside"),
    ("nested-100000-objects", [["0a0b010361", 100_000]], "nested too deep"),
    ("nested-100000-dictionaries", [["11030001", 100_000]], "nested too deep"),
    ("xml-not-utf8", "0b03ff", "invalid UTF-8"),
]

# legal, and a careful writer writes it in another form
NOT_CANONICAL = {
    "object-name-twice",
    "integer-written-long",
    "string-length-written-long",
    "date-bits-ignored",
    "vector-int-any-flag-is-fixed",
    "collection-and-its-array-take-two-slots",
}

# what pyamf writes: name, Python value, the same as tags in AMF0 and in AMF3
PYAMF: list[tuple[str, Any, Tagged | None, Tagged | None]] = [
    (
        "status-object",
        pyamf.ASObject(level="status"),
        {"t": "object", "id": 0, "props": [["level", text("status")]]},
        anonymous(0, ["level", text("status")]),
    ),
    (
        "list",
        ["a", "a", None],
        {"t": "strict-array", "id": 0, "items": [text("a"), text("a"), NULL]},
        {"t": "array", "id": 0, "assoc": [], "dense": [text("a"), text("a"), NULL]},
    ),
    ("float", 0.1, number(0.1), {"t": "double", "v": 0.1}),
    ("int", -5, number(-5), integer(-5)),
    (
        "mixed-array",
        pyamf.MixedArray(a="b"),
        {"t": "ecma-array", "id": 0, "count": 0, "props": [["a", text("b")]]},
        {"t": "array", "id": 0, "assoc": [["a", text("b")]], "dense": []},
    ),
    (
        "collection",
        ArrayCollection(["a"]),
        None,
        {
            "t": "externalizable",
            "id": 0,
            "class": "flex.messaging.io.ArrayCollection",
            "body": [{"t": "array", "id": 1, "assoc": [], "dense": [text("a")]}],
        },
    ),
    (
        "proxy",
        ObjectProxy(pyamf.ASObject(a="b")),
        None,
        {
            "t": "externalizable",
            "id": 0,
            "class": "flex.messaging.io.ObjectProxy",
            "body": [anonymous(1, ["a", text("b")])],
        },
    ),
]


def vectors(encoding: int) -> list[dict[str, Any]]:
    """All vectors of AMF0 (0) or AMF3 (3)."""
    accepted, refused = (AMF3, AMF3_ERRORS) if encoding == 3 else (AMF0, AMF0_ERRORS)
    by_hand = {"kind": "constructed-from-layout"}
    found = [
        {
            "name": name,
            **written(data),
            "values": values,
            "expect": "value",
            "canonical": name not in NOT_CANONICAL,
            "source": by_hand,
        }
        for name, data, values in accepted
    ]
    for name, value, *tags in PYAMF:
        said = tags[encoding // 3]
        if said is not None:
            data = pyamf.encode(value, encoding=encoding).getvalue()
            source = {"kind": "generated-by-independent-encoder", "repo": "StdCarrot/Py3AMF"}
            found.append(
                {
                    "name": f"pyamf-{name}",
                    "hex": data.hex(),
                    "values": [said],
                    "expect": "value",
                    "source": source,
                }
            )
    for vector in found:
        vector["types"] = sorted(kinds(vector["values"]))
    for name, data, reason in refused:
        said = {"expect": "error", "reason": reason, "source": by_hand}
        found.append({"name": f"reject-{name}", **written(data), **said})
    return [{"format": f"amf{encoding}", **vector} for vector in found]


def written(data: str | list[Any]) -> dict[str, Any]:
    """The bytes, spelled out or as pieces."""
    return {"hex" if isinstance(data, str) else "hex_repeat": data}


def kinds(value: Any) -> set[str]:
    """All tags that occur."""
    if isinstance(value, list):
        return set().union(*(kinds(item) for item in value))
    if not isinstance(value, dict):
        return set()
    return {value["t"]}.union(*(kinds(item) for item in value.values()))


def lines(encoding: int) -> str:
    """The file's content."""
    rows = ",\n".join(json.dumps(vector, ensure_ascii=False) for vector in vectors(encoding))
    return f"[\n{rows}\n]\n"


if __name__ == "__main__":
    for version in (0, 3):
        (FOLDER / f"amf{version}.json").write_text(lines(version))
