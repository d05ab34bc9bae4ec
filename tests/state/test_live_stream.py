"""What a late joiner gets."""

from __future__ import annotations

from rtmp_sync.state.live_stream import LiveMessage, LiveStream
from rtmp_sync.wire.constants import AUDIO, DATA, VIDEO
from rtmp_sync.wire.media import classify

AVC_HEADER = b"\x17\x00\x00\x00\x00config"
AAC_HEADER = b"\xaf\x00\x12\x10"
KEY = b"\x17\x01\x00\x00\x00key"
INTER = b"\x27\x01\x00\x00\x00inter"
SOUND = b"\xaf\x01sound"


def live(*messages: tuple[int, int, bytes], gop_cache_bytes: int = 10_000) -> LiveStream:
    stream = LiveStream("s", gop_cache_bytes=gop_cache_bytes)
    stream.start("c1")
    for type, timestamp, payload in messages:
        stream.publish(type, classify(type, payload), timestamp, payload)
    return stream


def seen(messages: list[LiveMessage]) -> list[tuple[int, bytes]]:
    return [(message.timestamp, message.payload) for message in messages]


def test_a_late_joiner_gets_headers_and_everything_since_the_last_key_frame():
    stream = live(
        (VIDEO, 0, AVC_HEADER),
        (AUDIO, 0, AAC_HEADER),
        (VIDEO, 0, KEY),
        (VIDEO, 40, INTER),
        (VIDEO, 80, KEY),
        (AUDIO, 90, SOUND),
        (VIDEO, 120, INTER),
    )
    stream.set_metadata(0, b"meta")
    assert seen(stream.join()) == [
        (80, b"meta"),
        (80, AVC_HEADER),
        (80, AAC_HEADER),
        (80, KEY),
        (90, SOUND),
        (120, INTER),
    ]


def test_before_a_key_frame_there_are_only_headers():
    stream = live((VIDEO, 0, AVC_HEADER), (VIDEO, 40, INTER), (AUDIO, 50, SOUND))
    assert seen(stream.join()) == [(50, AVC_HEADER)]


def test_an_audio_stream_has_no_group_of_pictures():
    stream = live((AUDIO, 0, AAC_HEADER), (AUDIO, 23, SOUND))
    assert seen(stream.join()) == [(23, AAC_HEADER)]


def test_the_last_header_of_each_track_counts():
    other = AVC_HEADER + b"2"
    stream = live((VIDEO, 0, AVC_HEADER), (VIDEO, 0, KEY), (VIDEO, 40, other))
    assert seen(stream.join()) == [(0, other)]  # frames of the old one are useless now


def test_tracks_of_enhanced_rtmp_have_headers_of_their_own():
    def header(track: int) -> bytes:
        return b"\x96\x00avc1" + bytes([track]) + b"config"

    stream = live((VIDEO, 0, header(0)), (VIDEO, 0, header(1)), (VIDEO, 0, header(1)))
    assert [payload for _, payload in seen(stream.headers())] == [header(0), header(1)]


def test_the_cache_is_bounded_and_comes_back_with_the_next_key_frame():
    big = INTER + bytes(900)
    stream = live((VIDEO, 0, KEY), (VIDEO, 1, big), (VIDEO, 2, INTER), gop_cache_bytes=500)
    assert stream.join() == []
    stream.publish(VIDEO, classify(VIDEO, KEY), 3, KEY)
    assert seen(stream.join()) == [(3, KEY)]


def test_script_data_within_a_group_is_cached_and_empty_messages_are_not():
    stream = live((VIDEO, 0, KEY), (DATA, 5, b"cue"), (VIDEO, 6, b""), (AUDIO, 7, b""))
    assert seen(stream.join()) == [(0, KEY), (5, b"cue")]


def test_nothing_of_an_earlier_publisher_is_shown():
    stream = live((VIDEO, 0, AVC_HEADER), (VIDEO, 0, KEY))
    stream.set_metadata(0, b"meta")
    stream.stop()
    assert stream.publisher is None
    assert stream.join() == []
    stream.start("c2")
    assert stream.publisher == "c2"
    assert stream.join() == []


def test_a_track_that_ended_leaves_no_header():
    stream = live((VIDEO, 0, AVC_HEADER), (VIDEO, 9, b"\x17\x02\x00\x00\x00"))
    assert stream.headers() == []


def test_pictures_of_a_sequence_that_ended_are_shown_to_nobody_new():
    ended = [(VIDEO, 0, AVC_HEADER), (VIDEO, 0, KEY), (VIDEO, 40, b"\x17\x02\x00\x00\x00")]
    assert seen(live(*ended).join()) == []
    again = [*ended, (VIDEO, 80, AVC_HEADER), (VIDEO, 80, KEY)]
    assert seen(live(*again).join()) == [(80, AVC_HEADER), (80, KEY)]
