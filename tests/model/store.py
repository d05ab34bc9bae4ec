"""The two coordinators' stores, as a node's requests change them: `file` (records, heartbeat
files) and `etcd` (record, holder key, leases). Each request is one instant here; the stages of a
slow read are instants of their own.
"""

from __future__ import annotations

from math import floor
from typing import TYPE_CHECKING, Protocol

from rtmp_sync.cluster.observer import Sighting
from rtmp_sync.cluster.record import Record
from rtmp_sync.cluster.view import Outcome
from tests.model.life import NOW, TIMING
from tests.model.state import NODES, Key, Lease, SlowRead
from tests.model.tokens import Beat, Boot, Instant

if TYPE_CHECKING:
    from tests.model.course import Course

__all__ = ["EtcdStore", "FileStore", "Store"]

LEASE_SECONDS = TIMING.ttl
LEASE_MARGIN_SECONDS = 1.0


class Store(Protocol):
    stages: int  # of a read, the last one is the answer's way back

    def advance(self, course: Course, node: str, read: SlowRead) -> SlowRead: ...
    def sighting(self, course: Course, node: str, read: SlowRead) -> Sighting: ...
    def cas(self, course: Course, node: str, record: Record, *, guard: bool = False) -> Outcome: ...
    def late(self, course: Course, node: str, beat: Beat) -> None: ...
    def tick(self, course: Course) -> None: ...


class FileStore:
    """Heartbeat first, then the record, then the peer's heartbeat (`coordinators.file_io`)."""

    stages = 3

    def advance(self, course: Course, node: str, read: SlowRead) -> SlowRead:
        if read.stage == 0:
            beat = None
            if read.writes:
                beat = read.beat or self.next_beat(course, node)
                self.late(course, node, beat)
            return read._replace(stage=1, beat=beat)
        if read.stage == 1:
            return read._replace(stage=2, record=course.record)
        peers = course.beats[1 - NODES.index(node)]
        return read._replace(stage=3, peer_beat=peers)

    def sighting(self, course: Course, node: str, read: SlowRead) -> Sighting:
        return Sighting(
            read.started,
            NOW,
            read.record,
            beat_written=read.writes,
            peer_beat=read.peer_beat,
        )

    def cas(self, course: Course, node: str, record: Record, *, guard: bool = False) -> Outcome:
        if record.released and not guard and course.hosts[node].limbo:
            return Outcome.REFUSED  # a hung helper could still write
        there = course.record.rev if course.record is not None else 0
        if record.rev != there + 1:
            return Outcome.LOST
        course.landed(record)
        return Outcome.LANDED

    def late(self, course: Course, node: str, beat: Beat) -> None:
        beats = list(course.beats)
        beats[NODES.index(node)] = beat
        course.beats = (beats[0], beats[1])

    def tick(self, course: Course) -> None:
        pass

    def next_beat(self, course: Course, node: str) -> Beat:
        there = course.beats[NODES.index(node)]
        late = [what.number for kind, what in course.hosts[node].limbo if kind == "beat"]
        return Beat(node, max([there.number if isinstance(there, Beat) else 0, *late]) + 1)


