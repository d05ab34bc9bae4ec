"""How fast the outbox of a client with a limit empties, at a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from rtmp_sync.server.commit import CommitPoint
from rtmp_sync.server.outbox import Outbox, Outlets
from rtmp_sync.wire import media

RATE = 1000
KEY = media.VIDEO | media.KEY_FRAME
INTER = media.VIDEO | media.DROPPABLE
HEADER = media.VIDEO | media.SEQUENCE_HEADER


class Timer:
    def __init__(self, at: float, callback: Callable[[], None]) -> None:
        self.at, self.callback, self.cancelled = at, callback, False

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """As much of a loop as is needed."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        self.timers.append(Timer(self.now + delay, callback))
        return self.timers[-1]

    @property
    def waiting(self) -> list[Timer]:
        return [one for one in self.timers if not one.cancelled]


class Bench:
    """written: what left, and when."""

    def __init__(self, *, limit: int = 100_000) -> None:
        self.clock = Clock()
        self.outlets = Outlets(CommitPoint())
        self.written: list[tuple[float, bytes]] = []
        self.turns = 0
        self.stuck = 0
        self.outbox = Outbox(self.outlets, limit, self._stuck)
        self.outbox.open(self)
        self.limit(RATE)
        self.outlets.flush()

    def limit(self, rate: int | None) -> None:
        loop = cast(asyncio.AbstractEventLoop, self.clock)
        self.outbox.limit_rate(rate, loop, self._turn)

    def write(self, data: bytes) -> None:
        self.written.append((self.clock.now, data))

    def _stuck(self) -> None:
        self.stuck += 1

    def _turn(self) -> None:
        self.turns += 1

    def until(self, now: float) -> bytes:
        """Let time pass; all that has left by then."""
        while True:
            self.outlets.flush()
            due = min(self.clock.waiting, key=lambda one: one.at, default=None)
            if due is None or due.at > now:
                break
            self.clock.now = due.at
            due.cancel()
            due.callback()
        self.clock.now = now
        return b"".join(data for _, data in self.written)

    def put(self, *messages: bytes) -> None:
        for data in messages:
            self.outbox.put(0, 0, data)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def numbered(count: int, size: int = 100) -> list[bytes]:
    return [number.to_bytes(2, "big") * (size // 2) for number in range(count)]


def test_a_seconds_worth_leaves_at_once_and_the_rest_at_its_rate_and_in_order(bench: Bench) -> None:
    messages = numbered(50)
    bench.put(*messages)
    assert len(bench.until(0)) == RATE
    for seconds in (1, 2, 3):
        assert seconds * RATE <= len(bench.until(seconds)) - RATE + 100 <= seconds * RATE + 200
    assert bench.until(10) == b"".join(messages)
    assert (bench.outbox.bytes_out, bench.outbox.messages_out) == (5000, 50)
    assert bench.outbox.size == 0


def test_small_messages_gather_between_two_writes(bench: Bench) -> None:
    bench.put(*numbered(5000, 2))
    bench.until(9)
    assert len(bench.written) <= 9 / 0.02 + 1


def test_nothing_is_waited_for_while_nothing_waits(bench: Bench) -> None:
    bench.put(b"x")
    bench.until(0)
    assert bench.clock.waiting == []
    bench.put(bytes(2000), b"y")
    bench.until(0)
    assert len(bench.clock.waiting) == 1


def test_a_message_that_is_longer_than_a_seconds_worth_goes_whole_and_is_made_up_for(
    bench: Bench,
) -> None:
    long = bytes(5 * RATE)
    bench.put(long, b"after")
    assert bench.until(3.9) == long
    assert bench.until(4.1) == long + b"after"


def test_a_client_that_was_sent_nothing_for_long_gets_no_more_than_a_seconds_worth_at_once(
    bench: Bench,
) -> None:
    bench.until(1000)
    bench.put(*numbered(50))
    assert len(bench.until(1000)) == RATE


def test_what_waits_for_its_barrier_goes_at_the_rate_too() -> None:
    bench = Bench()
    commit = bench.outlets.commit
    commit.require_peer = True
    commit.head_moved(1)
    messages = numbered(20)
    for one in messages:
        bench.outbox.put(1, 0, one)
    bench.outlets.put_all([bench.outbox], 1, b"z" * 100)
    assert bench.until(100) == b""
    commit.peer_acked(1)
    bench.outlets.release()
    assert len(bench.until(100)) == RATE
    assert bench.until(110) == b"".join(messages) + b"z" * 100


def test_a_single_message_that_waited_for_its_barrier_counts(bench: Bench) -> None:
    commit = bench.outlets.commit
    commit.require_peer = True
    for seq in range(1, 31):
        commit.head_moved(seq)
        bench.outbox.put(seq, 0, bytes(100))
        commit.peer_acked(seq)
        bench.outlets.release()
    assert len(bench.until(0)) == RATE


def test_another_limit_or_none_holds_from_now_on(bench: Bench) -> None:
    messages = numbered(200)
    bench.put(*messages)
    assert len(bench.until(1)) <= 2 * RATE + 100
    bench.limit(5 * RATE)
    sent = len(bench.until(1))
    assert sent + 4 * 5 * RATE / 2 <= len(bench.until(3)) <= sent + 2 * 5 * RATE + 200
    bench.limit(None)
    assert bench.until(3) == b"".join(messages)
    assert bench.clock.waiting == []


def test_a_lower_limit_is_waited_for_no_longer_than_the_one_before() -> None:
    bench = Bench(limit=1_000_000)
    bench.limit(100 * RATE)
    bench.put(bytes(300 * RATE), b"a", b"b")  # two seconds' worth too much
    bench.until(1)
    bench.limit(RATE)
    assert bench.until(1.9).endswith(b"\0")
    assert bench.until(2.2).endswith(b"ab")


def test_a_higher_limit_shortens_what_is_waited_for(bench: Bench) -> None:
    bench.put(bytes(11 * RATE), b"after")
    bench.until(0)
    bench.limit(10 * RATE)
    assert bench.until(0.9).endswith(b"\0")
    assert bench.until(1.1).endswith(b"after")


def test_a_full_transport_is_waited_for_beside_the_limit(bench: Bench) -> None:
    bench.outbox.pause()
    bench.put(*numbered(30))
    assert bench.until(5) == b""
    bench.outbox.resume()
    assert len(bench.until(5)) == RATE
    bench.put(b"x")
    bench.outbox.pause()
    bench.limit(None)
    assert len(bench.until(20)) == RATE
    bench.outbox.resume()
    assert len(bench.until(20)) == 3001


def test_who_has_to_go_is_sent_what_is_left_at_once(bench: Bench) -> None:
    told: list[int] = []
    messages = numbered(50)
    bench.put(*messages)
    bench.until(0)
    bench.outbox.finish(lambda: told.append(len(bench.written)))
    assert bench.until(0) == b"".join(messages)
    assert told == [2]
    assert bench.clock.waiting == []


def test_after_its_end_nothing_is_waited_for(bench: Bench) -> None:
    bench.put(*numbered(50))
    bench.until(0)
    bench.outbox.close()
    assert bench.clock.waiting == []
    assert len(bench.until(9)) == RATE


def test_of_live_media_that_does_not_fit_pictures_go_first_then_sound_and_never_what_is_needed(
    bench: Bench,
) -> None:
    for number in range(100):  # ten seconds in one: at 1,100 bytes a frame
        if number % 5 == 0:
            bench.outbox.put_media(1, b"H" * 10, HEADER)
        bench.outbox.put_media(1, b"K" * 1000, KEY if number % 5 == 0 else INTER)
        bench.outbox.put_media(1, b"a" * 100, media.AUDIO)
        bench.until(number / 10)
        assert bench.outbox.size <= 2 * RATE + 1100
    sent = bench.until(1000)
    assert sent.count(b"H") == 20 * 10
    assert 0 < sent.count(b"K") < 30 * 1000
    assert sent.count(b"a") > 50 * 100
    assert bench.outbox.dropped_frames == 200 - (sent.count(b"K") // 1000 + sent.count(b"a") // 100)


def test_what_is_gathered_for_many_keeps_to_the_limit_of_one(bench: Bench) -> None:
    others = Bench()
    others.limit(None)
    for number in range(10):
        messages = [(bytes([number]) * 300, KEY)]
        bench.outlets.write_media([bench.outbox, others.outbox], 1, messages)
    assert len(others.written) == 10
    assert len(bench.until(0)) == 1200
    assert bench.outbox.size + bench.outbox.dropped_frames * 300 == 1800


def test_calls_that_pile_up_for_a_limited_client_end_it_like_any_other() -> None:
    bench = Bench(limit=10_000)
    bench.put(*numbered(200))
    bench.until(0)
    assert (bench.stuck, bench.outbox.size) == (1, 0)
