"""Shared objects over real sockets: who is told what, in which order and under which version."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pyamf import amf3 as pyamf3

from rtmp_sync import Origin
from rtmp_sync.protocol.limits import ConnectionLimits
from rtmp_sync.wire import amf0
from rtmp_sync.wire import shared_object as so
from rtmp_sync.wire.constants import (
    SO_CHANGE,
    SO_CLEAR,
    SO_CREATION_FAILED,
    SO_NO_READ_ACCESS,
    SO_NO_WRITE_ACCESS,
    SO_REMOVE,
    SO_SEND,
    SO_STATUS,
    SO_SUCCESS,
    SO_USE_SUCCESS,
)
from rtmp_sync.wire.limits import STORED
from rtmp_sync.wire.values import UNSUPPORTED
from tests.support.origins import until
from tests.support.peer import Peer

NAME = "board"


class Table:
    """Clients of one instance."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.peers: list[Peer] = []

    async def join(self, name: str = "x", *, amf3: bool = False, use: bool = True) -> Peer:
        peer = Peer()
        self.peers.append(peer)
        answer = await peer.connect(
            self.origin.rtmp_port, "probe/room", name, "User", objectEncoding=3.0 * amf3
        )
        assert answer.ok
        if use:
            peer.so(NAME, so.EVENT_USE)
            await peer.so_until(2)
        return peer


@pytest.fixture
async def table(origin: Origin) -> AsyncIterator[Table]:
    table = Table(origin)
    yield table
    for peer in table.peers:
        peer.close()


def set_to(key: str, value: object) -> bytes:
    return so.event_request_change(key, amf0.encode(value))


async def test_a_new_object_says_use_success_and_clear_at_version_one(table: Table) -> None:
    peer = await table.join(use=False)
    peer.so(NAME, so.EVENT_USE)
    await peer.until(peer.so_messages)
    message = peer.so_messages()[0]
    assert [event.type for event in message.events] == [SO_USE_SUCCESS, SO_CLEAR]
    assert message.version == 1


async def test_the_writer_gets_success_and_the_others_the_change_under_one_version(
    table: Table,
) -> None:
    writer, other = await table.join(), await table.join()
    writer.so(NAME, set_to("k", "v"))
    await writer.until(writer.so_messages)
    await other.until(other.so_messages)
    assert {writer.so_messages()[0].version, other.so_messages()[0].version} == {2}
    assert await writer.so_until(1) == [(SO_SUCCESS, "k", None)]
    assert await other.so_until(1) == [(SO_CHANGE, "k", "v")]


async def test_several_requests_of_one_message_are_one_step_and_one_message(table: Table) -> None:
    writer, other = await table.join(), await table.join()
    writer.so(NAME, set_to("a", 1), set_to("b", 2), so.event_request_remove("a"))
    await other.until(other.so_messages)
    (message,) = other.so_messages()
    assert message.version == 2
    assert other.so_events() == [
        (SO_CHANGE, "a", 1.0),
        (SO_CHANGE, "b", 2.0),
        (SO_REMOVE, "a", None),
    ]
    assert await writer.so_until(3) == [
        (SO_SUCCESS, "a", None),
        (SO_SUCCESS, "b", None),
        (SO_REMOVE, "a", None),
    ]


async def test_two_writers_of_one_turn_get_their_success_and_the_other_ones_change(
    table: Table,
) -> None:
    first, second = await table.join(), await table.join()
    first.so(NAME, set_to("a", 1))
    second.so(NAME, set_to("b", 2))
    assert sorted(await first.so_until(2)) == [(SO_CHANGE, "b", 2.0), (SO_SUCCESS, "a", None)]
    assert sorted(await second.so_until(2)) == [(SO_CHANGE, "a", 1.0), (SO_SUCCESS, "b", None)]


