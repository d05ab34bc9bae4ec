"""What AMF0 decodes to, refuses, and is written as."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone
from enum import IntEnum
from typing import Any

import pyamf
import pytest
from pyamf.amf3 import ByteArray
from pyamf.flex import ArrayCollection, ObjectProxy

from rtmp_sync.errors import LocalProtocolError, RemoteProtocolError
from rtmp_sync.wire import amf0, amf3, values
from rtmp_sync.wire.limits import MAX_DEPTH, Limits


class Player:
    """A class that tests register with pyamf."""

    name: str
    score: float


@pytest.fixture
def player() -> Any:
    pyamf.register_class(Player, "game.Player")
    yield
    pyamf.unregister_class("game.Player")


def hexed(*items: object) -> str:
    return amf0.encode(*items).hex()


def test_nothing_decodes_to_no_values() -> None:
    assert amf0.decode(b"") == []
    assert amf0.encode() == b""


def test_a_message_decodes_to_its_values_in_order() -> None:
    data = amf0.encode("setText", 7, None, "hello", True)
    assert amf0.decode(data) == ["setText", 7.0, None, "hello", True]
    assert data.hex() == (
        "02000773657454657874" + "00401c000000000000" + "05" + "02000568656c6c6f" + "0101"
    )


def test_numbers_are_floats() -> None:
    (one,) = amf0.decode(amf0.encode(1))
    assert type(one) is float


@pytest.mark.parametrize("number", [-0.0, 5e-324, math.inf, -math.inf, 2.0**53, -1.5])
def test_every_double_survives(number: float) -> None:
    (again,) = amf0.decode(amf0.encode(number))
    assert (again, math.copysign(1, again)) == (number, math.copysign(1, number))


def test_nan_survives() -> None:
    (again,) = amf0.decode(amf0.encode(math.nan))
    assert math.isnan(again)


@pytest.mark.parametrize("number", [2**53 + 1, -(2**53) - 1, 10**400])
def test_an_integer_that_a_double_cannot_hold_is_not_written(number: int) -> None:
    with pytest.raises(LocalProtocolError, match="double"):
        amf0.encode(number)


def test_a_string_above_65535_bytes_is_a_long_one() -> None:
    text = "é" * 32_768
    assert amf0.encode(text)[:5].hex() == "0c00010000"
    assert amf0.encode("x" * 65_535)[:3].hex() == "02ffff"
    assert amf0.decode(amf0.encode(text)) == [text]


def test_an_object_keeps_its_order_and_an_empty_name() -> None:
    source = {"b": 1.0, "": "empty", "a": None}
    (again,) = amf0.decode(amf0.encode(source))
    assert type(again) is pyamf.ASObject
    assert list(again.items()) == list(source.items())


def test_the_last_of_two_equal_names_wins() -> None:
    assert amf0.decode(bytes.fromhex("0300016101000001610101000009")) == [{"a": True}]


def test_integer_names_are_written_in_decimal_form() -> None:
    assert amf0.decode(amf0.encode({1: "one", "x": 2})) == [{"1": "one", "x": 2.0}]


@pytest.mark.parametrize("name", [True, 1.5, None, b"x", (1,)])
def test_other_names_are_not_written(name: object) -> None:
    with pytest.raises(LocalProtocolError, match="name"):
        amf0.encode({name: 1})


def test_a_name_above_65535_bytes_is_not_written() -> None:
    with pytest.raises(LocalProtocolError, match="65535"):
        amf0.encode({"x" * 65_536: 1})


def test_an_ecma_array_is_read_to_its_end_whatever_its_count_says() -> None:
    pairs = "000161" + "0101" + "000009"
    for count in ("00000000", "00000001", "ffffffff"):
        (read,) = amf0.decode(bytes.fromhex("08" + count + pairs))
        assert type(read) is pyamf.MixedArray
        assert read == {"a": True}
    assert hexed(pyamf.MixedArray(a=True)) == "08" + "00000001" + pairs


def test_a_container_that_comes_twice_is_one_object() -> None:
    shared: list[object] = [1.0]
    first, second = amf0.decode(amf0.encode({"a": shared}, shared))
    assert first["a"] is second


def test_a_container_may_hold_itself() -> None:
    loop: dict[str, object] = {}
    loop["self"] = loop
    assert hexed(loop) == "03000473656c66070000000009"
    (again,) = amf0.decode(amf0.encode(loop))
    assert again["self"] is again


def test_containers_beyond_the_reach_of_references_are_written_in_full() -> None:
    shared: list[object] = []
    items: list[object] = [[] for _ in range(65_535)]
    data = amf0.encode([*items, shared, shared])
    assert data.endswith(bytes.fromhex("0a00000000" * 2))
    reachable = amf0.encode([*items[1:], shared, shared])
    assert reachable.endswith(bytes.fromhex("0a00000000" + "07ffff"))


def test_a_typed_object_of_no_registered_class_keeps_its_name() -> None:
    typed = pyamf.TypedObject("no.such.Class")
    typed["x"] = 1.0
    (again,) = amf0.decode(amf0.encode(typed))
    assert type(again) is pyamf.TypedObject
    assert (again.alias, dict(again)) == ("no.such.Class", {"x": 1.0})


def test_a_registered_class_is_made_and_written(player: Any) -> None:
    one = Player()
    one.name, one.score = "Ann", 7.5
    (again,) = amf0.decode(amf0.encode(one))
    assert type(again) is Player
    assert (again.name, again.score) == ("Ann", 7.5)


def test_an_object_of_a_class_that_is_not_registered_is_not_written() -> None:
    with pytest.raises(LocalProtocolError, match="register"):
        amf0.encode(Player())


def test_a_peer_cannot_set_pythons_own_members(player: Any) -> None:
    typed = pyamf.TypedObject("game.Player")
    typed["__class__"] = "x"
    with pytest.raises(RemoteProtocolError, match="__class__"):
        amf0.decode(amf0.encode(typed))


def test_no_module_is_imported_because_a_peer_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was imported")

    monkeypatch.setattr("builtins.__import__", refuse)
    name = "this.Zen"
    data = b"\x10" + len(name).to_bytes(2, "big") + name.encode() + b"\x00\x00\x09"
    assert amf0.decode(data)[0].alias == name


@pytest.mark.parametrize(
    "when",
    [
        datetime(2024, 2, 29, 12, 0, 0, 123000),
        datetime(1969, 12, 31, 23, 59, 59, 999999),
        datetime(1, 1, 1),
        datetime(9999, 12, 31, 23, 59, 59),
    ],
)
def test_dates_are_naive_utc(when: datetime) -> None:
    assert amf0.decode(amf0.encode(when)) == [when]
    elsewhere = when.replace(tzinfo=UTC)
    assert amf0.encode(elsewhere) == amf0.encode(when)


def test_a_date_of_another_zone_is_the_same_moment() -> None:
    zone = timezone(timedelta(hours=2))
    assert amf0.decode(amf0.encode(datetime(2024, 1, 1, 2, tzinfo=zone))) == [datetime(2024, 1, 1)]
    assert amf0.decode(amf0.encode(date(2024, 1, 1))) == [datetime(2024, 1, 1)]


@pytest.mark.parametrize("ms", [math.inf, 1e18, -1e18, 0.00001])
def test_what_datetime_cannot_hold_is_a_date_in_milliseconds(ms: float) -> None:
    assert amf0.decode(amf0.encode(values.Date(ms))) == [values.Date(ms)]


def test_an_invalid_date_stays_one() -> None:
    (again,) = amf0.decode(amf0.encode(values.Date(math.nan)))
    assert isinstance(again, values.Date)
    assert math.isnan(again.ms)


def test_xml_is_text_and_never_parsed() -> None:
    bomb = values.XMLDocument('<!DOCTYPE x [<!ENTITY a "aaaa">]><x>&a;</x>')
    (again,) = amf0.decode(amf0.encode(bomb))
    assert type(again) is values.XMLDocument
    assert again == bomb


def test_undefined_and_unsupported_are_themselves() -> None:
    assert hexed(pyamf.Undefined, values.UNSUPPORTED) == "060d"
    assert amf0.decode(b"\x06\x0d") == [pyamf.Undefined, values.UNSUPPORTED]


def test_subclasses_of_pythons_types_are_written_as_those() -> None:
    class Level(IntEnum):
        HIGH = 3

    class Text(str):
        pass

    class Ratio(float):
        pass

    class Row(dict[str, object]):
        pass

    class Rows(list[object]):
        pass

    source = (Level.HIGH, Text("t"), Ratio(0.5), Row(a=1), Rows([1]), (1,))
    plain = (3, "t", 0.5, {"a": 1}, [1], [1])
    assert amf0.encode(*source) == amf0.encode(*plain)
    assert amf0.decode(amf0.encode({1, 2})) in ([[1.0, 2.0]], [[2.0, 1.0]])


# AMF3 inside ----------------------------------------------------------------------------------


def test_what_amf0_cannot_say_goes_behind_the_switch_and_shares_tables() -> None:
    vector = values.VectorInt([1, -2])
    data = amf0.encode([vector, vector])
    assert data.hex() == "0a00000002" + "110d050000000001fffffffe" + "110d00"
    ((first, second),) = amf0.decode(data)
    assert first is second
    assert first == [1, -2]


def test_bytes_become_a_byte_array() -> None:
    (again,) = amf0.decode(amf0.encode(b"\x78\x9cxyz"))
    assert type(again) is ByteArray
    assert bytes(again) == b"\x78\x9cxyz"


def test_for_a_peer_without_amf3_the_nearest_form_is_written() -> None:
    def plain(value: object) -> list[Any]:
        data = amf0.encode_for(value, avmplus=False)
        assert b"\x11" not in data
        return amf0.decode(data)

    assert plain(ByteArray(b"ab")) == [[97.0, 98.0]]
    assert plain(b"ab") == [[97.0, 98.0]]
    assert plain(values.VectorDouble([0.5])) == [[0.5]]
    assert plain(values.VectorObject(["a"])) == [["a"]]
    assert plain(values.Dictionary([("a", 1)])) == [{"a": 1.0}]
    assert plain(values.Dictionary([(1, 1)])) == [values.UNSUPPORTED]
    assert plain(ArrayCollection(["a"])) == [["a"]]
    assert plain(ObjectProxy({"a": "b"})) == [{"a": "b"}]
    assert plain(values.XML("<a/>")) == [values.XMLDocument("<a/>")]
    assert plain([values.SerializationProxy("x")]) == [["x"]]


def test_for_a_peer_with_amf3_the_switch_is_written() -> None:
    assert amf0.encode_for(b"a", avmplus=True) == amf0.encode(b"a") == b"\x11\x0c\x03a"


# limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [10_000, 100_000])
@pytest.mark.parametrize("opening", ["0a00000001", "03000161", "0800000000000161"])
def test_a_hundred_thousand_levels_are_refused_in_a_controlled_way(
    opening: str, levels: int
) -> None:
    with pytest.raises(RemoteProtocolError, match="deep"):
        amf0.decode(bytes.fromhex(opening) * levels + b"\x05")


def test_depth_is_counted_through_the_switch() -> None:
    # an AMF0 array, the switch, two AMF3 arrays
    data = bytes.fromhex("0a00000001" + "11" + "090301" + "090301" + "01")
    assert amf0.decode(data, Limits(max_depth=4)) == [[[[None]]]]
    with pytest.raises(RemoteProtocolError, match="deep"):
        amf0.decode(data, Limits(max_depth=3))


def test_what_is_nested_too_deep_is_not_written() -> None:
    value: list[object] = []
    for _ in range(MAX_DEPTH):
        value = [value]
    with pytest.raises(LocalProtocolError, match="deep"):
        amf0.encode(value)


def test_a_limit_on_depth_has_a_limit() -> None:
    with pytest.raises(ValueError, match="max_depth"):
        Limits(max_depth=MAX_DEPTH + 1)


@pytest.mark.parametrize(
    "value",
    [
        [None] * 11,
        {str(number): None for number in range(11)},
        {"a": [None] * 6, "b": [None] * 6},
        [{"a": None, "b": None} for _ in range(5)],
        [values.VectorInt(range(11))],
        [pyamf.MixedArray({"a": None, 0: None}) for _ in range(5)],
    ],
)
def test_too_many_values_are_refused(value: object) -> None:
    data = amf0.encode(value)
    amf0.decode(data, Limits(max_values=20))
    with pytest.raises(RemoteProtocolError, match="too many"):
        amf0.decode(data, Limits(max_values=10))


def test_too_many_bytes_are_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="limit"):
        amf0.decode(amf0.encode("x" * 100), Limits(max_bytes=100))


def test_too_many_byte_arrays_are_refused() -> None:
    data = amf3.encode([bytearray(), bytearray(), bytearray()])
    assert len(amf3.decode(data, Limits(max_byte_arrays=3))[0]) == 3
    with pytest.raises(RemoteProtocolError, match="byte arrays"):
        amf3.decode(data, Limits(max_byte_arrays=2))


# decode_at ------------------------------------------------------------------------------------


def test_what_grows_without_end_when_it_is_written_is_refused() -> None:
    text = "s" * 100_000
    with pytest.raises(LocalProtocolError, match="more than"):
        amf0.encode([text] * 1000)  # AMF3 says it once, and then two bytes each time
    nested: list[object] = [1.0]
    levels = []
    for _ in range(40):
        nested = [nested, nested]
        levels.append(nested)
    beyond_reach = [[] for _ in range(0x10000)]
    with pytest.raises(LocalProtocolError, match="more than"):
        amf0.encode([*beyond_reach, nested])
    assert len(amf0.encode(levels)) < 1000


def test_values_are_read_from_any_offset_and_the_end_is_told() -> None:
    data = b"\xff" + amf0.encode("setText", 7, {"a": 1}, "x")
    head, end = amf0.decode_at(data, 1, 2)
    assert head == ["setText", 7.0]
    assert amf0.decode_at(data, end, -1) == ([{"a": 1.0}, "x"], len(data))
    assert amf0.decode_at(data, len(data), -1) == ([], len(data))
    assert amf0.decode_at(data, 1, 0) == ([], 1)


def test_more_values_than_there_are_is_an_error() -> None:
    with pytest.raises(RemoteProtocolError):
        amf0.decode_at(b"\x05", 0, 2)
