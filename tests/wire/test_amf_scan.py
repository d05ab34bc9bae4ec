"""The check of values that are passed on without being built."""

from __future__ import annotations

from typing import Any

import pyamf
import pytest
from pyamf.flex import ArrayCollection
from pyamf.flex.messaging import CommandMessageExt

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.wire import amf0, amf3, values
from rtmp_sync.wire.amf0 import HAS_AMF3, HAS_REFERENCE, REFERS_OUTSIDE, ScanContext
from rtmp_sync.wire.limits import DEFAULT, Limits
from tests.support import rtmp_vectors
from tests.support.amf_values import ValueMaker, comparable
from tests.support.rtmp_vectors import Vector, data_of


def scan_all(data: bytes, limits: Limits = DEFAULT) -> list[tuple[int, int]]:
    """End and flags of each value of a message."""
    context = ScanContext()
    found: list[tuple[int, int]] = []
    end = 0
    while end < len(data):
        end = amf0.scan(data, end, context, limits)
        found.append((end, context.flags))
    return found


def flags(text: str) -> list[int]:
    return [flag for _, flag in scan_all(bytes.fromhex(text))]


def wrapped(vector: Vector) -> bytes:
    """The vector's AMF3 value as AMF0 holds it; vectors of several values are not looked at."""
    return b"\x11" + data_of(vector)


AMF0 = [
    case
    for case in rtmp_vectors.load("amf0.json")
    if case.values[0].get("name") != "reject-empty-input"
]
AMF3 = [
    case
    for case in rtmp_vectors.load("amf3.json")
    if len(case.values[0].get("values", [0])) == 1
    # its bytes are in order; only the class refuses what it is given
    and case.values[0].get("name") != "reject-collection-of-an-integer"
]


@pytest.mark.parametrize("vector", AMF0)
def test_what_decode_accepts_passes_with_the_same_ends(vector: Vector) -> None:
    data = data_of(vector)
    if vector["expect"] == "error":
        with pytest.raises(RemoteProtocolError):
            scan_all(data)
        return
    ends = [end for end, _ in scan_all(data)]
    assert ends == [amf0.decode_at(data, 0, n + 1)[1] for n in range(len(vector["values"]))]


@pytest.mark.parametrize("vector", AMF3)
def test_amf3_values_pass_as_decode_accepts_them(vector: Vector) -> None:
    data = wrapped(vector)
    if vector["expect"] == "error":
        with pytest.raises(RemoteProtocolError):
            scan_all(data)
        return
    ((end, flag),) = scan_all(data)
    assert end == len(data)
    assert flag & HAS_AMF3
    assert not flag & REFERS_OUTSIDE
    for cut in range(1, min(len(data), 2_000)):
        with pytest.raises(RemoteProtocolError):
            scan_all(data[:cut])


@pytest.mark.parametrize("seed", range(5))
def test_generated_messages_pass_and_what_is_alone_decodes_alone(seed: int) -> None:
    makers = (ValueMaker(seed, 0), ValueMaker(seed, 3))
    for _ in range(300):
        for maker in makers:
            data = amf0.encode(*maker.message(), b"x")
            begin = 0
            for end, flag in scan_all(data):
                if not flag & REFERS_OUTSIDE:
                    (alone,) = amf0.decode(data[begin:end])
                    together = amf0.decode(data[:end])[-1]
                    assert comparable(alone, 3) == comparable(together, 3)
                begin = end
            assert begin == len(data)


def test_a_plain_value_has_no_flags() -> None:
    assert flags("0101" + "03000161" + "05" + "000009" + "0a00000000") == [0, 0, 0]


def test_a_reference_that_holds_alone_is_told_from_one_that_does_not() -> None:
    loop = "03000473656c66070000000009"
    assert flags(loop) == [HAS_REFERENCE]
    assert flags("03000009" + "0a00000001" + "070000") == [0, HAS_REFERENCE | REFERS_OUTSIDE]
    # to the value itself, but as the second container of its message
    assert flags("03000009" + "0a00000001" + "070001") == [0, HAS_REFERENCE | REFERS_OUTSIDE]
    assert flags("0101" + "0a00000001" + "070000") == [0, HAS_REFERENCE]