@pytest.mark.parametrize("nothing", ["05", "06", "1100", "1101"])
async def test_setting_null_or_undefined_deletes(table: Table, nothing: str) -> None:
    writer, other = await table.join(amf3=True), await table.join()
    writer.so(NAME, set_to("k", 1))
    await other.so_until(1)
    await writer.so_until(1)
    writer.so(NAME, so.event_request_change("k", bytes.fromhex(nothing)))
    assert await writer.so_until(1) == [(SO_SUCCESS, "k", None)]
    assert await other.so_until(1) == [(SO_REMOVE, "k", None)]


async def test_removing_what_is_not_there_tells_only_who_asked(table: Table) -> None:
    writer, other = await table.join(), await table.join()
    writer.so(NAME, so.event_request_remove("none"))
    assert await writer.so_until(1) == [(SO_REMOVE, "none", None)]
    writer.so(NAME, set_to("k", 1))
    assert await other.so_until(1) == [(SO_CHANGE, "k", 1.0)]


@pytest.mark.parametrize("event", [so.EVENT_REQUEST_CLEAR, so.EVENT_CLEAR])
async def test_a_clients_clear_reaches_everyone(table: Table, event: bytes) -> None:
    writer, other = await table.join(), await table.join()
    writer.so(NAME, set_to("k", 1))
    await other.so_until(1)
    await writer.so_until(1)
    writer.so(NAME, event)
    assert await writer.so_until(1) == await other.so_until(1) == [(SO_CLEAR, "", None)]
    late = await table.join(use=False)
    late.so(NAME, so.EVENT_USE)
    assert [event[0] for event in await late.so_until(2)] == [SO_USE_SUCCESS, SO_CLEAR]


async def test_send_reaches_everyone_and_does_not_raise_the_version(table: Table) -> None:
    writer, other = await table.join(), await table.join()
    writer.so(NAME, so.event_send(amf0.encode("say", "hi", 1)))
    for peer in (writer, other):
        await peer.until(peer.so_messages)
        assert peer.so_messages()[0].version == 1
        assert await peer.so_until(1) == [(SO_SEND, "", ["say", "hi", 1.0])]


async def test_a_send_never_overtakes_the_change_before_it(table: Table) -> None:
    writer, other = await table.join(), await table.join()
    writer.so(NAME, set_to("k", 1), so.event_send(amf0.encode("look")), set_to("k", 2))
    assert await other.so_until(3) == [
        (SO_CHANGE, "k", 1.0),
        (SO_SEND, "", "look"),
        (SO_CHANGE, "k", 2.0),
    ]


async def test_a_late_joiner_gets_everything_in_one_message(table: Table) -> None:
    writer = await table.join()
    writer.so(NAME, set_to("a", 1), set_to("b", [1, 2]))
    await writer.so_until(2)
    late = await table.join(use=False)
    late.so(NAME, so.EVENT_USE)
    await late.until(late.so_messages)
    assert len(late.so_messages()) == 1
    assert late.so_events() == [
        (SO_USE_SUCCESS, "", None),
        (SO_CLEAR, "", None),
        (SO_CHANGE, "a", 1.0),
        (SO_CHANGE, "b", [1.0, 2.0]),
    ]


async def test_one_that_joins_in_the_turn_of_a_change_is_told_once(table: Table) -> None:
    writer = await table.join()
    writer.so(NAME, set_to("a", 1), so.EVENT_USE, set_to("b", 2))
    events = await writer.so_until(5)
    assert events == [
        (SO_SUCCESS, "a", None),
        (SO_USE_SUCCESS, "", None),
        (SO_CLEAR, "", None),
        (SO_CHANGE, "a", 1.0),
        (SO_SUCCESS, "b", None),
    ]


async def test_who_returns_with_a_version_gets_only_what_changed_since(table: Table) -> None:
    writer = await table.join()
    for key in ("a", "b", "c"):
        writer.so(NAME, set_to(key, key))
        await writer.so_until(1)
    writer.so(NAME, so.event_request_remove("b"))
    await writer.so_until(1)
    returning = await table.join(use=False)
    returning.so(NAME, so.EVENT_USE, version=3)
    assert await returning.so_until(3) == [
        (SO_USE_SUCCESS, "", None),
        (SO_CHANGE, "c", "c"),
        (SO_REMOVE, "b", None),
    ]


