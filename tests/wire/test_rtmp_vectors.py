"""Every vector of chunk streams, handshakes, shared objects and FLV, in every way of feeding."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.wire import amf0, flv, handshake, media, messages, shared_object
from rtmp_sync.wire import constants as c
from rtmp_sync.wire.chunk import ChunkReader, ChunkWriter, Message, encode_message
from tests.support.rtmp_vectors import OWN, SHARED, Vector, data_of, feedings, load, plain

# --- chunk streams


def reader_for(vector: Vector) -> ChunkReader:
    return ChunkReader(vector["initial_chunk_size"], max_message_bytes=c.MAX_MESSAGE_BYTES)


def read(vector: Vector, pieces: list[bytes]) -> list[Message]:
    reader = reader_for(vector)
    return [message for piece in pieces for message in reader.feed(piece)]


def as_fields(message: Message) -> tuple[int, int, int, int, bytes]:
    return message.csid, message.timestamp, message.type, message.msid, message.payload


def interpret(message: Message) -> dict[str, Any]:
    """What a vector's `decoded` says, as far as this type has something to say."""
    type, payload = message.type, message.payload
    if type == c.ABORT:
        return {"csid": messages.decode_u32(payload, "Abort")}
    if type == c.SET_CHUNK_SIZE or type == c.WINDOW_ACKNOWLEDGEMENT_SIZE:
        return {"size": messages.decode_u32(payload, "size")}
    if type == c.ACKNOWLEDGEMENT:
        return {"sequence": messages.decode_u32(payload, "Acknowledgement")}
    if type == c.SET_PEER_BANDWIDTH:
        size, limit_type = messages.decode_peer_bandwidth(payload)
        return {"size": size, "limit_type": limit_type}
    if type == c.USER_CONTROL:
        control = messages.decode_user_control(payload)
        return {
            "event": control.event,
            "value": control.value,
            "stream": control.value,
            "buffer_ms": control.extra,
        }
    if type in (c.COMMAND, c.COMMAND_AMF3):
        header = messages.split_command(type, payload)
        rest, _ = amf0.decode_at(payload, header.offset, -1)
        return {"values": [header.name, header.transaction, *rest]}
    if type in (c.DATA, c.DATA_AMF3):
        return {"values": amf0.decode(payload[messages.values_offset(type, payload) :])}
    return {}


def read_and_interpret(vector: Vector, pieces: list[bytes]) -> None:
    for message in read(vector, pieces):
        interpret(message)


@pytest.mark.parametrize("vector", load("rtmp-chunks.json"))
def test_a_chunk_stream_is_read_in_every_way_of_feeding(vector: Vector) -> None:
    data = data_of(vector)
    if vector["expect"] == "error":
        for _, pieces in feedings(data, vector["name"]):
            with pytest.raises(RemoteProtocolError):
                read_and_interpret(vector, pieces)
        return
    for way, pieces in feedings(data, vector["name"]):
        found = read(vector, pieces)
        assert len(found) == len(vector["messages"]), way
        for message, expected in zip(found, vector["messages"], strict=True):
            assert message.csid == expected["csid"], way
            assert message.timestamp == expected["timestamp"], way
            assert message.type == expected["type"], way
            assert message.msid == expected["msid"], way
            assert len(message.payload) == expected["length"], way
            if "payload_hex" in expected:
                assert message.payload.hex() == expected["payload_hex"], way
            else:
                digest = hashlib.sha256(message.payload).hexdigest()
                assert digest == expected["payload_sha256"], way


@pytest.mark.parametrize("vector", load("rtmp-chunks.json"))
def test_messages_of_a_chunk_stream_mean_what_the_vector_says(vector: Vector) -> None:
    for message, expected in zip(
        [] if vector["expect"] == "error" else read(vector, [data_of(vector)]),
        vector["messages"],
        strict=True,
    ):
        decoded = dict(expected["decoded"])
        if "values" in decoded:
            decoded["values"] = [plain(value) for value in decoded["values"]]
        found = interpret(message)
        for key in found.keys() & decoded.keys():
            assert found[key] == decoded[key], key
        for name, type in (("audio", c.AUDIO), ("video", c.VIDEO), ("aggregate", c.AGGREGATE)):
            if decoded["kind"] == name:
                assert message.type == type


@pytest.mark.parametrize("vector", load("rtmp-chunks.json"))
def test_a_chunk_stream_survives_being_written_again(vector: Vector) -> None:
    if vector["expect"] == "error":
        return
    found = read(vector, [data_of(vector)])
    writer = ChunkWriter()
    again = bytearray()
    alone = bytearray()
    for message in found:
        if message.type == c.SET_CHUNK_SIZE:
            again += writer.set_chunk_size(messages.decode_u32(message.payload, "size"))
            continue
        fields = message.type, message.msid, message.timestamp, message.payload, message.csid
        again += writer.write(*fields)
        alone += encode_message(*fields, 128)
    kept = [m for m in found if m.type != c.SET_CHUNK_SIZE]
    rewritten = [m for m in ChunkReader().feed(bytes(again)) if m.type != c.SET_CHUNK_SIZE]
    assert [as_fields(m) for m in rewritten] == [as_fields(m) for m in kept]
    assert [as_fields(m) for m in ChunkReader().feed(bytes(alone))] == [as_fields(m) for m in kept]


