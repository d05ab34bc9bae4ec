"""What was asked of a remote shared object: one write of a slot at a time, and who is told."""

from __future__ import annotations

from rtmp_sync.errors import ConnectionLost, RtmpSyncError
from rtmp_sync.server.remote_writes import RemoteWrites, SlotWrite, Told

LOST = ConnectionLost("lost")


class Asked:
    """What was sent, and what was told of it."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes | None]] = []
        self.told: list[tuple[str, RtmpSyncError | None]] = []
        self.writes = RemoteWrites(self._send)

    def _send(self, key: str, write: SlotWrite) -> None:
        self.sent.append((key, write.raw))

    def by(self, name: str) -> Told:
        return lambda error: self.told.append((name, error))

    def add(self, key: str, raw: bytes | None, name: str) -> None:
        self.writes.add(key, raw, self.by(name))


def test_writes_behind_one_under_way_are_sent_as_one_and_all_are_told() -> None:
    asked = Asked()
    for number, name in enumerate("abc"):
        asked.add("k", b"%d" % number, name)
    asked.add("l", None, "d")
    assert asked.sent == [("k", b"0"), ("l", None)]
    asked.writes.answer("k", None)
    assert asked.sent[2:] == [("k", b"2")]
    assert asked.told == [("a", None)]
    asked.writes.answer("k", LOST)
    assert asked.told[1:] == [("b", LOST), ("c", LOST)]
    assert asked.writes.under_way("k") is None
    assert asked.writes.under_way("l") is not None


def test_on_the_next_link_only_the_newest_is_sent_and_all_are_told_of_it() -> None:
    asked = Asked()
    for number, name in enumerate("abc"):
        asked.add("k", b"%d" % number, name)
    asked.writes.send_again()
    assert asked.sent[1:] == [("k", b"2")]
    asked.writes.answer("k", None)
    assert asked.told == [("a", None), ("b", None), ("c", None)]
    assert len(asked.sent) == 2, "nothing is left to send"


def test_who_is_told_may_write_again_behind_what_waits_already() -> None:
    asked = Asked()
    asked.writes.add("k", b"0", lambda error: asked.add("k", b"2", "again"))
    asked.add("k", b"1", "b")
    asked.writes.answer("k", None)
    assert asked.sent == [("k", b"0"), ("k", b"1")]
    asked.writes.answer("k", None)
    assert asked.sent[2:] == [("k", b"2")]
    asked.writes.answer("k", None)
    assert asked.told == [("b", None), ("again", None)]


def test_what_is_abandoned_is_told_once_and_leaves_the_others_alone() -> None:
    asked = Asked()
    for key in ("k", "k", "l"):
        asked.add(key, b"", key)
    asked.writes.add_clear(asked.by("clear"))
    asked.writes.abandon("k", LOST)
    assert asked.told == [("k", LOST)] * 2
    asked.writes.abandon_all(LOST)
    asked.writes.answer_clears(None)
    assert sorted(name for name, _ in asked.told) == ["clear", "k", "k", "l"]
    asked.writes.send_again()
    assert len(asked.sent) == 2
