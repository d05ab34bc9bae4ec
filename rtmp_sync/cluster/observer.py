"""Turns what is seen, one thing at a time, into the facts of a `View`.

Sans-IO: the watchdog feeds it from sockets and files, the simulation from its model. It keeps
the bookkeeping that safety rests on: until when this node may serve, when the other node's
heartbeat last changed, and how many probes in a row failed on each path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf

from rtmp_sync.cluster.record import Record
from rtmp_sync.cluster.timing import Timing
from rtmp_sync.cluster.view import CasResult, Identity, Outcome, Store

__all__ = ["Observer", "Sighting"]


@dataclass(frozen=True, slots=True)
class Sighting:
    """One good read of the store, which began at `started` and ended at `ended`.

    beat_written: this node's heartbeat was written first, after `started`, and the record read
    after that. peer_beat: the other node's heartbeat, whatever it holds ("" for none).
    holder_key: whether the key that binds the record to a live lease of its holder's boot
    exists; None: this store has none.
    """

    started: float
    ended: float
    record: Record | None
    invalid: bool = False
    lease_seconds: float | None = None  # what the heartbeat buys, if not `t_conf`
    beat_written: bool = False
    peer_beat: str = ""
    holder_key: bool | None = None


@dataclass(slots=True)
class Observer:
    """What one boot of a node has seen."""

    identity: Identity
    timing: Timing
    store: Store = Store.UNREAD
    record: Record | None = None
    read_started: float = -inf
    beat_changed_at: float = -inf
    cas: CasResult | None = None
    stale_reads: int = 0
    answers: int = 0
    answered_at: float = -inf  # when a probe was last answered
    leases: bool = False
    holder_key: bool | None = None  # by the read that showed `record`; None: not read since
    _record_at: float = -inf  # when the record was learned of, not by a read
    _peer_beat: str | None = None
    _confirmed: tuple[int, float] = (0, -inf)  # (epoch, until) by heartbeat and record
    _vouched: tuple[int, float] = (0, -inf)  # (epoch, until) by the peer's promise
    _fails: dict[str, int] = field(default_factory=dict)

    def saw(self, sighting: Sighting, *, at_least_epoch: int = 0) -> None:
        """A read of the store succeeded. at_least_epoch: what the other node had read before
        it began, by its own word."""
        known, record = self.record, sighting.record
        older = known is not None and (record is None or record.rev < known.rev)
        if older and sighting.started <= self._record_at:
            return  # it began before this node's own record was there: no news
        if sighting.peer_beat != self._peer_beat:
            self._peer_beat = sighting.peer_beat
            self.beat_changed_at = sighting.ended
        if older or (record is not None and record.epoch < at_least_epoch):
            # Attribute caching, or a deleted records folder: this read proves nothing.
            self.stale_reads += 1
            self.store = Store.INVALID
            return
        if record is None:
            self.store = Store.INVALID if sighting.invalid else Store.EMPTY
        else:
            self.store = Store.OK
        self.record = record
        self.holder_key = sighting.holder_key
        self.leases = sighting.holder_key is not None
        self.read_started = max(self.read_started, sighting.started)
        if sighting.beat_written and record is not None and self._is_mine(record):
            lease = sighting.lease_seconds
            until = sighting.started + (self.timing.t_conf if lease is None else lease)
            self._confirmed = max(self._confirmed, (record.epoch, until))

    def could_not_read(self) -> None:
        """The store did not answer, or refused."""
        self.store = Store.UNREACHABLE

    def tried(self, result: CasResult, highest: Record | None, *, awaited: str = "") -> None:
        """A compare-and-set came back; `highest` is the record seen after it, if one was.
        awaited: the nonce of the one whose outcome is not to be hidden by an older one's, which
        may come later."""
        if self.cas is None or self.cas.nonce != awaited:
            self.cas = result
        if highest is not None and (self.record is None or highest.rev > self.record.rev):
            self.record, self._record_at = highest, result.at
            self.holder_key = None  # of that record nothing is known yet
        if result.outcome is Outcome.UNKNOWN:
            self.store = Store.UNREACHABLE

    def promised(self, epoch: int, asked_at: float) -> None:
        """The peer answered, with a promise, a request sent at `asked_at`."""
        self._vouched = max(self._vouched, (epoch, asked_at + self.timing.t_conf))

    @property
    def authority(self) -> tuple[int, float]:
        """The epoch that this node may serve, and until when."""
        if self.record is None or not self._is_mine(self.record):
            return 0, -inf
        epoch, until = self.record.epoch, -inf
        if self.holder_key is False:  # a promise does not make up for a lease that was revoked
            return epoch, until
        for of, by in (self._confirmed, self._vouched):
            if of == epoch and by > until:
                until = by
        return epoch, until

    def probed(self, answers: Mapping[str, bool | None], now: float) -> None:
        """One round of probes: path -> answered; None is "answered, but told nothing". A
        round of nothing else is no evidence either way."""
        for path, good in answers.items():
            if good is None:
                self._fails.pop(path, None)
            else:
                self._fails[path] = 0 if good else self._fails.get(path, 0) + 1
        for path in self._fails.keys() - answers.keys():
            del self._fails[path]
        if True in answers.values():
            self.answered_at = now
        if False in answers.values():
            self.answers = 0
        elif True in answers.values():
            self.answers += 1

    def stalled(self) -> None:
        """This process did not run for a while: its probes of that time tell nothing."""
        self._fails = dict.fromkeys(self._fails, 0)
        self.answers = 0

    @property
    def misses(self) -> int:
        return max(self._fails.values(), default=0)

    @property
    def dead(self) -> bool:
        return min(self._fails.values(), default=0) >= self.timing.fall

    def renamed(self, node_id: str) -> None:
        """The store spells this node's name so."""
        self.identity = replace(self.identity, node_id=node_id)

    def _is_mine(self, record: Record) -> bool:
        return record.held_by(self.identity.node_id, self.identity.boot_id)
