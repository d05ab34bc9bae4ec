"""What leaves, in which order, and what a slow client loses."""

from __future__ import annotations

import pytest

from rtmp_sync.server.commit import CommitPoint
from rtmp_sync.server.outbox import Outbox, Outlets
from rtmp_sync.wire import media

KEY = media.VIDEO | media.KEY_FRAME
INTER = media.VIDEO | media.DROPPABLE
HEADER = media.VIDEO | media.SEQUENCE_HEADER


class Sink:
    """The transport's end: every write."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)


class Bench:
    def __init__(self, *, level: int = 0, limit: int = 1000) -> None:
        self.commit = CommitPoint(require_peer=True)
        self.commit.head_moved(100)
        self.commit.peer_acked(level)
        self.outlets = Outlets(self.commit)
        self.sink = Sink()
        self.stuck = 0
        self.outbox = Outbox(self.outlets, limit, self._stuck)
        self.outbox.open(self.sink)

    def _stuck(self) -> None:
        self.stuck += 1

    def ack(self, seq: int) -> None:
        self.commit.peer_acked(seq)
        self.outlets.release()

    def flush(self) -> list[bytes]:
        self.outlets.flush()
        return self.sink.writes


def test_what_leaves_together_leaves_in_one_write() -> None:
    bench = Bench(level=5)
    for data in (b"a", b"b", b"c"):
        bench.outbox.put(5, 0, data)
    assert bench.flush() == [b"abc"]


def test_a_message_waits_for_its_barrier_and_what_follows_waits_behind_it() -> None:
    bench = Bench(level=5)
    bench.outbox.put(5, 0, b"a")
    bench.outbox.put(7, 0, b"b")
    bench.outbox.put(6, 0, b"c")
    assert bench.flush() == [b"a"]
    bench.ack(6)
    assert bench.sink.writes == [b"a"]
    bench.ack(7)
    assert bench.sink.writes == [b"a", b"bc"]


def test_media_passes_what_waits_on_other_streams_but_not_on_its_own() -> None:
    bench = Bench()
    bench.outbox.put(7, 1, b"[status of 1]")
    bench.outbox.put_media(1, b"[1]", KEY)
    bench.outbox.put_media(2, b"[2]", KEY)
    assert bench.flush() == [b"[2]"]
    bench.ack(7)
    assert bench.sink.writes == [b"[2]", b"[status of 1][1]"]


def test_media_of_a_stream_flows_again_once_nothing_of_it_waits() -> None:
    bench = Bench()
    bench.outbox.put(7, 1, b"[status]")
    bench.ack(7)
    bench.outbox.put_media(1, b"[1]", KEY)
    assert bench.flush() == [b"[status]", b"[1]"]


def test_a_slow_client_loses_inter_frames_until_the_next_key_frame() -> None:
    bench = Bench(limit=100)
    bench.outbox.pause()
    bench.outbox.put_media(1, b"k" * 30, KEY)
    bench.outbox.put_media(1, b"i", INTER)
    bench.outbox.put_media(1, b"h", HEADER)
    bench.outbox.put_media(1, b"d", 0)
    bench.outbox.put_media(1, b"a", media.AUDIO)
    assert bench.outbox.dropped_frames == 1
    bench.outbox.resume()
    assert bench.flush() == [b"k" * 30 + b"hda"]
    bench.outbox.put_media(1, b"j", INTER)
    bench.outbox.put_media(1, b"K", KEY)
    bench.outbox.put_media(1, b"l", INTER)
    assert b"".join(bench.flush()) == b"k" * 30 + b"hdaKl"
    assert bench.outbox.dropped_frames == 2


@pytest.mark.parametrize(
    "flags",
    [
        HEADER,
        media.AUDIO | media.SEQUENCE_HEADER,
        media.VIDEO | media.METADATA,
        media.VIDEO | media.END_OF_SEQUENCE,
        media.VIDEO | media.UNKNOWN,
        media.AUDIO | media.UNKNOWN,
    ],
)
def test_what_later_media_needs_is_never_dropped(flags: int) -> None:
    bench = Bench(limit=100)
    bench.outbox.pause()
    bench.outbox.put_media(1, b"k" * 60, KEY)
    bench.outbox.put_media(1, b"a", media.AUDIO)
    bench.outbox.put_media(1, b"i", INTER)
    assert bench.outbox.dropped_frames == 2
    bench.outbox.put_media(1, b"needed", flags)
    bench.outbox.resume()
    assert bench.flush() == [b"k" * 60 + b"needed"]


def test_more_than_fits_at_once_loses_frames_and_not_the_client() -> None:
    bench = Bench(limit=100)
    bench.outbox.put_media(1, b"k" * 10, KEY)
    for _ in range(20):
        bench.outbox.put_media(1, b"i" * 10, INTER)
    assert (bench.outbox.size, bench.stuck) == (80, 0)  # there is room for a status
    bench.flush()
    bench.outbox.put_media(1, b"j", INTER)  # its picture builds on one that was left out
    bench.outbox.put_media(1, b"K", KEY)
    assert bench.flush()[-1] == b"K"


def test_one_message_may_be_longer_than_all_that_may_wait() -> None:
    bench = Bench(limit=100)
    bench.outbox.put_media(1, b"k" * 200, KEY)
    assert (bench.stuck, bench.flush()) == (0, [b"k" * 200])
    for _ in range(2):
        bench.outbox.put_media(1, b"d" * 200, 0)
    bench.flush()
    assert bench.stuck == 1


def test_a_client_that_never_reads_is_stuck_once_and_nothing_is_kept_for_it() -> None:
    bench = Bench(limit=100)
    bench.outbox.pause()
    for _ in range(50):
        bench.outbox.put(0, 0, b"command of 10")
    bench.flush()
    assert bench.stuck == 1
    assert bench.outbox.size == 0
    bench.outbox.resume()
    assert bench.flush() == []


def test_the_end_is_told_when_all_that_was_put_has_left() -> None:
    bench = Bench()
    told: list[list[bytes]] = []
    bench.outbox.put(7, 0, b"refused")
    bench.outbox.finish(lambda: told.append(list(bench.sink.writes)))
    bench.flush()
    assert told == []
    bench.ack(7)
    assert told == [[b"refused"]]


@pytest.mark.parametrize("put", ["put", "put_media"])
def test_after_its_end_an_outbox_takes_nothing(put: str) -> None:
    bench = Bench(level=9)
    bench.outbox.close()
    if put == "put":
        bench.outbox.put(1, 0, b"late")
    else:
        bench.outbox.put_media(1, b"late", KEY)
    assert bench.flush() == []
    assert bench.outbox.size == 0


def test_what_waits_for_its_barrier_is_not_held_against_a_client_that_reads() -> None:
    bench = Bench(limit=10)
    for seq in range(1, 6):
        bench.outbox.put(seq, 0, b"x" * 10)
    assert (bench.outbox.size, bench.stuck) == (50, 0)
    bench.ack(5)
    assert (b"".join(bench.flush()), bench.outbox.size) == (b"x" * 50, 0)


def test_what_waits_has_a_bound_too() -> None:
    bench = Bench(limit=10)
    data = b"x" * (1 << 20)
    for _ in range(64):
        bench.outlets.put_all([bench.outbox], 1, data)
        bench.flush()
    assert bench.stuck == 1
    assert bench.outbox.size == 0


def test_media_behind_a_message_that_waits_for_long_does_not_pile_up() -> None:
    bench = Bench(limit=1000)
    bench.outbox.put(1, 1, b"status")
    for _ in range(100):
        bench.outbox.put_media(1, b"i" * 100, INTER)
    assert bench.outbox.size < 500
    bench.outbox.put_media(1, b"h", HEADER)
    bench.ack(1)
    bench.outbox.put_media(1, b"late", INTER)
    bench.outbox.put_media(1, b"KEY", KEY)
    sent = b"".join(bench.flush())
    assert sent.startswith(b"status" + b"i" * 100)
    assert sent.endswith(b"ihKEY")


def test_a_message_that_waits_can_be_taken_back_and_one_that_left_cannot() -> None:
    bench = Bench(level=5)
    left, waits = b"left", b"waits"
    bench.outbox.put(5, 0, left)
    bench.flush()
    bench.outbox.put(6, 0, b"a")
    bench.outbox.put(6, 0, waits)
    bench.outbox.put(6, 0, b"b")
    assert not bench.outbox.withdraw(left)
    assert not bench.outbox.withdraw(bytes(bytearray(b"waits")))  # only this very object
    assert bench.outbox.withdraw(waits)
    assert bench.outbox.size == 2
    bench.ack(6)
    assert bench.flush() == [b"left", b"ab"]


def test_what_says_nothing_of_the_state_passes_what_waits() -> None:
    bench = Bench(level=5)
    bench.outbox.put(6, 0, b"waits")
    bench.outbox.put_at_once(b"at once")
    assert bench.flush() == [b"at once"]
    bench.ack(6)
    assert bench.flush() == [b"at once", b"waits"]


def test_what_was_taken_back_leaves_nothing_behind_however_often() -> None:
    bench = Bench(level=5)
    bench.outbox.put(7, 0, b"before")
    for number in range(100):
        answer = f"answer {number}".encode()
        bench.outbox.put(7, 0, answer)
        assert bench.outbox.withdraw(answer)
    bench.outbox.put(8, 0, b"after")
    assert len(bench.outbox._waiting) == 2
    bench.ack(8)
    assert bench.sink.writes == [b"beforeafter"]


def test_an_outbox_from_which_all_was_taken_back_is_listed_once() -> None:
    bench = Bench(level=5)
    for number in range(100):
        answer = f"answer {number}".encode()
        bench.outbox.put(7, 0, answer)
        assert bench.outbox.withdraw(answer)
    assert len(bench.outlets.waiting) == len(bench.outbox._waiting) == 1
    assert bench.outbox.size == 0
    bench.outbox.put(7, 0, b"next")
    bench.ack(7)
    assert bench.sink.writes == [b"next"]
    assert bench.outlets.waiting == []


def test_who_does_not_read_is_ended_by_what_passes_the_barriers_too() -> None:
    bench = Bench(level=5, limit=1000)
    bench.outbox.pause()
    for _ in range(12):
        bench.outbox.put_at_once(bytes(100))
    bench.flush()
    assert bench.stuck == 1