async def test_who_returns_with_a_version_that_never_was_gets_everything(table: Table) -> None:
    writer = await table.join()
    writer.so(NAME, set_to("a", 1))
    await writer.so_until(1)
    returning = await table.join(use=False)
    returning.so(NAME, so.EVENT_USE, version=4000)
    assert [event[0] for event in await returning.so_until(3)] == [
        SO_USE_SUCCESS,
        SO_CLEAR,
        SO_CHANGE,
    ]


async def test_who_has_a_part_of_a_long_dump_is_not_up_to_date(table: Table) -> None:
    writer = await table.join()
    for key in "abc":
        writer.so(NAME, set_to(key, key * 600_000))
    await writer.so_until(3)
    late = await table.join(use=False)
    late.so(NAME, so.EVENT_USE)
    await late.until(lambda: len(late.so_messages()) == 3)
    assert [message.version for message in late.so_messages()] == [0, 0, 4]
    late.so(NAME, so.EVENT_RELEASE)
    for key in "abc":
        writer.so(NAME, set_to(key, key.upper() * 600_000))
    await writer.so_until(3)
    late.events.clear()
    late.so(NAME, so.EVENT_USE, version=4)
    await late.until(lambda: len(late.so_messages()) == 3)
    assert [message.version for message in late.so_messages()] == [4, 4, 7]


async def test_an_object_larger_than_an_outbox_can_be_used(table: Table) -> None:
    writer = await table.join()
    for number in range(13):
        writer.so(NAME, set_to(f"k{number}", "x" * 700_000))
        await writer.so_until(1)
    late = await table.join(use=False)
    late.so(NAME, so.EVENT_USE)
    await late.until(lambda: sum(len(one.events) for one in late.so_messages()) == 15)


async def test_temporary_and_persistent_objects_of_one_name_are_two(table: Table) -> None:
    peer = await table.join()
    peer.so(NAME, so.EVENT_USE, persistent=True)
    await peer.so_until(2)
    peer.so(NAME, set_to("k", 1), persistent=True)
    await peer.until(peer.so_messages)
    assert peer.so_messages()[0].persistent
    late = await table.join(use=False)
    late.so(NAME, so.EVENT_USE)
    assert len(await late.so_until(2)) == 2


async def test_a_temporary_object_ends_with_its_last_user_and_a_new_one_starts_higher(
    table: Table,
) -> None:
    peer = await table.join()
    peer.so(NAME, set_to("k", 1))
    await peer.so_until(1)
    peer.so(NAME, so.EVENT_RELEASE)
    peer.so(NAME, so.EVENT_USE)
    await peer.until(peer.so_messages)
    assert peer.so_messages()[0].version == 3
    assert [event[0] for event in peer.so_events()] == [SO_USE_SUCCESS, SO_CLEAR]


async def test_a_persistent_object_outlives_its_users(table: Table) -> None:
    peer = await table.join()
    peer.so("kept", so.EVENT_USE, persistent=True)
    peer.so("kept", set_to("k", 1), persistent=True)
    await peer.so_until(3)
    peer.close()
    await until(lambda: len(table.origin.sessions) == 0)
    late = await table.join(use=False)
    late.so("kept", so.EVENT_USE, persistent=True)
    assert (await late.so_until(3))[-1] == (SO_CHANGE, "k", 1.0)


async def test_after_release_nothing_more_is_told(table: Table) -> None:
    writer, other = await table.join(), await table.join()
    other.so(NAME, so.EVENT_RELEASE)
    other.so("other", so.EVENT_USE)
    await other.so_until(2)
    writer.so(NAME, set_to("k", 1))
    writer.so("other", so.EVENT_USE)
    await writer.so_until(3)
    writer.so("other", set_to("o", 1))
    assert await other.so_until(1) == [(SO_CHANGE, "o", 1.0)]