@pytest.mark.parametrize("vector", load("rtmp-chunks.json"))
def test_bytes_behind_a_chunk_stream_wait_for_their_rest(vector: Vector) -> None:
    if vector["expect"] == "error":
        return
    reader = reader_for(vector)
    found = reader.feed(data_of(vector))
    assert not reader.partial
    more = encode_message(c.AUDIO, 1, 0, b"\xaf\x01abc", 9, reader.chunk_size)
    assert reader.feed(more[:-1]) == []
    assert reader.partial
    (last,) = reader.feed(more[-1:])
    assert last.payload == b"\xaf\x01abc"
    assert not reader.partial
    assert len(found) == len(vector["messages"])


# --- handshakes


def packets(vector: Vector) -> list[bytes]:
    """The 1536-byte packets in a capture."""
    data = data_of(vector)
    if len(data) % c.HANDSHAKE_SIZE == 1:
        data = data[1:]
    return [data[pos : pos + c.HANDSHAKE_SIZE] for pos in range(0, len(data), c.HANDSHAKE_SIZE)]


def captures() -> dict[str, Vector]:
    """All captures, shared and own, by name."""
    paths = [folder / "rtmp-handshake.json" for folder in (SHARED, OWN)]
    vectors = [v for path in paths if path.is_file() for v in json.loads(path.read_text())]
    return {vector["name"]: vector for vector in vectors}


@pytest.mark.parametrize("vector", load("rtmp-handshake.json"))
@pytest.mark.parametrize(
    ("member", "key"), [("as_c1", handshake.PLAYER_KEY), ("as_s1", handshake.SERVER_KEY)]
)
def test_the_digest_of_a_capture_is_found_where_it_is(
    vector: Vector, member: str, key: bytes
) -> None:
    packet = packets(vector)[0]
    expected = vector[member]
    found = handshake.find_digest(packet, key)
    if expected is None:
        assert found is None
        return
    assert found == (expected["scheme"], expected["digest_offset"])
    _, offset = found
    assert packet[offset : offset + 32].hex() == expected["digest"]


@pytest.mark.parametrize("vector", load("rtmp-handshake.json"))
def test_the_signature_of_a_capture_answers_the_packet_it_says(vector: Vector) -> None:
    for member, asked, key in (
        ("s2_answers", "as_c1", handshake.SERVER_KEY_FULL),
        ("c2_answers", "as_s1", handshake.PLAYER_KEY_FULL),
    ):
        if member in vector:
            digest = bytes.fromhex(captures()[vector[member]][asked]["digest"])
            packet = packets(vector)[-1]
            assert handshake.signature_valid(packet, key, digest)
            assert not handshake.signature_valid(bytes(1536), key, digest)


@pytest.mark.parametrize("vector", load("rtmp-handshake.json"))
def test_a_server_answers_each_captured_client_in_its_scheme(vector: Vector) -> None:
    c1 = packets(vector)[0]
    expected = -1 if vector["as_c1"] is None else vector["as_c1"]["scheme"]
    for way, pieces in feedings(b"\x03" + c1 + bytes(1536) + b"chunks", vector["name"]):
        server = handshake.ServerHandshake(bytes)
        reply = b"".join(server.receive(piece) for piece in pieces if not server.done)
        assert len(reply) == 3073, way
        assert server.scheme == expected, way
        assert server.done, way
        found = handshake.find_digest(reply[1:1537], handshake.SERVER_KEY)
        assert (found[0] if found else -1) == expected, way


# --- shared objects


def as_values(message: shared_object.SharedObjectMessage) -> dict[str, Any]:
    """The message with its values decoded, in the vectors' words; one pair or key an event."""
    events: list[dict[str, Any]] = []
    for event in message.events:
        said: dict[str, Any] = {"type": event.type}
        if event.type in (c.SO_REQUEST_CHANGE, c.SO_CHANGE, c.SO_CHANGE_ECHO):
            (value,) = amf0.decode(event.value)
            said["pair"] = (event.key, value)
        elif event.type in (c.SO_SUCCESS, c.SO_REMOVE, c.SO_REQUEST_REMOVE):
            said["key"] = event.key
        elif event.type == c.SO_SEND:
            said["values"] = amf0.decode(event.value)
        elif event.type == c.SO_STATUS:
            said["status"] = (event.key, event.level)
        elif event.value:
            said["data_hex"] = event.value.hex()
        events.append(said)
    return {
        "name": message.name,
        "version": message.version,
        "flags": message.flags,
        "persistent": message.persistent,
        "events": events,
    }


