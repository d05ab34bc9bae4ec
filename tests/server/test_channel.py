"""Live streams without sessions: who feeds one, and who hears it."""

from __future__ import annotations

from rtmp_sync import Origin
from rtmp_sync.server.live import LiveStreams
from rtmp_sync.state.live_stream import LiveMessage
from rtmp_sync.wire import amf0
from rtmp_sync.wire.constants import AUDIO, DATA, VIDEO
from tests.support.joined import SET_METADATA, begin, instance, join, play, publish
from tests.support.origins import take_over, until
from tests.support.publisher import AVC_HEADER, METADATA, inter, key

SOUND = b"\xaf\1a"
CUE = amf0.encode("onCue")


class Listener:
    """What a tap is told: "begin", "end" and (timestamp, payload)."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def begin(self) -> None:
        self.told.append("begin")

    def hear(self, message: LiveMessage) -> None:
        self.told.append((message.timestamp, message.payload))

    def end(self) -> None:
        self.told.append("end")


class Camera:
    """A source that remembers why its stream was ended."""

    id = "camera"

    def __init__(self) -> None:
        self.ended: list[str] = []

    def taken_over(self, reason: str) -> None:
        self.ended.append(reason)


async def live_of(origin: Origin) -> LiveStreams:
    await join(origin)
    return instance(origin).live


async def test_a_tap_hears_what_a_late_joiner_gets_then_what_comes_until_it_goes(
    origin: Origin,
) -> None:
    publisher = await publish(origin)
    begin(publisher)
    player = await play(origin)
    await until(lambda: len(player.frames) == 3)
    live, listener = instance(origin).live, Listener()
    live.tap("s", listener)
    assert listener.told == [
        "begin",
        (0, METADATA),
        (0, AVC_HEADER),
        (0, b"\xaf\0\x12\x10"),
        (0, key(b"1")),
    ]
    listener.told.clear()
    publisher.stream.send(VIDEO, 40, inter(b"2"))
    await publisher.stream.unpublish()
    assert listener.told == [(40, inter(b"2")), "end"]
    live.untap("s", listener)
    begin(await publish(origin))
    await until(lambda: len(player.frames) == 7)
    assert len(listener.told) == 2


async def test_a_tap_waits_for_who_publishes_and_hears_no_picture_before_a_key_frame(
    origin: Origin,
) -> None:
    live, listener = await live_of(origin), Listener()
    live.tap("s", listener)
    assert listener.told == []
    feed = live.feed("s", Camera())
    assert feed is not None
    for type, ms, payload in [
        (VIDEO, 0, AVC_HEADER),
        (VIDEO, 0, inter()),
        (AUDIO, 10, SOUND),
        (VIDEO, 40, key()),
        (VIDEO, 80, inter()),
    ]:
        feed.put(type, ms, payload)
    feed.close()
    assert listener.told == [
        "begin",
        (0, AVC_HEADER),
        (10, SOUND),
        (40, key()),
        (80, inter()),
        "end",
    ]


async def test_a_tap_may_go_while_it_hears_and_others_hear_on(origin: Origin) -> None:
    live, other = await live_of(origin), Listener()

    class Leaving(Listener):
        def hear(self, message: LiveMessage) -> None:
            super().hear(message)
            live.untap("s", self)

    leaving = Leaving()
    live.tap("s", leaving)
    live.tap("s", other)
    feed = live.feed("s", Camera())
    assert feed is not None
    feed.put(AUDIO, 0, SOUND)
    feed.put(AUDIO, 20, SOUND)
    assert leaving.told == ["begin", (0, SOUND)]
    assert other.told == ["begin", (0, SOUND), (20, SOUND)]


async def test_what_is_fed_is_played_like_what_a_client_publishes(origin: Origin) -> None:
    live = await live_of(origin)
    early = await play(origin)
    feed = live.feed("s", Camera())
    assert feed is not None
    assert live.names == ["s"]
    feed.put(DATA, 0, SET_METADATA)
    feed.put(VIDEO, 0, AVC_HEADER)
    feed.put(VIDEO, 40, key())
    late = await play(origin)
    await until(lambda: len(early.frames) == len(late.frames) == 2)
    for player in (early, late):
        assert METADATA in [payload for _, _, payload in player.heard]
    assert "NetStream.Play.PublishNotify" in early.told
    feed.close()
    feed.put(VIDEO, 80, key(b"after its end"))
    await until(lambda: "NetStream.Play.UnpublishNotify" in late.told)
    assert live.names == []
    assert len(late.frames) == 2


async def test_a_name_has_one_publisher_fed_or_not(origin: Origin) -> None:
    live = await live_of(origin)
    await publish(origin, "a")
    assert live.feed("a", Camera()) is None
    feed = live.feed("b", Camera())
    assert feed is not None
    assert live.feed("b", Camera()) is None
    feed.close()
    await publish(origin, "b")


async def test_who_plays_a_lost_feed_sees_time_go_on_when_it_is_fed_again(origin: Origin) -> None:
    live, listener = await live_of(origin), Listener()
    live.tap("s", listener)
    feed = live.feed("s", Camera())
    assert feed is not None
    feed.put(AUDIO, 5000, SOUND)
    feed.close(lost=True)
    again = live.feed("s", Camera())
    assert again is not None
    live.say("s", CUE)
    again.put(AUDIO, 0, SOUND)
    again.put(AUDIO, 20, SOUND)
    times = [told[0] for told in listener.told if isinstance(told, tuple)]
    assert times == [5000, 5000, 5001, 5021]


async def test_what_is_said_of_a_stream_that_nobody_publishes_is_for_its_players(
    origin: Origin,
) -> None:
    live, listener = await live_of(origin), Listener()
    live.tap("s", listener)
    player = await play(origin)
    live.say("s", CUE)
    await until(lambda: CUE in [payload for _, _, payload in player.heard])
    assert listener.told == []


async def test_an_instance_that_is_let_go_ends_its_feeds_and_says_so(origin: Origin) -> None:
    live, camera = await live_of(origin), Camera()
    feed = live.feed("s", camera)
    assert feed is not None
    await take_over(origin)
    assert len(camera.ended) == 1
    assert live.names == []
