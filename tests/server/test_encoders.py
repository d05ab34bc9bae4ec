"""What encoders send: the talk of FMLE in both AMF forms, aggregates, any chunk size, E-RTMP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from rtmp_sync import Origin
from rtmp_sync.protocol.events import CallAnswered, CommandReceived, StatusReceived
from rtmp_sync.wire import amf0
from rtmp_sync.wire.chunk import encode_message
from rtmp_sync.wire.constants import (
    AGGREGATE,
    AUDIO,
    CAPS_MODEX,
    CAPS_MULTITRACK,
    CAPS_RECONNECT,
    CSID_CONTROL,
    CSID_VIDEO,
    DATA,
    DATA_AMF3,
    SET_CHUNK_SIZE,
    VIDEO,
)
from rtmp_sync.wire.flv import encode_tag
from tests.support.origins import until
from tests.support.peer import Peer

METADATA = amf0.encode("onMetaData", {"width": 320.0})
SET_METADATA = amf0.encode("@setDataFrame") + METADATA
KEY, INTER = b"\x17\1\0\0\0key", b"\x27\1\0\0\0inter"
SOUND = b"\xaf\1sound"
FMLE = {"type": "nonprivate", "flashVer": "FMLE/3.0 (compatible; FMSc/1.0)"}


@pytest.fixture
async def player(origin: Origin) -> AsyncIterator[Peer]:
    """It plays "cam", now or later."""
    peer = await Peer().join(origin.rtmp_port)
    peer.tell("play", "cam")
    await peer.status("NetStream.Play.Start")
    yield peer
    peer.close()


@pytest.fixture
async def encoder(origin: Origin) -> AsyncIterator[Peer]:
    """It publishes "cam"."""
    peer = await Peer().join(origin.rtmp_port)
    peer.tell("publish", "cam", "live")
    await peer.status("NetStream.Publish.Start")
    yield peer
    peer.close()


def frames(peer: Peer) -> list[tuple[int, int, bytes]]:
    return [(one.type, one.timestamp, one.payload) for one in peer.media() if one.type != DATA]


def named(peer: Peer, name: str) -> list[bytes]:
    """Data messages of this name, as they came."""
    begin = amf0.encode(name)
    return [one.payload for one in peer.media() if one.payload.startswith(begin)]


@pytest.mark.parametrize("encoding", [0, 3], ids=["AMF0", "AMF3"])
async def test_the_talk_of_fmle_is_answered_step_by_step(
    origin: Origin, player: Peer, encoding: int
) -> None:
    """With objectEncoding 3 its commands are of type 17, its data of type 15."""
    peer = Peer()
    await peer.connect(origin.rtmp_port, "probe/live", "", objectEncoding=encoding, **FMLE)
    for command in ("releaseStream", "FCPublish"):
        peer.send(peer.rtmp.call(command, "cam")[1])
    peer.send(peer.rtmp.call("createStream")[1])
    assert (await peer.event(CallAnswered, 3)).result == 1.0
    peer.tell("publish", "cam", "live")
    await peer.status("NetStream.Publish.Start")
    type, form = (DATA_AMF3, b"\0") if encoding else (DATA, b"")
    peer.push(type, 0, form + SET_METADATA)
    peer.push(VIDEO, 0, KEY)
    await player.until(lambda: frames(player))
    assert named(player, "onMetaData") == [METADATA]
    peer.send(peer.rtmp.call("FCUnpublish", "cam")[1])
    peer.send(peer.rtmp.command("deleteStream", 0, None, 1.0))
    await peer.status("NetStream.Unpublish.Success")
    told = [
        one.name if isinstance(one, CommandReceived) else str(one.info["code"])
        for one in peer.events
        if isinstance(one, CommandReceived | StatusReceived)
    ]
    assert told == [
        "onFCPublish",
        "NetStream.Publish.Start",
        "onFCUnpublish",
        "NetStream.Unpublish.Success",
    ]
    assert await peer.command("onFCPublish") == [
        {"code": "NetStream.Publish.Start", "description": "cam"}
    ]
    assert await peer.command("onFCUnpublish") == [
        {"code": "NetStream.Unpublish.Success", "description": "cam"}
    ]
    peer.close()


async def test_an_aggregate_is_played_as_its_parts(player: Peer, encoder: Peer) -> None:
    """Its own time counts for the first of them, theirs say how far the others are from it."""
    parts = [
        (VIDEO, 500, KEY),
        (AUDIO, 510, SOUND),
        (DATA, 520, amf0.encode("onTextData", "x")),
        (VIDEO, 540, INTER),
    ]
    encoder.push(AGGREGATE, 9000, b"".join(encode_tag(*part) for part in parts))
    await player.until(lambda: len(frames(player)) == 3)
    assert frames(player) == [(VIDEO, 9000, KEY), (AUDIO, 9010, SOUND), (VIDEO, 9040, INTER)]
    assert named(player, "onTextData") == [amf0.encode("onTextData", "x")]


@pytest.mark.parametrize("chunk_size", [1, 127, 128, 4096, 60_000, 0xFFFFFF, 0x7FFFFFFF])
async def test_any_chunk_size_will_do(player: Peer, encoder: Peer, chunk_size: int) -> None:
    """Before, between and behind messages; also with times that need the extended field."""
    small = encode_message(SET_CHUNK_SIZE, 0, 0, chunk_size.to_bytes(4), CSID_CONTROL, 4096)
    sent = [(VIDEO, at, KEY + bytes(at % 7 * 1000)) for at in (0, 1, 5, 0xFFFFFE, 0x1000003)]
    data = b"".join(
        encode_message(VIDEO, 1, at, payload, CSID_VIDEO, chunk_size) for _, at, payload in sent
    )
    encoder.send(small + data)
    await player.until(lambda: len(frames(player)) == len(sent))
    assert frames(player) == sent


async def test_who_speaks_enhanced_rtmp_is_told_what_we_forward(origin: Origin) -> None:
    peer = Peer()
    fourccs = {"hvc1": 1.0, "av01": 1.0}
    answer = await peer.connect(
        *(origin.rtmp_port, "probe/live", ""),
        fourCcList=["hvc1", "Opus"],
        videoFourCcInfoMap=fourccs,
        audioFourCcInfoMap={"Opus": 1.0},
        capsEx=15.0,
    )
    told = {key: answer.properties[key] for key in ("fourCcList", "capsEx")}
    assert told == {"fourCcList": ["*"], "capsEx": CAPS_RECONNECT | CAPS_MULTITRACK | CAPS_MODEX}
    for key in ("videoFourCcInfoMap", "audioFourCcInfoMap"):
        assert answer.properties[key] == {"*": 4}
    peer.close()


async def test_a_late_joiner_gets_every_track_from_the_key_frame_of_the_first(
    origin: Origin, encoder: Peer
) -> None:
    """Track 0 in the plain form, track 1 wrapped, as ffmpeg sends them; colours for each."""
    headers = [
        (VIDEO, 0, b"\x90hvc1config"),
        (VIDEO, 0, b"\x96\x00hvc1\x01config 1"),
        (VIDEO, 0, b"\x94hvc1colours"),
        (VIDEO, 0, b"\x96\x04hvc1\x01colours 1"),
    ]
    group = [
        (VIDEO, 0, b"\x93hvc1key"),
        (VIDEO, 0, b"\x96\x03hvc1\x01key 1"),
        (AUDIO, 3, b"\x91Opussound"),
        (VIDEO, 40, b"\xa3hvc1inter"),
        (VIDEO, 40, b"\xa6\x03hvc1\x01inter 1"),
    ]
    for message in [*headers, *group]:
        encoder.push(*message)
    published = next(iter(origin.instances)).live
    await until(lambda: published.is_published("cam"))
    early = await Peer().join(origin.rtmp_port)
    early.tell("play", "cam")
    await early.until(lambda: frames(early)[-1:] == group[-1:])
    late = await Peer().join(origin.rtmp_port)
    late.tell("play", "cam")
    await late.until(lambda: len(frames(late)) >= len(headers) + len(group))
    assert sorted(frames(late)[: len(headers)]) == sorted(headers)
    assert frames(late)[len(headers) :] == group
    early.close()
    late.close()
