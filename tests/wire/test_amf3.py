"""What AMF3 decodes to, refuses, and is written as."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import pyamf
import pytest
from pyamf.amf3 import ByteArray
from pyamf.flex import ArrayCollection, ObjectProxy
from pyamf.flex.messaging import (
    AcknowledgeMessageExt,
    AsyncMessageExt,
    CommandMessageExt,
    RemotingMessage,
)

from rtmp_sync.errors import LocalProtocolError, RemoteProtocolError
from rtmp_sync.wire import amf3, values
from rtmp_sync.wire.limits import Limits


def again(value: object) -> Any:
    (read,) = amf3.decode(amf3.encode(value))
    return read


def hexed(*items: object) -> str:
    return amf3.encode(*items).hex()


def decode(text: str) -> Any:
    (read,) = amf3.decode(bytes.fromhex(text))
    return read


# scalars --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (0, "0400"),
        (127, "047f"),
        (128, "048100"),
        (16_383, "04ff7f"),
        (16_384, "04818000"),
        (2_097_151, "04ffff7f"),
        (2_097_152, "0480c08000"),
        (268_435_455, "04bfffffff"),
        (-268_435_456, "04c0808000"),
        (-1, "04ffffffff"),
    ],
)
def test_integers_of_29_bits_stay_integers(number: int, written: str) -> None:
    assert hexed(number) == written
    assert again(number) == number
    assert type(again(number)) is int


@pytest.mark.parametrize("number", [2**28, -(2**28) - 1, 2**53])
def test_larger_integers_become_doubles(number: int) -> None:
    assert again(number) == number
    assert type(again(number)) is float


def test_an_integral_float_stays_a_float() -> None:
    assert hexed(1.0) == "053ff0000000000000"
    assert type(again(1.0)) is float


def test_integers_that_no_double_holds_are_not_written() -> None:
    with pytest.raises(LocalProtocolError):
        amf3.encode(2**53 + 1)


def test_a_number_written_longer_than_needed_is_read() -> None:
    assert decode("0480808001") == 1
    assert decode("04808001") == 1
    assert decode("06800361") == "a"


def test_strings_are_referred_to_but_the_empty_one_is_not() -> None:
    assert hexed("a", "", "a", "") == "060361" + "0601" + "0600" + "0601"


def test_names_and_values_share_the_string_table() -> None:
    assert hexed({"a": "b", "b": "a"}) == "0a0b01" + "0361" + "060362" + "02" + "0600" + "01"


def test_surrogates_are_not_written() -> None:
    with pytest.raises(LocalProtocolError):
        amf3.encode("\ud800")
    with pytest.raises(LocalProtocolError):
        amf3.encode({"\ud800": 1})


@pytest.mark.parametrize("text", ["0605c328", "0607eda080", "0605c080"])
def test_bytes_that_are_not_utf8_are_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError, match="UTF-8"):
        decode(text)


# containers -----------------------------------------------------------------------------------


def test_an_array_is_a_list_and_with_names_a_mixed_array() -> None:
    assert type(again([1])) is list
    mixed = pyamf.MixedArray({"a": 1, 0: "x", 1: "y"})
    assert hexed(mixed) == "0905" + "0361" + "0401" + "01" + "060378" + "060379"
    read = again(mixed)
    assert type(read) is pyamf.MixedArray
    assert read == mixed


def test_only_an_unbroken_run_from_0_is_dense() -> None:
    assert again(pyamf.MixedArray({0: "x", 2: "z"})) == {0: "x", "2": "z"}
    assert again(pyamf.MixedArray({1: "y"})) == {"1": "y"}
    assert again(pyamf.MixedArray({"0": "name", 0: "index"})) == {"0": "name", 0: "index"}


def test_a_name_of_no_length_written_long_ends_the_names() -> None:
    assert decode("0903" + "8001" + "0401") == [1]
    assert decode("0a0b01" + "036104018001") == {"a": 1}


def test_an_array_cannot_have_an_empty_name() -> None:
    with pytest.raises(LocalProtocolError, match="empty name"):
        amf3.encode(pyamf.MixedArray({"": 1}))


def test_an_object_may_have_an_empty_name_since_sealed_members_may() -> None:
    assert hexed({"": 1, "a": 2}) == "0a1b0101" + "0401" + "0361" + "0402" + "01"
    assert again({"": 1, "a": 2}) == {"": 1, "a": 2}


def test_class_definitions_are_referred_to() -> None:
    assert hexed([{}, {}]) == "090501" + "0a0b0101" + "0a0101"


def test_a_typed_object_is_written_with_the_definition_it_was_read_with() -> None:
    data = "0a23" + "07412e42" + "0378" + "0379" + "0401" + "0402"
    one = decode(data)
    assert (one.alias, dict(one)) == ("A.B", {"x": 1, "y": 2})
    assert hexed(one) == data
    one["z"] = 3
    assert again(one) == {"x": 1, "y": 2, "z": 3}
    del one["x"]
    assert again(one) == {"y": 2, "z": 3}


def test_a_sealed_and_dynamic_object_has_both() -> None:
    data = "0a1b" + "07412e42" + "0378" + "0401" + "0379" + "0402" + "01"
    assert decode(data) == {"x": 1, "y": 2}
    assert hexed(decode(data)) == data


def test_objects_may_hold_themselves_and_each_other() -> None:
    loop: list[Any] = []
    loop.append({"up": loop})
    read = again(loop)
    assert read[0]["up"] is read

    names = values.Dictionary()
    names.append((names, names))
    read = again(names)
    assert read[0][0] is read
    assert read[0][1] is read

    vector = values.VectorObject([], True, "A.B")
    vector.append(vector)
    read = again(vector)
    assert read[0] is read


def test_a_dictionary_keeps_keys_of_all_kinds_in_order() -> None:
    key = pyamf.ASObject(a=1)
    source = values.Dictionary([(key, "object"), ("k", 1), (2, None), (True, key)], weak=True)
    read = again(source)
    assert type(read) is values.Dictionary
    assert read.weak
    assert list(read) == list(source)
    assert read[3][1] is read[0][0]


@pytest.mark.parametrize(
    "vector",
    [
        values.VectorInt([1, -(2**31), 2**31 - 1]),
        values.VectorUint([0, 2**32 - 1], fixed=True),
        values.VectorDouble([0.5, math.inf]),
        values.VectorObject([1, "a", None], True, "*"),
        values.VectorInt(),
    ],
)
def test_vectors_keep_their_kind(vector: Any) -> None:
    read = again(vector)
    assert type(read) is type(vector)
    assert read == vector
    assert read.fixed is vector.fixed
    assert getattr(read, "class_name", None) == getattr(vector, "class_name", None)


def test_what_does_not_fit_a_vector_is_not_written() -> None:
    with pytest.raises(LocalProtocolError):
        amf3.encode(values.VectorInt([2**31]))
    with pytest.raises(LocalProtocolError):
        amf3.encode(values.VectorUint([-1]))


def test_dates_and_xml_and_byte_arrays_keep_their_identity() -> None:
    for source in (
        datetime(2024, 1, 2, 3, 4, 5),
        values.Date(math.inf),
        values.XML("<a/>"),
        values.XMLDocument("<b/>"),
        ByteArray(b"\x00\xff"),
    ):
        one, two = again([source, source])
        assert one is two
        assert type(one) is type(source)
        assert one == source


def test_the_content_of_a_byte_array_is_never_inflated() -> None:
    deflated = bytes.fromhex("78da63e0f148cdc9c95708cf2fca495104001ce7044a")
    read = decode("0c2d" + deflated.hex())
    assert bytes(read) == deflated
    assert hexed(read) == "0c2d" + deflated.hex()


# classes --------------------------------------------------------------------------------------


def test_the_flex_wrappers_are_read_and_written() -> None:
    collection = again(ArrayCollection([1, "a"]))
    assert type(collection) is ArrayCollection
    assert list(collection) == [1, "a"]
    items = again(values.ArrayList(["b"]))
    assert type(items) is values.ArrayList
    assert items == ["b"]
    proxy = again(ObjectProxy(pyamf.ASObject(a=1)))
    assert proxy._amf_object == {"a": 1}
    assert again(values.SerializationProxy([1])).value == [1]


def test_a_wrapper_takes_the_slot_before_what_it_wraps() -> None:
    name = "43" + b"flex.messaging.io.ArrayCollection".hex()
    read = decode("0907010a07" + name + "090301060361" + "0a02" + "0a04")
    assert type(read[0]) is ArrayCollection
    assert read[1] is read[0]
    assert read[2] == ["a"]


def test_a_proxy_keeps_the_identity_of_its_object() -> None:
    inner = pyamf.ASObject(a=1)
    proxy, same = again([ObjectProxy(inner), inner])
    assert proxy.__dict__["_amf_object"] is not same  # pyamf's own constructor copied it
    name = "3b" + b"flex.messaging.io.ObjectProxy".hex()
    proxy, same = decode("0905010a07" + name + "0a0b0101" + "0a04")
    assert proxy.__dict__["_amf_object"] is same


def test_a_collection_of_something_else_is_refused() -> None:
    name = "43" + b"flex.messaging.io.ArrayCollection".hex()
    with pytest.raises(RemoteProtocolError, match="array"):
        decode("0a07" + name + "0401")
    assert list(decode("0a07" + name + "01")) == []


@pytest.mark.parametrize("kind", [AsyncMessageExt, AcknowledgeMessageExt, CommandMessageExt])
def test_small_messages_are_read_and_written(kind: type[Any]) -> None:
    message = kind(
        body={"a": [1]},
        clientId=UUID(int=7),
        destination="room",
        headers={},
        messageId="m-1",
        timestamp=1.5,
        timeToLive=0,
        correlationId=UUID(int=9),
    )
    if kind is CommandMessageExt:
        message.operation = 5
    read = again(message)
    assert type(read) is kind
    assert vars(read) == vars(message)


def test_flags_of_a_newer_flex_are_read_and_dropped() -> None:
    # DSA: two flag bytes with an unknown bit in the second, one flag byte with an unknown bit
    data = "0a07" + "07445341" + "8104" + "060362" + "060378" + "04" + "0407"
    read = decode("090501" + data + "060378")
    assert read[0].body == "b"
    assert read[0].correlationId is None
    assert read[1] == "x"


def test_a_registered_flex_class_is_read_and_written() -> None:
    message = RemotingMessage(operation="call", source="s", body=[1])
    read = again(message)
    assert type(read) is RemotingMessage
    assert vars(read) == vars(message)


class Temperature:
    """An application's own externalizable class."""

    def __init__(self) -> None:
        self.celsius = 0.0
        self.label: object = None

    def __readamf__(self, source: Any) -> None:
        self.celsius = source.readDouble()
        self.label = source.readObject()

    def __writeamf__(self, target: Any) -> None:
        target.writeDouble(self.celsius)
        target.writeObject(self.label)

    class __amf__:
        external = True


