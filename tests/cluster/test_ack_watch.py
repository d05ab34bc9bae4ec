from __future__ import annotations

from rtmp_sync.cluster.ack_watch import AckWatch


def test_nothing_waiting_is_never_late() -> None:
    watch = AckWatch(1.0)
    assert not watch.look(5, 5, None, 0.0)
    assert not watch.look(5, 5, None, 100.0)
    assert watch.due() is None


def test_an_acknowledgement_that_stands_still_for_too_long_is_late() -> None:
    watch = AckWatch(1.0)
    assert not watch.look(6, 5, None, 10.0)
    assert watch.due() == 11.0
    assert not watch.look(9, 5, None, 11.0)
    assert watch.look(9, 5, None, 11.1)


def test_progress_starts_the_count_again() -> None:
    watch = AckWatch(1.0)
    watch.look(6, 5, None, 10.0)
    assert not watch.look(9, 6, None, 10.9)
    assert not watch.look(9, 6, None, 11.8)
    assert watch.look(9, 6, None, 12.0)


def test_the_links_own_knowledge_of_the_oldest_one_counts_too() -> None:
    watch = AckWatch(1.0)
    assert watch.look(6, 5, 8.0, 10.0)


def test_another_link_counts_anew() -> None:
    watch = AckWatch(1.0)
    watch.look(6, 5, None, 10.0)
    watch.restart()
    assert not watch.look(6, 5, None, 12.0)
