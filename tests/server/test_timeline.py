"""Messages of several sources in one stream."""

from __future__ import annotations

from rtmp_sync.server.timeline import Timeline
from rtmp_sync.state.live_stream import LiveMessage
from rtmp_sync.wire import media
from rtmp_sync.wire.constants import AUDIO, VIDEO

HEADER = b"\x17\0\0\0\0config"


def sound(timestamp: int) -> LiveMessage:
    return LiveMessage(AUDIO, media.AUDIO, timestamp, b"\xaf\1")


def header(timestamp: int) -> LiveMessage:
    return LiveMessage(VIDEO, media.classify(VIDEO, HEADER), timestamp, HEADER)


async def test_a_source_keeps_its_distances_from_its_first_message_on() -> None:
    timeline = Timeline()
    timeline.switch()
    assert [timeline.place(sound(ms)) for ms in (90_000, 90_020, 90_500)] == [0, 20, 500]
    assert timeline.last == 500


async def test_time_goes_on_behind_the_last_message_of_the_source_before() -> None:
    timeline = Timeline()
    timeline.switch()
    timeline.place(sound(0))
    timeline.place(sound(600_000))
    timeline.switch()
    assert [timeline.place(sound(ms)) for ms in (7, 47)] == [600_001, 600_041]


async def test_a_header_is_where_its_source_begins_however_old_it_is() -> None:
    timeline = Timeline()
    timeline.switch()
    assert timeline.place(header(10)) == 0
    assert [timeline.place(sound(ms)) for ms in (5000, 5020)] == [0, 20]


async def test_what_is_older_than_the_first_message_is_not_before_the_source() -> None:
    timeline = Timeline()
    timeline.switch()
    assert [timeline.place(sound(ms)) for ms in (1000, 980, 1040)] == [0, 0, 40]


async def test_a_source_may_pass_the_end_of_32_bits() -> None:
    timeline = Timeline()
    timeline.switch()
    assert [timeline.place(sound(ms)) for ms in (0xFFFFFFF0, 0xFFFFFFFF, 4)] == [0, 15, 20]


async def test_a_source_may_be_played_for_longer_than_half_of_32_bits() -> None:
    timeline = Timeline()
    timeline.switch()
    days = [day * 86_400_000 for day in range(60)]
    assert [timeline.place(sound(ms & 0xFFFFFFFF)) for ms in days] == days


async def test_a_header_in_the_middle_is_where_the_source_is_by_then() -> None:
    timeline = Timeline()
    timeline.switch()
    placed = [timeline.place(one) for one in (sound(0), sound(700), header(0), sound(740))]
    assert placed == [0, 700, 700, 740]
