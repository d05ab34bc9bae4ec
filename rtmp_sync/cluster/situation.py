"""The questions that the rows of the failover table ask of a node's situation.

Each answers from the view and the node's own past alone. Words as in failover.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TypeVar

from rtmp_sync.cluster.record import Record
from rtmp_sync.cluster.view import Claim, Drain, Hold, Node, Peer, Request, State, Store, View

__all__ = ["Situation"]

EMPTY = (0, 0)
# For a fenced peer to become a standby, whose copy counts: a gate is tried again all the time.
FENCED_SECONDS = 5.0

LB_SECONDS = 3.0  # a load balancer looks every second

AHEAD_SECONDS = 5.0  # after the hold-off, for a peer with a better copy


T = TypeVar("T")


def _present(value: T | None) -> T:
    """The value; its absence means that a row's guard does not fit its act."""
    if value is None:
        raise AssertionError("a row acts on what its guard did not ask for")
    return value


@dataclass(frozen=True, slots=True)
class Situation:
    """One node at one instant."""

    node: Node
    view: View
    now: float

    # -- the record ------------------------------------------------------------------

    @property
    def record(self) -> Record | None:
        return self.view.record

    @property
    def me(self) -> str:
        return self.view.identity.node_id

    @property
    def boot_id(self) -> str:
        return self.view.identity.boot_id

    @property
    def other_holds(self) -> bool:
        return self.record is not None and self.record.holder != self.me

    @property
    def i_hold(self) -> bool:
        """The record names me and this boot."""
        return self.record is not None and self.record.held_by(self.me, self.boot_id)

    @property
    def earlier_boot_holds(self) -> bool:
        """The record names me with a boot that is dead: the state directory's lock proves it."""
        return self.record is not None and self.record.holder == self.me and not self.i_hold

    @property
    def listed(self) -> bool:
        return self.record is not None and self.record.lists(self.me, self.boot_id)

    @property
    def peer_listed(self) -> bool:
        """The peer is in sync: in the boot that the link shows, or out of reach."""
        if self.record is None:
            return False
        other = self.record.other(self.me)
        if self.view.peer is None or not self.view.link_up:
            return self.record.lists_node(other)
        return self.record.lists(other, self.view.peer.boot_id)

    @property
    def has_recorded_epoch(self) -> bool:
        """My copy contains the `epoch_started` of the recorded epoch."""
        return self.record is not None and self.view.position[0] >= self.record.epoch

    @property
    def paused(self) -> bool:
        return self.record is not None and self.record.paused

    # -- what a row's guard has made sure of -----------------------------------------

    @property
    def the_record(self) -> Record:
        return _present(self.view.record)

    @property
    def the_peer(self) -> Peer:
        return _present(self.view.peer)

    @property
    def nodes(self) -> tuple[str, str]:
        return _present(self.view.nodes)

    @property
    def wish(self) -> Request:
        return _present(self.view.request)

    @property
    def claim(self) -> Claim:
        return _present(self.node.claim)

    @property
    def drain(self) -> Drain:
        return _present(self.node.drain)

    @property
    def hold(self) -> Hold:
        return _present(self.node.hold)

    # -- may I write, may I claim ----------------------------------------------------

    @property
    def can_write(self) -> bool:
        return (
            self.node.pending is None
            and self.view.store in (Store.OK, Store.EMPTY)
            and self.now >= self.node.write_again_at
        )

    @property
    def key_free(self) -> bool:
        """Where a claim has to take the holder's key: nobody has it, or this boot; and who had it
        serves no longer, whoever claims and why."""
        if not self.view.leases or self.i_hold:
            return True
        ended = self.released or not self.other_holds or self.lease_ended
        return self.view.holder_key is False and ended

    @property
    def healthy(self) -> bool:
        return self.view.self_test_fails == 0

    @property
    def unhealthy(self) -> str:
        """What fails of this node's own checks, often enough in a row; "" for nothing."""
        if self.view.self_test_fails < self.view.timing.fall:
            return ""
        return self.view.self_test_reason or "self_test"

    @property
    def held_off(self) -> bool:
        """A promise that an earlier boot may have given could still bind."""
        return self.now < self.view.identity.started_at + self.view.timing.binding

    @property
    def promised(self) -> bool:
        released = self.record is not None and self.record.released
        return not released and self.now < self.node.promised_until

    @property
    def free_to_claim(self) -> bool:
        return (
            self.can_write
            and self.record is not None
            and self.healthy
            and not self.paused
            and not self.held_off
            and not self.promised
            and self.view.gate == "closed"
            and self.key_free
            and not self.outdone
        )

    @property
    def outdone(self) -> bool:
        """The peer serves by the operator's word, in an epoch that the store does not have yet."""
        peer, record = self.talking_peer, self.record
        return peer is not None and record is not None and peer.epoch > record.epoch

    # -- the claim rule --------------------------------------------------------------

    @property
    def eligible(self) -> bool:
        """1. the record just read lists me, or the operator accepts this lag."""
        if self.listed:
            return True
        most, lag = self.view.policy.promote_lag_max, self.view.lag
        if most is None or lag is None or self.record is None or not self.other_holds:
            return False
        # a lag means nothing to a copy that was never complete in this epoch
        return lag <= most and self.node.ready_epoch == self.record.epoch

    @property
    def released(self) -> bool:
        return self.other_holds and self.record is not None and self.record.released

    @property
    def peer_closed(self) -> bool:
        """The active one itself says that its gate is closed, and not on its way to open it."""
        peer = self.talking_peer
        if peer is None or peer.gate_open or self.record is None:
            return False
        return peer.boot_id != self.record.boot_id or peer.state == State.FENCED

    @property
    def beat_stopped(self) -> bool:
        return self.now - self.view.beat_changed_at >= self.view.timing.t_conf

    @property
    def let_go(self) -> str:
        """2. why the active one has let go; "" while it has not."""
        if not self.other_holds:
            return ""
        if self.released:
            return self.record.reason if self.record is not None else ""
        if self.holder_expired:
            return "holder_expired"
        return "gate_closed" if self.peer_closed else ""

    @property
    def holder_expired(self) -> bool:
        if self.view.leases:
            return self.lease_ended
        return self.view.dead and self.beat_stopped

    @property
    def lease_ended(self) -> bool:
        """The holder's key is gone. A lease that was revoked by hand is not over for a holder
        that does not know yet: whose last word was that it is open, and not so long ago that
        it cannot have renewed the lease since."""
        view, record, peer = self.view, self.record, self.view.peer
        if view.holder_key is not False or record is None:
            return False
        is_open = peer is not None and peer.boot_id == record.boot_id and peer.gate_open
        return not is_open or self.now - view.peer_heard_at >= view.timing.ttl

    # -- the peer --------------------------------------------------------------------

    @property
    def talking_peer(self) -> Peer | None:
        """The peer, once it has described itself over a link that is up."""
        peer = self.view.peer
        return peer if peer is not None and peer.state and self.view.link_up else None

    @property
    def peer_may_hold(self) -> bool:
        """The peer may be named the next holder, once it has the last write."""
        trusted = self.view.digest_agrees is not False
        return trusted and (self.peer_listed or self.view.policy.mode == "async")

    @property
    def peer_ready(self) -> bool:
        """READY by its own word, and for the epoch that I know."""
        peer, record = self.talking_peer, self.record
        if peer is None or record is None or peer.state != State.READY:
            return False
        return self.peer_may_hold and peer.epoch == record.epoch

    @property
    def peer_is_ahead(self) -> bool:
        """Nobody serves, and the peer's copy has more than mine: for a while after my start it
        may claim first. It may be unable to."""
        peer, identity = self.talking_peer, self.view.identity
        if peer is None or peer.gate_open or peer.state == State.FENCED:
            return False
        waited = self.now - identity.started_at - self.view.timing.binding
        return peer.position > self.view.position and waited < AHEAD_SECONDS

    @property
    def both_closed(self) -> bool:
        """Both closed and talking, and nobody is eligible by the claim rule."""
        peer, record = self.talking_peer, self.record
        if peer is None or record is None or peer.gate_open or self.view.gate != "closed":
            return False
        other = record.other(self.me)
        coming = record.held_by(other, peer.boot_id) and not record.released
        busy = peer.state in (State.CLAIMING, State.ACTIVE, State.DRAINING)
        eligible = self.listed or record.lists(other, peer.boot_id)
        return not (coming or busy or eligible)

    @property
    def my_copy_is_better(self) -> bool:
        """The higher position; the recorded holder at equality. A failed gate does not count,
        after a while in which it may close or open yet; but empty never beats non-empty: what
        cannot be served now is not lost."""
        peer = self.view.peer
        if peer is None:
            return True
        mine, theirs = self.view.position, peer.position
        if mine == EMPTY != theirs:
            return False
        if peer.state == State.FENCED and self.now - self.node.since >= FENCED_SECONDS:
            return True
        if mine == theirs:
            return self.record is not None and self.record.holder == self.me
        return mine > theirs

    @property
    def lb_path_lost(self) -> bool:
        """The load balancer has not looked at me for a while, and looks at the peer."""
        mine, peer = self.view.lb_checks_age, self.talking_peer
        theirs = peer.lb_checks_age if peer is not None else None
        if mine is None or theirs is None:
            return False  # who was never looked at is not monitored
        return mine >= LB_SECONDS > theirs

    # -- as the active one -----------------------------------------------------------

    @property
    def deposed(self) -> bool:
        """A higher epoch than mine was seen anywhere, or the record is not mine (any more)."""
        record, peer = self.record, self.talking_peer
        seen = max(
            record.epoch if record is not None else 0,
            peer.epoch if peer is not None else 0,
            self.view.fenced_by,
        )
        return seen > self.node.epoch or not (self.i_hold or self.node.word is not None)

    @property
    def authority_until(self) -> float:
        if self.node.word is not None:
            return inf
        if self.view.authority_epoch != self.node.epoch:
            return -inf
        return self.view.authority_until

    @property
    def degraded(self) -> bool:
        return self.record is None or not self.record.sync

    @property
    def peer_gone(self) -> bool:
        """Somebody is recorded in sync who does not keep up."""
        return (
            self.record is not None
            and bool(self.record.sync)
            and (not self.view.link_up or self.view.ack_late or not self.peer_listed)
        )

    @property
    def must_degrade(self) -> bool:
        """Record that nobody is in sync. In `strict` nothing is acknowledged alone, so a peer
        out of reach stays recorded; another boot of it does not have what the recorded one had."""
        if self.view.policy.mode == "async":
            return not self.degraded  # what another mode recorded: nobody waits for it any more
        if self.view.policy.mode == "strict":
            return self.peer_gone and self.talking_peer is not None and not self.peer_listed
        return self.peer_gone

    @property
    def read_since(self) -> bool:
        """The record was read since this state began."""
        return self.view.read_started > self.node.since