async def test_an_object_must_be_used_before_it_is_written(table: Table) -> None:
    stranger, user = await table.join(use=False), await table.join()
    stranger.so(NAME, set_to("k", 1))
    stranger.so(NAME, so.EVENT_USE)
    assert len(await stranger.so_until(2)) == 2
    user.so(NAME, set_to("k", 2))
    assert await stranger.so_until(1) == [(SO_CHANGE, "k", 2.0)]


async def test_without_write_access_a_client_is_told_what_the_slot_really_holds(
    table: Table,
) -> None:
    writer = await table.join()
    writer.so(NAME, set_to("k", "kept"))
    await writer.so_until(1)
    reader = await table.join("reader")
    reader.so(NAME, set_to("k", "mine"), set_to("new", 1))
    assert await reader.so_until(4) == [
        (SO_STATUS, SO_NO_WRITE_ACCESS, None),
        (SO_CHANGE, "k", "kept"),
        (SO_STATUS, SO_NO_WRITE_ACCESS, None),
        (SO_REMOVE, "new", None),
    ]
    reader.so("open/x", so.EVENT_USE)
    reader.so("open/x", set_to("k", 1))
    assert (await reader.so_until(3))[-1] == (SO_SUCCESS, "k", None)


async def test_without_read_access_a_client_gets_a_status_and_no_object(table: Table) -> None:
    blind = await table.join("blind", use=False)
    for persistent, kind in ((False, "T"), (True, "P")):
        blind.so(NAME, so.EVENT_USE, persistent=persistent)
        assert await blind.so_until(1) == [(SO_STATUS, SO_NO_READ_ACCESS, None)]
        assert table.origin.state.find("probe/room", NAME, kind) is None


async def test_amf0_and_amf3_clients_of_one_object_each_get_what_they_can_read(
    table: Table,
) -> None:
    flash9, old = await table.join(amf3=True), await table.join()
    value = pyamf3.ByteArray(b"\1\2\3")
    flash9.so(NAME, set_to("bytes", value))
    assert await flash9.so_until(1) == [(SO_SUCCESS, "bytes", None)]
    assert await old.so_until(1) == [(SO_CHANGE, "bytes", [1.0, 2.0, 3.0])]
    other9 = await table.join(amf3=True, use=False)
    other9.so(NAME, so.EVENT_USE)
    kept = (await other9.so_until(3))[-1]
    assert isinstance(kept[2], pyamf3.ByteArray)
    old.so(NAME, set_to("text", "both"))
    assert await flash9.so_until(1) == [(SO_CHANGE, "text", "both")]


async def test_values_come_out_as_the_bytes_that_went_in(table: Table) -> None:
    writer, other = await table.join(), await table.join()
    # an ECMA array whose count lies, which no encoder of ours would write
    raw = bytes.fromhex("08000000ff") + b"\0\1k\5" + b"\0\0\x09"
    writer.so(NAME, so.event_request_change("odd", raw))
    await other.until(other.so_messages)
    assert other.so_messages()[0].events[0].value == raw


async def test_a_value_that_refers_into_itself_gets_a_message_of_its_own(table: Table) -> None:
    writer, other = await table.join(), await table.join()
    cycle: list[object] = [1.0]
    cycle.append(cycle)
    writer.so(
        NAME,
        set_to("plain", "text"),
        so.event_request_change("cycle", amf0.encode(cycle)),
        set_to("after", 3),
    )
    await other.until(lambda: len(other.so_messages()) == 3)
    assert [[event.key for event in one.events] for one in other.so_messages()] == [
        ["plain"],
        ["cycle"],
        ["after"],
    ]
    assert {one.version for one in other.so_messages()} == {2}
    inner = amf0.decode(other.so_messages()[1].events[0].value)[0]
    assert isinstance(inner, list)
    assert inner[1] is inner


async def test_a_value_that_refers_to_an_earlier_one_is_made_to_stand_alone(table: Table) -> None:
    writer, other = await table.join(), await table.join()
    first = amf0.encode({"x": 1.0})
    reference = b"\x07\0\0"  # the first complex value of the message
    writer.so(NAME, so.event_request_change("a", first), so.event_request_change("b", reference))
    assert await other.so_until(2) == [
        (SO_CHANGE, "a", {"x": 1.0}),
        (SO_CHANGE, "b", {"x": 1.0}),
    ]
    late = await table.join(use=False)
    late.so(NAME, so.EVENT_USE)
    assert (await late.so_until(4))[-1] == (SO_CHANGE, "b", {"x": 1.0})


