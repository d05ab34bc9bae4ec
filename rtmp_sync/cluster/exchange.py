"""Exchange: the conversation of the two nodes over one link, without I/O.

    receive(lane, payload, now)      a message came
    end_turn()                       all that came at once was taken: acknowledge
    tick(now)                        often: a heartbeat when it is time, or the link is lost
    set_role / send_batch / …        this node has something to say
    messages_to_send()               after each of these

The direction of the data follows the roles: the one that serves feeds, the other follows,
whoever dialled. Nothing of an older epoch than this node knows of is accepted: its sender is
told so (FENCE).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from rtmp_sync.cluster.link import Link, end_said_by
from rtmp_sync.cluster.peer_status import OwnHealth, OwnRole, PeerStatus, ReplicationHooks
from rtmp_sync.cluster.replays import Replays
from rtmp_sync.cluster.sink import DivergentTail, Following, Sink
from rtmp_sync.cluster.source import Source
from rtmp_sync.state.journal import Batch
from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.wire.records import (
    Ack,
    Bye,
    Delta,
    DigestRequest,
    DigestResponse,
    Fence,
    Heartbeat,
    Media,
    Promise,
    PromiseRequest,
    Record,
    Replay,
    Role,
    SnapshotChunk,
    SnapshotEnd,
    StoreNonce,
    Switchover,
    SyncContinue,
    SyncFull,
    SyncRequest,
)
from rtmp_sync.wire.refusals import LinkRefused, Reason

__all__ = ["Exchange"]

HEARTBEAT_SECONDS: Final = 0.25
# For saving a divergent tail. A disk that hangs for longer has its own alarm, and the pair needs
# its standby more than an operator needs what nobody else ever saw.
TAIL_SECONDS: Final = 2.0
_FROM_A_SOURCE: Final = (
    SyncContinue,
    SyncFull,
    SnapshotChunk,
    SnapshotEnd,
    Delta,
    DigestRequest,
    Replay,
    Media,
)


class Exchange:
    """Made when the link is established. silence: seconds without a message that end it."""

    def __init__(
        self,
        link: Link,
        state: ReplicatedState,
        role: OwnRole,
        hooks: ReplicationHooks,
        *,
        silence: float,
        now: float,
    ) -> None:
        assert link.peer is not None
        self.link = link
        self.peer = PeerStatus(link.peer.node_id, link.peer.boot_id, link.protocol)
        self.role = role
        self.health = OwnHealth()
        self.source = Source(state, link.send)
        self.source.on_corrected = self._corrected
        self.sink = Sink(state, link.send)
        self.replays = Replays(link, self.source)
        self.distrusted = False  # the peer's next request is answered with a full copy
        self.on_promise: Callable[[int, float], None] = lambda request_id, valid_seconds: None
        self._state = state
        self._hooks = hooks
        self._silence = silence
        self._now = now
        self._heard_at = now
        self._delta_at = now
        self._ticked_at = now
        self._said_at = now
        self._tail: DivergentTail | None = None  # is being saved
        self._held_since = now
        self._fenced = -1
        link.epoch = role.epoch
        link.on_refused = hooks.on_refused
        self._say_role()
        self._say_heartbeat(now)

    def receive(self, lane: int, payload: bytes, now: float) -> None:
        """Raises RemoteProtocolError: close the link."""
        self._now = self._heard_at = now
        self.link.receive_message(lane, payload)
        for epoch, record in self.link.records_received():
            self._receive(record, epoch, now)

    def acknowledge(self) -> None:
        """What was applied; the first thing to send in a turn: the peer's clients wait for it."""
        self.sink.end_turn()

    def end_turn(self) -> None:
        self.acknowledge()
        events = self.sink.take_events()
        if events.installed:
            self._hooks.on_installed()
        else:
            for batch in events.applied:
                self._hooks.on_batch(batch)
        if events.refused is not None:
            self._hooks.history(
                "refused_regressing_snapshot",
                offered=events.refused.position,
                own=self._state.journal.position,
                peer=self.peer.node_id,
            )
            text = f"a snapshot at {events.refused.position}, older than this copy"
            self._hooks.on_refused(Reason.REGRESSING_SNAPSHOT, text)
        if events.installed or events.applied:
            self._hooks.on_applied()
        for replay in events.replays:  # the Changes of these calls are acknowledged
            self._hooks.on_replay(replay)
        for tail in events.divergent:  # last: a host that saves nothing lets go at once
            self._tail = tail
            self._held_since = self._now
            self._hooks.on_divergent(tail, partial(self._let_go, tail))

    def tick(self, now: float) -> None:
        """Raises LinkRefused after `silence` without a message, or without one that is due;
        RemoteProtocolError for what had waited for a tail to be saved."""
        stalled = now - self._ticked_at > 2 * HEARTBEAT_SECONDS
        self._now = self._ticked_at = now
        self._give_up_tail()
        if stalled:  # it was this loop that slept: what came meanwhile is not read yet
            self._heard_at = max(self._heard_at, now - self._silence / 2)
        elif now - self._heard_at > self._silence:
            text = f"nothing heard for {now - self._heard_at:.2f} s"
            raise LinkRefused(Reason.SILENCE, text)
        elif self._lacks_for(now) > self._silence:
            text = f"the last {self.sink.lag_changes} Changes never came"
            raise LinkRefused(Reason.GAP, text)
        if now - self._said_at >= HEARTBEAT_SECONDS:
            self._say_heartbeat(now)

    def _lacks_for(self, now: float) -> float:
        """Seconds for which the active has had Changes, by its word, and sent none of them."""
        sink = self.sink
        if sink.following is not Following.LIVE or sink.epoch < self.role.epoch:
            return 0.0  # it is another one's turn to send, or nothing that it sends counts
        return min(sink.lag_seconds(now), now - self._delta_at)

    def set_role(self, role: OwnRole) -> None:
        """This node's role has changed, or the record it read."""
        stopped = self.role.serving and not role.serving
        self.role = role
        self.link.epoch = role.epoch
        if role.serving:
            self.sink.stop()
        elif stopped:
            self.source.stop()
            self.replays.stop()
        self._say_role()
        self._follow()

    def send_batch(self, batch: Batch, now: float) -> None:
        self.source.send_batch(batch, now)
        self.replays.send_due()

    def send_replay(self, record: Replay) -> None:
        """Behind the Changes of its call; left out and counted where it cannot be sent."""
        self.replays.add(record)

    def send_media(self, record: Media) -> None:
        """Only while the link `knows` it, and not above what one message may have."""
        if self.role.serving:
            self.link.send(record)

    @property
    def has_bulk(self) -> bool:
        return self.source.has_bulk

    def send_bulk(self) -> bool:
        """One piece of snapshot or backlog; False: there is none."""
        more = self.source.send_bulk()
        self.replays.send_due()
        return more

    def say(self, record: PromiseRequest | Switchover | Fence | StoreNonce | Bye) -> None:
        self.link.send(record)

    def messages_to_send(self) -> list[tuple[int, bytes]]:
        return self.link.messages_to_send()

    def close(self) -> None:
        """The link is gone."""
        self.source.stop()
        self.replays.stop()
        self.sink.stop()
        self._tail = None

    def _corrected(self, entries: list[str]) -> None:
        self._hooks.history("memory_corrupted", entries=entries)

    def _let_go(self, tail: DivergentTail) -> None:
        """The host has saved `tail`, or could not: now the copy that waits takes its place."""
        if self._tail is tail:
            self._tail = None
            try:
                self.sink.release_held(self._now)
            finally:  # whatever came behind it, the copy is in use
                self.end_turn()

    def _give_up_tail(self) -> None:
        tail = self._tail
        if tail is not None and self._now - self._held_since > TAIL_SECONDS:
            self._hooks.history("divergent_given_up", epoch=tail.epoch, seconds=TAIL_SECONDS)
            self._let_go(tail)

    def _say_role(self) -> None:
        role = self.role
        epoch, seq = self._state.journal.position
        self.link.send(
            Role(role.epoch, role.holder, role.gate_open, role.serving, role.state, epoch, seq)
        )

    def _say_heartbeat(self, now: float) -> None:
        self._said_at = now
        health = self.health
        self.link.send(
            Heartbeat(
                *self._state.journal.position,
                self.role.gate_open,
                health.healthy,
                health.lb_checks_age,
                health.loop_lag,
                now,
            )
        )

    def _receive(self, record: Record, epoch: int, now: float) -> None:
        if isinstance(record, _FROM_A_SOURCE):
            self._receive_from_source(record, epoch, now)
        elif isinstance(record, Ack):
            self._receive_ack(record, now)
        elif isinstance(record, Heartbeat):
            self._receive_heartbeat(record, epoch, now)
        elif isinstance(record, Role):
            self._receive_role(record)
        elif isinstance(record, SyncRequest):
            self._receive_request(record)
        elif isinstance(record, DigestResponse):
            self.source.receive_digest(record)
        elif isinstance(record, PromiseRequest):
            self._receive_promise_request(record)
        elif isinstance(record, Promise):
            self.on_promise(record.request_id, record.valid_ms / 1000)
        elif isinstance(record, Fence):
            if record.epoch > self.role.epoch:
                self._hooks.on_fence(record.epoch, record.holder)
        elif isinstance(record, Switchover):
            self._receive_switchover(record, epoch)
        elif isinstance(record, StoreNonce):
            self._hooks.on_store_nonce(record.nonce, record.stale)
        elif isinstance(record, Bye):
            raise end_said_by(record)
        else:
            raise LinkRefused(Reason.OUT_OF_TURN, f"{type(record).__name__} out of turn")

    def _receive_from_source(self, record: Record, epoch: int, now: float) -> None:
        sink = self.sink
        over = epoch < max(self.role.epoch, sink.epoch)
        if self.role.serving or sink.following is Following.IDLE or over:
            # What a deposed node sent, or what was on its way to a standby.
            self._fence(epoch, f"{type(record).__name__} of epoch {epoch}")
            return
        if isinstance(record, Delta):
            self._delta_at = now
            sink.receive_delta(record, now)
        elif isinstance(record, SnapshotChunk):
            sink.receive_chunk(record)
        elif isinstance(record, SyncContinue):
            sink.receive_continue(record)
        elif isinstance(record, SyncFull):
            sink.receive_full(record, confirmed=self._confirmed(epoch))
        elif isinstance(record, SnapshotEnd):
            sink.receive_end(record)
        elif isinstance(record, DigestRequest):
            sink.receive_digest_request(record)
        elif isinstance(record, Replay):
            sink.receive_replay(record)
        elif isinstance(record, Media):
            self._hooks.on_media(record)

    def _receive_promise_request(self, record: PromiseRequest) -> None:
        """A deposed node is promised nothing."""
        seconds = None
        if not self._fence(record.epoch, f"PromiseRequest of epoch {record.epoch}"):
            seconds = self._hooks.give_promise(record.epoch)
        valid_ms = int(seconds * 1000) if seconds is not None else 0
        self.link.send(Promise(record.request_id, valid_ms))

    def _receive_switchover(self, record: Switchover, epoch: int) -> None:
        """`done` speaks of the epoch that it began: its sender is no longer in it."""
        epoch = record.epoch if record.step == "done" else epoch
        if not self._fence(epoch, f"Switchover {record.step} of epoch {epoch}"):
            self._hooks.on_switchover(record)

    def _receive_ack(self, record: Ack, now: float) -> None:
        if not self.role.serving:
            return  # it was on its way when this node stopped serving
        before = self.source.caught_up
        self.source.receive_ack(record, now)
        self._hooks.on_acked(self.source.acked)
        if self.source.caught_up and not before:
            self._hooks.on_caught_up()

    def _receive_heartbeat(self, record: Heartbeat, epoch: int, now: float) -> None:
        peer = self.peer
        peer.heartbeat_at = now
        peer.head_seq = record.head_seq
        peer.position = (record.copy_epoch, record.head_seq)
        peer.gate_open = record.gate_open
        if record.gate_open:
            self._fence(epoch, f"an open gate in epoch {epoch}")
        peer.health = OwnHealth(record.healthy, record.lb_checks_age, record.loop_lag)
        if self.sink.following is Following.LIVE:
            self.sink.hear_head(record.head_seq, now)

    def _receive_role(self, record: Role) -> None:
        peer = self.peer
        begins = record.serving and not peer.serving
        peer.epoch = record.epoch
        peer.holder = record.holder
        peer.gate_open = record.gate_open
        peer.serving = record.serving
        peer.state = record.state
        peer.position = (record.copy_epoch, record.copy_seq)
        if record.serving or record.gate_open:
            self._fence(record.epoch, f"an open gate in epoch {record.epoch}")
        self._hooks.on_role(peer)
        self._follow(begins=begins)

    def _receive_request(self, record: SyncRequest) -> None:
        if not self.role.serving:
            return  # the peer asks again when somebody serves
        ahead = record.seq > self._state.journal.head
        partial = self.source.receive_request(record, full=self.distrusted)
        self.distrusted = False
        self._hooks.history(
            "resync",
            kind="partial" if partial else "full",
            peer=self.peer.node_id,
            from_seq=record.seq,
            peer_is_ahead=ahead,
        )

    def _follow(self, *, begins: bool = False) -> None:
        """Ask a serving peer for its copy, once per epoch and again when it is confirmed.

        begins: to serve. If it did so before, it has forgotten what was asked, and what it sent.
        """
        peer = self.peer
        if self.role.serving or not peer.serving or peer.epoch < self.role.epoch:
            return
        sink = self.sink
        wanted = begins or sink.following is Following.IDLE or sink.epoch != peer.epoch
        if wanted or (sink.following is Following.REFUSED and self._confirmed(peer.epoch)):
            sink.request(peer.epoch)

    def _confirmed(self, epoch: int) -> bool:
        """Whether the record I read names the peer as the holder of this epoch."""
        return self.role.epoch == epoch and self.role.holder == self.peer.node_id

    def _fence(self, epoch: int, what: str) -> bool:
        """Whether `epoch` is an older one: then its sender is told so, once per epoch."""
        if epoch >= self.role.epoch:
            return False
        self._hooks.on_refused(Reason.OLDER_EPOCH, f"{what}; here it is {self.role.epoch}")
        if epoch != self._fenced:
            self._fenced = epoch
            self.link.send(Fence(self.role.epoch, self.role.holder))
        return True
