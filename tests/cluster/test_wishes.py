from __future__ import annotations

from rtmp_sync.cluster.view import HAND_EDIT, Request
from rtmp_sync.cluster.wishes import Wishes


def test_there_is_one_command_at_a_time_until_it_is_settled() -> None:
    wishes = Wishes()
    assert wishes.command("pause", "admin", 1.0)
    assert wishes.current == Request("pause", "admin", 1.0)
    assert not wishes.command("resume", "admin", 2.0)
    wishes.settle()
    assert wishes.current is None
    assert wishes.command("resume", "admin", 3.0)


def test_an_edit_of_the_line_is_news_once_and_stays_until_the_line_says_otherwise() -> None:
    wishes = Wishes()
    assert wishes.note_edit(True, 1.0)
    assert not wishes.note_edit(True, 2.0)
    wishes.settle()
    assert wishes.current == Request("switchover", HAND_EDIT, 1.0)
    assert not wishes.note_edit(False, 3.0)
    assert wishes.current is None
