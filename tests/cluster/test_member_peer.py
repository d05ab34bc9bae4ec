"""Whose acknowledgements release what clients wait for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from rtmp_sync.cluster.member import Member
from rtmp_sync.cluster.observer import Sighting
from rtmp_sync.cluster.peer_status import PeerStatus
from rtmp_sync.cluster.record import Author, InSync, Record, first_record
from rtmp_sync.cluster.timing import DEFAULT
from rtmp_sync.cluster.view import Identity, Pending, Policy

NOW = 1000.0
HELD_BY_A = first_record(("A", "B"), Author("A", "a1", "n1", ""))


@dataclass
class LinkDouble:
    peer: PeerStatus | None
    connected: bool = True
    acked: int = 0
    oldest_unacked_at: float | None = None
    peer_caught_up: bool = True
    in_sync: bool = False
    lag_changes: int = 0


@dataclass
class Around:
    replication: LinkDouble | None
    position: tuple[int, int] = field(default=(1, 10))


def member(record: Record, peer: PeerStatus | None) -> Member:
    identity = Identity("A", "a1", NOW)
    made = Member(
        identity,
        DEFAULT,
        Policy(),
        Around(LinkDouble(peer)),
        nonce=lambda: "n",
        wall=lambda: "",
        now=NOW,
    )
    made.saw(Sighting(NOW, NOW, record), NOW)
    return made


def test_the_recorded_boot_of_the_peer_counts() -> None:
    record = replace(HELD_BY_A, sync=(InSync("B", "b1"),))
    assert member(record, PeerStatus("B", "b1")).peer_counts


def test_another_boot_of_it_does_not_while_the_record_lists_the_dead_one() -> None:
    record = replace(HELD_BY_A, sync=(InSync("B", "b1"),))
    assert not member(record, PeerStatus("B", "b2")).peer_counts


def test_any_boot_counts_when_nobody_is_recorded() -> None:
    assert member(HELD_BY_A, PeerStatus("B", "b2")).peer_counts


def test_while_a_record_that_lists_a_boot_may_land_only_that_boot_counts() -> None:
    listing = HELD_BY_A.synced(Author("A", "a1", "n2", ""), 10, "in_sync", InSync("B", "b1"))
    sent = member(HELD_BY_A, PeerStatus("B", "b2"))
    sent.node = replace(sent.node, pending=Pending(listing))
    assert not sent.peer_counts
    sent = member(HELD_BY_A, PeerStatus("B", "b1"))
    sent.node = replace(sent.node, pending=Pending(listing))
    assert sent.peer_counts
