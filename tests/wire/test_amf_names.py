"""Names are remembered across messages. Contract: no order, cut or number of them shows."""

from __future__ import annotations

from types import ModuleType

import pytest

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.wire import amf0, amf3

CODECS = pytest.mark.parametrize("codec", [amf0, amf3], ids=["amf0", "amf3"])


@CODECS
def test_names_in_another_order_than_before_are_read_right(codec: ModuleType) -> None:
    orders = ["ab abc abcd b", "abc ab b abcd", "b abcd", "ab abc", "abcd abc ab", "é ab éé abc"]
    for order in orders * 2:
        source = {name: f"{name}!" for name in order.split()}
        assert codec.decode(codec.encode(source)) == [source]


@CODECS
@pytest.mark.parametrize("size", [1, 4, 5, 6, 7, 8, 9, 13, 14, 15, 16, 17, 62, 63, 64, 70])
def test_names_that_differ_in_one_letter_are_not_mixed_up(codec: ModuleType, size: int) -> None:
    name = "n" * size
    assert codec.decode(codec.encode({name: None})) == [{name: None}]
    for place in range(size):
        other = f"{name[:place]}o{name[place + 1 :]}"
        assert codec.decode(codec.encode({other: None})) == [{other: None}]
        assert codec.decode(codec.encode({name: None})) == [{name: None}]


@CODECS
def test_an_object_inside_another_does_not_disturb_its_names(codec: ModuleType) -> None:
    source = {"a": 1.0, "inner": {"a": 2.0, "b": {"a": 3.0, "inner": None}}, "b": 4.0}
    for _ in range(3):
        assert codec.decode(codec.encode(source, {"b": 5.0}, source["inner"])) == [
            source,
            {"b": 5.0},
            source["inner"],
        ]


@CODECS
def test_a_cut_name_is_not_taken_for_the_whole_one_later(codec: ModuleType) -> None:
    whole = {"first": True, "second": False}
    data = codec.encode(whole)
    for size in range(len(data)):
        if size:
            with pytest.raises(RemoteProtocolError):
                codec.decode(data[:size])
        assert codec.decode(data) == [whole]


@CODECS
def test_more_names_than_are_remembered_are_read_right(codec: ModuleType) -> None:
    many = {f"name {number}": float(number) for number in range(10_000)}
    long = {"x" * size: None for size in (62, 63, 64, 65, 127, 128, 300)}
    for _ in range(2):
        assert codec.decode(codec.encode(many, long, {"name 1": None})) == [
            many,
            long,
            {"name 1": None},
        ]


@CODECS
def test_a_name_that_is_not_utf8_is_refused_each_time(codec: ModuleType) -> None:
    data = codec.encode({"name": 1.0}).replace(b"name", b"na\xffe")
    for _ in range(2):
        with pytest.raises(RemoteProtocolError, match="UTF-8"):
            codec.decode(data)


def test_an_empty_amf0_name_is_a_name_wherever_it_stands() -> None:
    for source in ({"": 1.0}, {"a": 1.0, "": 2.0}, {"": 1.0, "a": 2.0}, {"a": 1.0}, {}):
        for _ in range(2):
            assert amf0.decode(amf0.encode(source)) == [source]
