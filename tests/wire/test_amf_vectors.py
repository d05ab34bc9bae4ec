"""Every AMF vector, ours and the shared ones: decoded, written again, cut short."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.wire import amf0, amf3
from tests.support import rtmp_vectors
from tests.support.amf_vectors import difference
from tests.support.rtmp_vectors import OWN, Vector, data_of
from tests.vectors import make_amf

LONG = 20_000
"""A vector longer than this is not cut at each of its bytes, which would be quadratic."""

ALL = [
    pytest.param(codec, *case.values, id=f"{name}-{case.id}", marks=case.marks)
    for codec, name in ((amf0, "amf0"), (amf3, "amf3"))
    for case in rtmp_vectors.load(f"{name}.json")
]
ACCEPTED = [case for case in ALL if case.values[1].get("expect") != "error"]
SHORT = [case for case in ACCEPTED if case.marks or len(data_of(case.values[1])) <= LONG]

# Vectors that are legal and whose writer chose another form than ours.
OTHER_FORM = {
    "amfjs-vector-object",  # one class definition twice
    "amfjs-vector-object-and-reference",  # the same
    "test_source_attr-1",  # an ArrayCollection around an object
}


@pytest.mark.parametrize(("codec", "vector"), ALL)
def test_a_vector_decodes_to_its_value_or_is_refused(codec: ModuleType, vector: Vector) -> None:
    if vector["name"] == "reject-empty-input":
        assert codec.decode(b"") == []
    elif vector["expect"] == "error":
        with pytest.raises(RemoteProtocolError):
            codec.decode(data_of(vector))
    else:
        assert difference(vector["values"], codec.decode(data_of(vector))) == ""


@pytest.mark.parametrize(("codec", "vector"), ACCEPTED)
def test_an_accepted_vector_written_again_has_the_same_value(
    codec: ModuleType, vector: Vector
) -> None:
    written = codec.encode(*codec.decode(data_of(vector)))
    assert difference(vector["values"], codec.decode(written)) == ""
    if is_canonical(vector):
        assert written == data_of(vector)


@pytest.mark.parametrize(("codec", "vector"), SHORT)
def test_a_vector_cut_anywhere_but_behind_a_value_is_refused(
    codec: ModuleType, vector: Vector
) -> None:
    data = data_of(vector)
    boundaries = {0}
    # one value more each time, in one context each, since later values refer to earlier ones
    for count in range(1, len(vector["values"]) + 1):
        boundaries.add(codec.decode_at(data, 0, count)[1])
    for end in range(len(data)):
        if end in boundaries:
            codec.decode(data[:end])
        else:
            with pytest.raises(RemoteProtocolError):
                codec.decode(data[:end])


@pytest.mark.parametrize(("codec", "vector"), ACCEPTED)
def test_any_buffer_is_read(codec: ModuleType, vector: Vector) -> None:
    data = data_of(vector)
    kinds: list[Callable[[bytes], Any]] = [bytearray, memoryview]
    for kind in kinds:
        assert difference(vector["values"], codec.decode(kind(data))) == ""


def is_canonical(vector: Vector) -> bool:
    """Whether the vector's bytes are the ones that our writer chooses for its value."""
    data = data_of(vector)
    if vector["name"] in OTHER_FORM or not vector.get("canonical", True):
        return False
    if "avmplus" in vector.get("types", ()):
        return False
    return all(_is_canonical(value, data) for value in vector["values"])


def _is_canonical(value: Any, data: bytes) -> bool:
    if isinstance(value, list):
        return all(_is_canonical(item, data) for item in value)
    if not isinstance(value, dict):
        return True
    kind = value["t"]
    if kind == "long-string" and "v" in value:  # short enough for a plain one
        return False
    if kind == "ecma-array" and value["count"] != len(value["props"]):
        return False
    if kind == "date" and value.get("tz"):
        return False
    if kind == "boolean" and len(data) == 2 and data[1] > 1:
        return False
    if kind == "typed-object" and not value["class"]:
        return False
    if kind == "object" and "sealed" in value:
        names = [name for name, _ in value["sealed"]]
        if not value["class"] and (names or not value["dynamic"]):
            return False  # anonymous: we write all members as dynamic ones
        if len(names) + len(value.get("props", ())) != len({*names, *dict(value.get("props", ()))}):
            return False  # a name twice
    return all(_is_canonical(item, data) for item in value.values())


# pyamf looks for an XML library when it first needs one
@pytest.mark.filterwarnings("ignore:defusedxml:DeprecationWarning")
@pytest.mark.parametrize("encoding", [0, 3])
def test_our_vectors_are_what_their_script_makes(encoding: int) -> None:
    assert (OWN / f"amf{encoding}.json").read_text() == make_amf.lines(encoding)