@pytest.fixture
def temperature() -> Iterator[None]:
    pyamf.register_class(Temperature, "lab.Temperature")
    yield
    pyamf.unregister_class("lab.Temperature")


@pytest.mark.usefixtures("temperature")
def test_a_registered_externalizable_class_reads_and_writes_itself() -> None:
    one = Temperature()
    one.celsius, one.label = 36.6, {"unit": "C"}
    same, repeated, label = again([one, one, one.label])
    assert (same.celsius, same.label) == (36.6, {"unit": "C"})
    assert same is repeated
    assert label is same.label


@pytest.mark.usefixtures("temperature")
def test_a_registered_externalizable_class_cut_short_is_refused() -> None:
    data = amf3.encode(Temperature())
    for end in range(1, len(data)):
        with pytest.raises(RemoteProtocolError):
            amf3.decode(data[:end])


@pytest.mark.parametrize("name", ["os.system", "A.B", "this.Zen"])
def test_an_externalizable_class_that_is_not_known_is_refused(name: str) -> None:
    head = bytes((len(name) << 1 | 1,)).hex() + name.encode().hex()
    with pytest.raises(RemoteProtocolError, match="not known"):
        decode("0a07" + head + "0401")


def test_no_module_is_imported_because_a_peer_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was imported")

    monkeypatch.setattr("builtins.__import__", refuse)
    assert decode("0a0b" + "11" + b"this.Zen".hex() + "01").alias == "this.Zen"


# refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("12", "marker"),
        ("0900", "nothing"),
        ("0600", "nothing"),
        ("0a01", "nothing"),
        ("09ffffffff01", "beyond"),
        ("0afffffff301", "beyond"),
        ("11ffffffff00", "beyond"),
        ("0dffffffff00", "beyond"),
        ("10ffffffff0001", "beyond"),
        ("0cffffffff", "beyond"),
        ("0bffffffff", "beyond"),
        ("06ffffffff61", "ends"),
    ],
)
def test_what_claims_more_than_there_is_is_refused_at_once(text: str, why: str) -> None:
    with pytest.raises(RemoteProtocolError, match=why):
        decode(text)


@pytest.mark.parametrize("opening", ["090301", "0a0b010361", "11030001", "10030001"])
def test_a_hundred_thousand_levels_are_refused_in_a_controlled_way(opening: str) -> None:
    with pytest.raises(RemoteProtocolError, match="deep"):
        amf3.decode(bytes.fromhex(opening) * 100_000 + b"\x01")


def test_depth_is_counted_through_wrappers() -> None:
    data = amf3.encode(ArrayCollection([ArrayCollection()]))
    assert len(amf3.decode(data, Limits(max_depth=4))) == 1
    with pytest.raises(RemoteProtocolError, match="deep"):
        amf3.decode(data, Limits(max_depth=3))


def test_an_object_without_a_form_is_not_written() -> None:
    with pytest.raises(LocalProtocolError, match="register"):
        amf3.encode(object())