async def test_a_value_too_big_to_replicate_is_refused_and_rolled_back(table: Table) -> None:
    writer = await table.join()
    writer.so(NAME, set_to("big", "x" * (800 * 1024)))
    assert await writer.so_until(2) == [
        (SO_STATUS, SO_NO_WRITE_ACCESS, None),
        (SO_REMOVE, "big", None),
    ]


async def test_a_refused_write_is_rolled_back_in_one_message_even_to_a_value_with_references(
    table: Table,
) -> None:
    writer, reader = await table.join(), await table.join("reader")
    cycle: list[object] = [1.0]
    cycle.append(cycle)
    writer.so(NAME, set_to("k", cycle))
    await reader.so_until(1)
    reader.so(NAME, set_to("k", 1))
    await reader.until(reader.so_messages)
    (message,) = reader.so_messages()
    assert [event.type for event in message.events] == [SO_STATUS, SO_CHANGE]


async def test_a_name_too_long_to_replicate_is_refused(table: Table) -> None:
    peer = await table.join()
    peer.so("n" * 20_000, so.EVENT_USE)
    assert await peer.so_until(1) == [(SO_STATUS, SO_CREATION_FAILED, None)]
    key = "k" * 20_000
    peer.so(NAME, set_to(key, 1), so.event_request_remove(key))
    assert [type for type, _, _ in await peer.so_until(3)] == [SO_STATUS, SO_REMOVE, SO_REMOVE]


async def test_what_amf0_cannot_say_is_unsupported_to_amf0_clients_and_stops_nobody(
    table: Table,
) -> None:
    flash9, old = await table.join(amf3=True), await table.join()
    name = b"k" * 70_000  # AMF0 has 16 bits for the length of a property's name
    length = bytes((140_001 >> 14 | 0x80, 140_001 >> 7 & 0x7F | 0x80, 140_001 & 0x7F))
    raw = b"\x11\x0a\x0b\x01" + length + name + b"\x04\x01\x01"
    flash9.so(NAME, so.event_request_change("k", raw), set_to("after", 1))
    assert [key for _, key, _ in await flash9.so_until(2)] == ["k", "after"]
    told = await old.so_until(2)
    assert told == [(SO_CHANGE, "k", UNSUPPORTED), (SO_CHANGE, "after", 1.0)]
    late = await table.join(use=False)
    late.so(NAME, so.EVENT_USE)
    assert len(await late.so_until(4)) == 4


async def test_an_applications_values_may_be_larger_than_those_of_clients(table: Table) -> None:
    caller, other = await table.join(use=False), await table.join()
    other.rtmp.limits = ConnectionLimits(values=STORED)
    caller.send(caller.rtmp.call("put_wide", NAME)[1])
    await other.until(other.so_messages)
    assert [event.key for event in other.so_messages()[0].events] == ["deep", "wide"]
    late = await table.join(use=False)
    late.rtmp.limits = other.rtmp.limits
    late.so(NAME, so.EVENT_USE)
    await late.until(late.so_messages)
    assert len(late.so_messages()[0].events) == 4


async def test_the_applications_changes_reach_everyone_as_changes(table: Table) -> None:
    caller, other = await table.join(), await table.join()
    caller.send(caller.rtmp.command("put", 5, None, NAME, "k", [1, {"a": None}]))
    for peer in (caller, other):
        assert (await peer.so_until(1))[0][:2] == (SO_CHANGE, "k")


async def test_a_result_comes_after_the_changes_of_its_call(table: Table) -> None:
    caller = await table.join()
    caller.watch_messages()
    caller.send(caller.rtmp.call("put", NAME, "k", 1)[1])
    await caller.until(lambda: len(caller.messages) == 2)
    assert [message.type for message in caller.messages] == [19, 20]
