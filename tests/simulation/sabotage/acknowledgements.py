"""Sabotage of what clients may see: the barrier, the degrade rule, the way back in sync."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from rtmp_sync.cluster import failover, link, member
from rtmp_sync.cluster.member import Member
from rtmp_sync.cluster.record import Record
from rtmp_sync.cluster.view import Node
from rtmp_sync.server.commit import CommitPoint
from rtmp_sync.server.turn import Turn
from rtmp_sync.wire import records
from tests.simulation.sabotage.registry import only, sabotage


@sabotage("I8 lost")
def ack_before_replication() -> Iterator[None]:
    set_require_peer = CommitPoint.set_require_peer
    with patch.object(
        CommitPoint, "set_require_peer", lambda self, required: set_require_peer(self, False)
    ):
        yield


@sabotage("I8 phantom", mix=only({"slow": 5, "reset": 1}, writes=20.0))
def reply_without_barrier_for_a_call_that_changed_nothing() -> Iterator[None]:
    reply = Turn.reply

    def reply_at_once(self: Turn, outbox: Any, msid: int, data: bytes) -> None:
        if self.state.journal.head > self.state.journal.taken:
            reply(self, outbox, msid, data)
        else:
            outbox.put(0, msid, data)
            self.schedule()

    with patch.object(Turn, "reply", reply_at_once):
        yield


@sabotage("I8 lost", mix=only({"cut": 3, "reset": 3, "one_way": 2, "crash": 2}))
def degrade_without_the_record() -> Iterator[None]:
    required = Member.require_peer

    def require_peer(self: Member) -> bool:
        around = self._around.replication
        alone = around is None or not around.connected
        return bool(required.__get__(self)) and not (alone and self.serving)

    with patch.object(Member, "require_peer", property(require_peer)):
        yield


@sabotage("I8 lost", mix=only({"reset": 5, "slow": 3, "cut": 2}, writes=30.0))
def sync_restored_before_new_acks_are_held() -> Iterator[None]:
    require_peer = failover.require_peer

    def require(node: Node, mode: str, record: Record | None) -> bool:
        return require_peer(replace(node, hold=None, pending=None), mode, record)

    with patch.object(member, "require_peer", require):
        yield


@sabotage("I8 lost", mix=only({"flip_acks": 6, "slow": 2}, writes=25.0, disks={"off": 1.0}))
def unmaced_ack_with_a_flipped_bit() -> Iterator[None]:
    decode_envelope = records.decode_envelope

    def decode(payload: bytes, lane: int, key: bytes) -> records.Envelope:
        link_seq, epoch, kind, body, _ = records._sealed(payload)
        if kind == records._KIND_OF[records.Ack]:
            fields = records._array(body, "envelope")
            return records.Envelope(link_seq, epoch, records._record(kind, fields))
        return decode_envelope(payload, lane, key)

    with patch.object(link, "decode_envelope", decode):
        yield
