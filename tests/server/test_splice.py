"""Shared-object messages put together from event bytes."""

from __future__ import annotations

from rtmp_sync.server.splice import MESSAGE_BYTES, Item, change_item, pack, plain_item, send_item
from rtmp_sync.wire import amf0
from rtmp_sync.wire import shared_object as wire
from rtmp_sync.wire.chunk import ChunkReader, Message

HEADER = wire.header("o", 7, True)


def messages(items: list[Item], *, amf3: bool = False) -> list[wire.SharedObjectMessage]:
    data = pack(HEADER, items, amf3=amf3, chunk_size=128)
    reader = ChunkReader(
        max_message_bytes=4 << 20,
        max_partial_bytes=8 << 20,
        max_partial_streams=4,
        fmt3_repeats_timestamp=True,
    )
    found: list[Message] = reader.feed(data)
    assert {message.type for message in found} <= {16 if amf3 else 19}
    return [wire.decode(message.payload, amf3) for message in found]


def keys(found: list[wire.SharedObjectMessage]) -> list[list[str]]:
    return [[event.key for event in message.events] for message in found]


def change(key: str, value: object, *, amf3: bool = False) -> Item:
    return change_item(key, amf0.encode(value), None, amf3)


def test_events_share_one_message_with_the_objects_name_and_version() -> None:
    (found,) = messages([change("a", 1), plain_item(wire.event_remove("b"))])
    assert (found.name, found.version, found.persistent) == ("o", 7, True)
    assert keys([found]) == [["a", "b"]]


def test_amf3_clients_get_type_16() -> None:
    (found,) = messages([change("a", 1, amf3=True)], amf3=True)
    assert keys([found]) == [["a"]]


def cycle() -> list[object]:
    value: list[object] = []
    value.append(value)
    return value


def test_a_value_with_references_is_alone() -> None:
    items = [change("a", 1), change("b", cycle()), change("c", cycle()), change("d", 2)]
    assert keys(messages([*items, change("e", 3)])) == [["a"], ["b"], ["c"], ["d", "e"]]


def test_a_long_message_is_cut_between_events() -> None:
    text = "x" * (MESSAGE_BYTES // 3)
    found = messages([change(str(number), text) for number in range(4)])
    assert keys(found) == [["0", "1"], ["2", "3"]]


def test_what_an_amf0_client_cannot_read_becomes_the_nearest_it_can() -> None:
    raw = b"\x11\x0c\x05\x01\x02"  # a ByteArray behind the switch
    assert change_item("k", raw, None, True)[0].endswith(raw)
    (found,) = messages([change_item("k", raw, None, False)])
    assert amf0.decode(found.events[0].value) == [[1.0, 2.0]]


def test_a_send_keeps_its_values_together() -> None:
    (found,) = messages([send_item(amf0.encode("say", 1, "x"), None, False)])
    assert amf0.decode(found.events[0].value) == ["say", 1.0, "x"]