def as_expected(value: dict[str, Any]) -> dict[str, Any]:
    events: list[dict[str, Any]] = []
    for event in value["events"]:
        kind = {"type": event["type"]}
        if "pairs" in event:
            events += [{**kind, "pair": (key, plain(v))} for key, v in event["pairs"]]
        elif "keys" in event:
            events += [{**kind, "key": key} for key in event["keys"]]
        elif "values" in event:
            events.append({**kind, "values": [plain(v) for v in event["values"]]})
        elif "code" in event:
            events.append({**kind, "status": (event["code"], event["level"])})
        elif "data_hex" in event:
            events.append({**kind, "data_hex": event["data_hex"]})
        else:
            events.append(kind)
    said = {key: value[key] for key in ("name", "version", "persistent")}
    return {**said, "flags": value["flags"][0], "events": events}


@pytest.mark.parametrize("vector", load("sharedobject.json"))
def test_a_shared_object_message_is_read_and_written_again(vector: Vector) -> None:
    amf3 = vector["message_type"] == c.SHARED_OBJECT_AMF3
    data = data_of(vector)
    if vector["expect"] == "error":
        with pytest.raises(RemoteProtocolError):
            shared_object.decode(data, amf3)
        return
    message = shared_object.decode(data, amf3)
    assert as_values(message) == as_expected(vector["value"])
    again = shared_object.encode(message, amf3)
    assert as_values(shared_object.decode(again, amf3)) == as_expected(vector["value"])
    events = vector["value"]["events"]
    several = any(len(event.get("pairs", event.get("keys", ""))) > 1 for event in events)
    if not several and not vector.get("rewritten"):
        assert again == data


@pytest.mark.parametrize("vector", load("sharedobject.json"))
def test_a_shared_object_message_that_is_cut_anywhere_is_refused_or_shorter(
    vector: Vector,
) -> None:
    amf3 = vector["message_type"] == c.SHARED_OBJECT_AMF3
    if vector["expect"] == "error":
        return
    data = data_of(vector)
    whole = len(shared_object.decode(data, amf3).events)
    for size in range(len(data)):
        try:
            message = shared_object.decode(data[:size], amf3)
        except RemoteProtocolError:
            continue
        assert len(message.events) < whole  # cut between two events


@pytest.mark.parametrize("vector", load("sharedobject.json"))
def test_bytes_behind_a_shared_object_message_are_refused(vector: Vector) -> None:
    if vector["expect"] == "error":
        return
    with pytest.raises(RemoteProtocolError):
        shared_object.decode(data_of(vector) + b"\x04\0", vector["message_type"] == 16)


# --- FLV


@pytest.mark.parametrize("vector", load("flv.json"))
def test_flv_is_read_in_every_way_of_feeding_and_written_again(vector: Vector) -> None:
    data, value = data_of(vector), vector["value"]
    if vector["kind"] == "file-header":
        for way, pieces in feedings(data, vector["name"]):
            reader = flv.FlvReader()
            assert [reader.feed(piece) for piece in pieces] == [[]] * len(pieces), way
            assert reader.has_audio == value["has_audio"], way
            assert reader.has_video == value["has_video"], way
            assert reader.pending_bytes == 0, way
        assert flv.encode_file_header(audio=value["has_audio"], video=value["has_video"]) == data
        return
    for way, pieces in feedings(flv.encode_file_header() + data + data[:-1], vector["name"]):
        reader = flv.FlvReader()
        (tag,) = [tag for piece in pieces for tag in reader.feed(piece)]
        assert tag.type == value["tag_type"], way
        assert tag.filtered == bool(value["filter"]), way
        assert len(tag.payload) == value["data_size"], way
        assert tag.timestamp == value["timestamp"], way
        assert reader.pending_bytes == len(data) - 1, way
    assert flv.encode_tag(tag.type, tag.timestamp, tag.payload) == data


@pytest.mark.parametrize("vector", load("flv.json"))
def test_the_body_of_a_tag_is_what_the_vector_says(vector: Vector) -> None:
    body = vector["value"].get("body") if vector["kind"] == "tag" else None
    if body is None:
        return
    payload = data_of(vector)[11 : 11 + vector["value"]["data_size"]]
    type = vector["value"]["tag_type"]
    if "script" in body:
        assert amf0.decode(payload) == [plain(value) for value in body["script"]]
        return
    flags = media.classify(type, payload)
    assert not flags & media.UNKNOWN
    if not body:
        assert flags & media.EMPTY
        return
    if "fourcc" in body:
        assert media.codec(type, payload) == body["fourcc"]
    starts = 0 in (
        body.get(k) for k in ("avc_packet_type", "video_packet_type", "audio_packet_type")
    )
    assert bool(flags & media.SEQUENCE_HEADER) == starts
    coded = body.get("avc_packet_type") == 1 or body.get("video_packet_type") in (1, 3)
    if coded:
        assert bool(flags & media.KEY_FRAME) == (body["frame_type"] in (1, 4))
        assert bool(flags & media.DROPPABLE) == (body["frame_type"] in (2, 3))
    assert bool(flags & media.END_OF_SEQUENCE) == (body.get("avc_packet_type") == 2)
