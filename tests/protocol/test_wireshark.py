"""Wireshark as an independent judge of the bytes that both ends write."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtmp_sync.wire import amf0
from rtmp_sync.wire import constants as c
from rtmp_sync.wire import shared_object as so
from rtmp_sync.wire.chunk import ChunkWriter
from tests.support import wireshark
from tests.support.rtmp_peer import Joined

INFO, MALFORMED, COMPLAINT = "_ws.col.Info", "_ws.malformed", "_ws.expert.message"


def talk(joined: Joined, object_encoding: int) -> None:
    """A bit of everything."""
    joined.connect("Ann", object_encoding=object_encoding)
    transaction, call = joined.client.call("setText", "x" * 6000, {"a": [1, None]})
    joined.to_server(call)
    joined.to_client(joined.server.command("_result", transaction, None, {"k": 1}))
    joined.to_server(joined.client.call("createStream")[1])
    joined.to_server(joined.client.command("publish", 0, None, "cam", "live", msid=1))
    joined.to_client(joined.server.status(1, "status", c.PUBLISH_START, "ok"))
    frame = b"\x17\x01\0\0\0" + bytes(9000)
    joined.to_server(joined.client.message(c.VIDEO, frame, msid=1, timestamp=5))
    # Wireshark does not know that continuations repeat an extended timestamp, so one chunk only
    joined.to_server(joined.client.message(c.AUDIO, b"\xaf\x01", msid=1, timestamp=0x1000005))
    header = so.header("text", 3, True)
    change = so.event_request_change("k", amf0.encode("v"))
    joined.to_server(joined.client.message(c.SHARED_OBJECT, header + change))
    joined.to_client(joined.server.message(c.SHARED_OBJECT, header + so.event_success("k")))
    joined.to_client(joined.server.user_control(c.PING_REQUEST, 5))
    joined.settle()
    writer = ChunkWriter(joined.client.chunk_size)
    for number in range(4):  # every header form
        joined.to_server(writer.write(c.AUDIO, 1, 20 * number, b"\xaf\x01" + bytes(40), 6))


@pytest.mark.parametrize("object_encoding", [0, 3])
@pytest.mark.parametrize("chunk_size", [128, 4096])
def test_wireshark_understands_every_message(
    tmp_path: Path, object_encoding: int, chunk_size: int
) -> None:
    joined = Joined(digest_scheme=0, chunk_size=chunk_size)
    talk(joined, object_encoding)
    capture = tmp_path / "talk.pcap"
    wireshark.write_capture(capture, joined.said)
    said = wireshark.dissect(capture, INFO, MALFORMED, COMPLAINT)
    assert [line[1:] for line in said] == [["", ""]] * len(said), "nothing is malformed"
    assert [message for line in said for message in line[0].split("|")] == [
        "Handshake C0+C1",
        "Handshake S0+S1+S2",
        "Handshake C2",
        "Window Acknowledgement Size 2500000",
        f"Set Chunk Size {chunk_size}",
        "connect('text/room')",
        "Window Acknowledgement Size 2500000",
        "Set Peer Bandwidth 2500000,Dynamic",
        f"Set Chunk Size {chunk_size}",
        "Stream Begin 0",
        "_result('NetConnection.Connect.Success')",
        "onBWDone()",
        "setText()",
        "_result()",
        "createStream()",
        "publish('cam')",
        "onStatus('NetStream.Publish.Start')",
        "Video Data",
        "Audio Data",
        "AMF0 Shared Object",
        "AMF0 Shared Object",
        "Ping Request",
        "Ping Response",
        "Audio Data",
        "Audio Data",
        "Audio Data",
        "Audio Data",
    ]
