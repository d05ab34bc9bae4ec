"""Sabotage of who may serve: the claim rule, its wait, promises, the switchover."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from rtmp_sync.cluster import failover, member
from rtmp_sync.cluster.exchange import Exchange
from rtmp_sync.cluster.record import Record
from rtmp_sync.cluster.rows import claiming, start
from rtmp_sync.cluster.situation import Situation
from rtmp_sync.cluster.turn import Turn, stay
from rtmp_sync.cluster.view import Node, View
from tests.simulation.sabotage.registry import only, row, sabotage

# A's time runs slowly, B's fast, both within what the margin allows for; B has to be quick.
APART = {"A": 0.93, "B": 1.07}
CLOCKS_APART = only({"isolate": 1}, fixed_rates=APART, default_profile=1.0)


@sabotage("I1", mix=CLOCKS_APART)
def claim_without_a_wait() -> Iterator[None]:
    def see_landing(s: Situation) -> Turn:
        claim = replace(s.claim, landed_at=s.now, open_at=s.now)
        return stay(s, "opening at once", claim=claim)

    with row("claim-landed", act=see_landing):
        yield


@sabotage(
    "I1",
    mix=only(
        {"isolate": 3, "power": 1, "vm": 1},
        fixed_rates=APART,
        default_profile=1.0,
        writes=3.0,
        rounds=6.0,
        disks={"off": 1.0},
    ),
)
def claim_margin_of_0() -> Iterator[None]:
    def fix_wait(s: Situation) -> Turn:
        turn = claiming.fix_wait(s)
        claim = turn.node.claim
        assert claim is not None
        assert claim.open_at is not None
        early = replace(claim, open_at=claim.open_at - s.view.timing.margin)
        return replace(turn, node=replace(turn.node, claim=early))

    with row("fix-wait", act=fix_wait):
        yield


@sabotage("I1", mix=CLOCKS_APART)
def promise_that_binds_no_longer_than_believed() -> Iterator[None]:
    give_promise = failover.give_promise

    def give(node: Node, view: View, asker: Any, now: float) -> tuple[Node, bool]:
        return give_promise(node, view, asker, now - view.timing.margin)

    with patch.object(member, "give_promise", give):
        yield


@sabotage("I5 I8", mix=only({"crash": 5, "isolate": 3, "sick": 2}))
def claim_that_leaves_sync_as_it_was() -> Iterator[None]:
    claimed = Record.claimed

    def leave(self: Record, *arguments: Any, **above: Any) -> Record:
        return replace(claimed(self, *arguments, **above), sync=self.sync)

    with patch.object(Record, "claimed", leave):
        yield


@sabotage("I1 I7", mix=only({"switchover": 5, "crash": 1}))
def switchover_whose_record_still_says_released() -> Iterator[None]:
    handed_over = Record.handed_over

    def hand_over(self: Record, *arguments: Any) -> Record:
        return replace(handed_over(self, *arguments), released=True)

    def was_given(s: Situation) -> bool:
        return s.the_record.reason == "switchover" and s.node.epoch < s.the_record.epoch

    with (
        patch.object(Record, "handed_over", hand_over),
        patch.object(start, "_was_given", was_given),
    ):
        yield


@sabotage(
    "lost",
    mix=only({"vm": 4, "power": 4}, companions=0.9, disks={"journal": 1.0}, writes=20.0),
)
def holder_reclaims_though_the_peer_is_in_sync() -> Iterator[None]:
    def reclaims(s: Situation) -> bool:
        return s.earlier_boot_holds and s.has_recorded_epoch and s.free_to_claim

    with (
        row("release-earlier-boot", guard=_never),
        row("join-released", guard=_never),
        row("reclaim-from-disk", guard=reclaims),
    ):
        yield


@sabotage(
    "lost",
    mix=only({"vm": 3, "power": 4}, companions=1.0, disks={"journal": 1.0}, writes=8.0),
)
def claim_from_a_disk_copy_without_epoch_started() -> Iterator[None]:
    with patch.object(Situation, "has_recorded_epoch", property(lambda self: True)):
        yield


@sabotage(
    "I3",
    mix=only({"force": 6, "cut": 3, "slow": 3, "one_way": 2, "crash": 2}, writes=20.0),
)
def no_epoch_check() -> Iterator[None]:
    """Nobody looks at the epoch of what came over the link."""
    receive = Exchange._receive_from_source

    def take(self: Exchange, record: Any, epoch: int, now: float) -> None:
        receive(self, record, max(epoch, self.role.epoch), now)

    with (
        patch.object(Exchange, "_receive_from_source", take),
        patch.object(Exchange, "_fence", lambda self, epoch, what: False),
        patch.object(Situation, "deposed", property(lambda self: not self.i_hold)),
    ):
        yield


def _never(s: Situation) -> bool:
    return False