def test_all_three_amf3_tables_are_followed_across_values() -> None:
    outside = HAS_AMF3 | HAS_REFERENCE | REFERS_OUTSIDE
    assert flags("11060361" + "110600") == [HAS_AMF3, outside]
    assert flags("110a0b0101" + "110a00") == [HAS_AMF3, outside]
    assert flags("110a0b0101" + "110a0101") == [HAS_AMF3, outside]
    assert flags("11090301060361" + "110905010603620602") == [
        HAS_AMF3,
        outside,
    ]


def test_the_tables_of_amf0_and_amf3_are_two() -> None:
    # slot 0 of AMF3 is the array behind the switch, slot 0 of AMF0 the outer one
    assert flags("0a00000002" + "11090101" + "070000") == [HAS_AMF3 | HAS_REFERENCE]
    with pytest.raises(RemoteProtocolError, match="nothing"):
        flags("11090101" + "070000")


def test_the_class_of_an_externalizable_may_be_named_by_reference() -> None:
    name = "flex.messaging.io.ArrayCollection"
    data = amf0.encode(
        [values.XML("x"), {name: values.XML("y")}], amf3_value([name, ArrayCollection([1])])
    )
    assert [end for end, _ in scan_all(data)][-1] == len(data)


def amf3_value(value: object) -> Any:
    """A value that AMF0 writes behind the switch."""
    return values.VectorObject([value])


def test_small_messages_are_followed_through_their_flags() -> None:
    message = CommandMessageExt(body=[1], destination="d", headers={}, operation=5)
    data = amf0.encode(amf3_value(message), "behind")
    assert scan_all(data)[-1] == (len(data), 0)


@pytest.mark.parametrize(
    "value",
    [
        [None] * 11,
        {str(number): None for number in range(11)},
        [values.VectorInt(range(11))],
        [pyamf.MixedArray({"a": None, 0: None}) for _ in range(5)],
        amf3_value([None] * 11),
    ],
)
def test_too_many_values_are_refused(value: object) -> None:
    data = amf0.encode(value)
    scan_all(data, Limits(max_values=25))
    with pytest.raises(RemoteProtocolError, match="too many"):
        scan_all(data, Limits(max_values=10))


@pytest.mark.parametrize(
    ("opening", "levels"),
    [("0a00000001", 10_000), ("03000161", 100_000), ("090301", 100_000), ("11030001", 10_000)],
)
def test_a_hundred_thousand_levels_are_refused_in_a_controlled_way(
    opening: str, levels: int
) -> None:
    switch = b"" if opening.startswith("0") and opening[1] in "a3" else b"\x11"
    with pytest.raises(RemoteProtocolError, match="deep"):
        scan_all(switch + bytes.fromhex(opening) * levels)


def test_depth_and_size_and_byte_arrays_are_limited() -> None:
    data = amf0.encode([[1]])
    scan_all(data, Limits(max_depth=2))
    with pytest.raises(RemoteProtocolError, match="deep"):
        scan_all(data, Limits(max_depth=1))
    with pytest.raises(RemoteProtocolError, match="limit"):
        scan_all(data, Limits(max_bytes=len(data) - 1))
    data = amf0.encode(bytearray(), bytearray())
    with pytest.raises(RemoteProtocolError, match="byte arrays"):
        scan_all(data, Limits(max_byte_arrays=1))


def test_strings_that_are_not_utf8_are_refused() -> None:
    for text in ("020002c328", "030002c32805000009", "110605c328", "1109030105c32801"):
        with pytest.raises(RemoteProtocolError):
            flags(text)


def test_a_class_that_only_an_application_can_read_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="not known"):
        flags("110a0707412e420401")


def test_what_amf3_encodes_passes() -> None:
    for value in ([{"a": [1, {"a": "a"}]}], values.Dictionary([({}, "k")]), values.Date(0.5)):
        data = b"\x11" + amf3.encode(value)
        assert scan_all(data)[-1][0] == len(data)