class EtcdStore:
    """`coordinators.etcd`: the lease is renewed, then record and key are read at once."""

    stages = 2

    def advance(self, course: Course, node: str, read: SlowRead) -> SlowRead:
        if read.stage == 0:
            if read.writes:
                self._renew(course, node, read.started)
            return read._replace(stage=1)
        if read.writes:
            self._take_over(course, node)
        record, key, boot = course.record, course.key, course.hosts[node].boot
        held = record is not None and key is not None and _names(key, record)
        mine = record is not None and record.boot_id == boot
        bound = held and mine and self._is_bound(course, node)
        if bound and record is not None:
            course.change(node, bound=record.epoch)
        return read._replace(stage=2, record=record, holder_key=held, bound=bound)

    def sighting(self, course: Course, node: str, read: SlowRead) -> Sighting:
        lease = course.hosts[node].lease
        seconds = float("-inf")
        if lease is not None:
            seconds = float(lease[1] - read.started) + LEASE_SECONDS - LEASE_MARGIN_SECONDS
        return Sighting(
            read.started,
            NOW,
            read.record,
            lease_seconds=seconds,
            beat_written=read.writes and read.bound,
            holder_key=read.holder_key,
        )

    def cas(self, course: Course, node: str, record: Record, *, guard: bool = False) -> Outcome:
        before, key = course.record, course.key
        boot = course.hosts[node].boot
        rev = before.rev if before is not None else 0
        if record.rev != rev + 1:
            return Outcome.LOST
        newer = before is None or record.epoch > before.epoch
        if newer and record.holder == node and record.boot_id == boot:
            if key is not None and key.boot != boot:
                return Outcome.REFUSED
            self._hold(course, node, record)
        elif newer:
            self._hold(course, node, record)
        elif record.released:
            course.key = None
        elif before is not None and record.sync != before.sync and not _is_of(key, record):
            return Outcome.REFUSED
        course.landed(record)
        return Outcome.LANDED

    def late(self, course: Course, node: str, beat: Beat) -> None:
        """A renewal that comes late."""
        serial = beat.number
        course.leases = tuple(
            lease._replace(ends=Instant(LEASE_SECONDS))
            if lease.boot.node == node and lease.serial == serial
            else lease
            for lease in course.leases
        )

    def tick(self, course: Course) -> None:
        course.leases = tuple(lease for lease in course.leases if lease.ends > 0)
        key = course.key
        if key is not None and self._lease(course, key.owner, key.serial) is None:
            course.key = None

    def _lease(self, course: Course, boot: Boot, serial: int) -> Lease | None:
        for lease in course.leases:
            if lease.boot == boot and lease.serial == serial:
                return lease
        return None

    def _renew(self, course: Course, node: str, started: Instant) -> None:
        host = course.hosts[node]
        if host.lease is None:
            return
        serial, _ = host.lease
        if self._lease(course, host.boot, serial) is None:
            course.change(node, lease=None)
            return
        self._extend(course, host.boot, serial)
        course.change(node, lease=(serial, Instant(floor(started))))

    def _extend(self, course: Course, boot: Boot, serial: int) -> None:
        course.leases = tuple(
            lease._replace(ends=Instant(LEASE_SECONDS))
            if lease.boot == boot and lease.serial == serial
            else lease
            for lease in course.leases
        )

    def _live_lease(self, course: Course, node: str) -> int:
        host = course.hosts[node]
        ends = LEASE_SECONDS - LEASE_MARGIN_SECONDS
        if host.lease is not None and float(host.lease[1]) + ends > 0:
            return host.lease[0]
        known = [lease.serial for lease in course.leases if lease.boot == host.boot]
        serial = next(number for number in range(9) if number not in known)
        course.leases = (
            *course.leases,
            Lease(host.boot, serial, Instant(LEASE_SECONDS)),
        )
        course.change(node, lease=(serial, NOW))
        return serial

    def _hold(self, course: Course, node: str, record: Record) -> None:
        serial = self._live_lease(course, node)
        boot = record.boot_id
        assert isinstance(boot, Boot)
        course.key = Key(boot, record.epoch, course.hosts[node].boot, serial)

    def _is_bound(self, course: Course, node: str) -> bool:
        host, key = course.hosts[node], course.key
        return (
            key is not None
            and host.lease is not None
            and key.owner == host.boot
            and key.serial == host.lease[0]
        )

    def _take_over(self, course: Course, node: str) -> None:
        """The record was handed to this boot, and its key is still on the former lease."""
        record, host, key = course.record, course.hosts[node], course.key
        if record is None or record.boot_id != host.boot or host.bound >= record.epoch:
            return
        if key is not None and _names(key, record) and not self._is_bound(course, node):
            self._hold(course, node, record)


def _is_of(key: Key | None, record: Record) -> bool:
    return key is not None and _names(key, record)


def _names(key: Key, record: Record) -> bool:
    return key.boot == record.boot_id and key.epoch == record.epoch
