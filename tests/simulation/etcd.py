"""An etcd cluster in memory, and all that can stand between a node and its answer.

Under it runs the real `EtcdCoordinator`: this is what `etcd_gateway` is in production. Leases
live by the cluster's own clock; while there is no leader none ends, and a new leader gives
each its whole time again, as the real one does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rtmp_sync.cluster.record import decode
from rtmp_sync.coordinators.etcd import EtcdCoordinator
from rtmp_sync.coordinators.etcd_client import (
    Compare,
    EtcdFull,
    EtcdUnreachable,
    HasValue,
    KeyValue,
    LeaseGone,
    Put,
    TxnAnswer,
    Write,
)
from rtmp_sync.errors import StoreError, StoreTimeout
from tests.simulation.errands import Fail, Resume, Wait
from tests.simulation.schedule import Schedule
from tests.simulation.store import Store

__all__ = ["Etcd", "SimulatedClient"]

EXPIRY_SECONDS = 0.3  # at most, from the end of a lease to the end of its keys


class Etcd:
    """store: which nodes reach it and how fast, and who is told of records. leaderless: no
    request is answered, and no lease ends."""

    def __init__(self, schedule: Schedule, store: Store) -> None:
        self.schedule = schedule
        self.store = store
        self.leaderless = False
        self._keys: dict[str, KeyValue] = {}
        self._leases: dict[int, tuple[int, float]] = {}  # id -> seconds, end
        self._watches: list[tuple[str, SimulatedClient, Callable[[], None]]] = []
        self._revision = 0
        self._granted = 0

    def txn(
        self, compares: Sequence[Compare | HasValue], writes: Sequence[Write], read: Sequence[str]
    ) -> TxnAnswer:
        succeeded = all(self._holds(compare) for compare in compares)
        if succeeded and writes:
            self._find_leases(writes)
            is_full = self.store.nas.full and any(isinstance(write, Put) for write in writes)
            if is_full and self.store.chance.random() < 0.7:
                raise EtcdFull("etcdserver: mvcc: database space exceeded")
            self._revision += 1
            for write in writes:
                self._do(write)
            self._changed()
            if is_full:  # what fills it up is done all the same
                raise EtcdFull("etcdserver: mvcc: database space exceeded")
        return TxnAnswer(succeeded, tuple(self._keys.get(key) for key in read))

    def grant(self, seconds: int) -> int:
        self._granted += 1
        self._leases[self._granted] = seconds, self.schedule.now + seconds
        self.schedule.after(seconds, self._look_at, self._granted)
        return self._granted

    def keepalive(self, lease: int) -> bool:
        if lease not in self._leases:
            return False
        seconds, _ = self._leases[lease]
        self._leases[lease] = seconds, self.schedule.now + seconds
        return True

    def watch(self, prefix: str, client: SimulatedClient, told: Callable[[], None]) -> None:
        self._watches.append((prefix, client, told))

    def revoke(self, *, lease_too: bool) -> bool:
        """By hand: the holder's key, or the lease that it lives by."""
        key = next((key for key in self._keys if key.endswith("/holder")), None)
        if key is None or self.leaderless:
            return False
        if lease_too:
            self._end(self._keys[key].lease)
        else:
            del self._keys[key]
            self._changed()
        return True

    def elect(self) -> None:
        """A new leader: nobody's lease ends sooner for the time without one."""
        self.leaderless = False
        for lease, (seconds, _) in self._leases.items():
            self._leases[lease] = seconds, self.schedule.now + seconds

    def _holds(self, compare: Compare | HasValue) -> bool:
        there = self._keys.get(compare.key)
        if isinstance(compare, HasValue):
            return there is not None and there.value == compare.value
        return compare.mod_revision == (there.mod_revision if there is not None else 0)

    def _find_leases(self, writes: Sequence[Write]) -> None:
        for write in writes:
            if isinstance(write, Put) and write.lease and write.lease not in self._leases:
                raise LeaseGone("etcdserver: requested lease not found")

    def _do(self, write: Write) -> None:
        if isinstance(write, Put):
            self._keys[write.key] = KeyValue(write.value, self._revision, write.lease)
            if write.key.endswith("/record"):
                self.store.landed(decode(write.value))
        else:
            self._keys.pop(write.key, None)

    def _look_at(self, lease: int) -> None:
        if lease not in self._leases:
            return
        _, end = self._leases[lease]
        if self.leaderless or end > self.schedule.now:
            self.schedule.after(max(0.1, end - self.schedule.now), self._look_at, lease)
        else:
            late = EXPIRY_SECONDS * self.store.chance.random()
            self.schedule.after(late, self._expire, lease)

    def _expire(self, lease: int) -> None:
        if lease in self._leases and self._leases[lease][1] <= self.schedule.now:
            self._end(lease)
        else:  # renewed at the last moment
            self._look_at(lease)

    def _end(self, lease: int) -> None:
        self._leases.pop(lease, None)
        gone = [key for key, there in self._keys.items() if there.lease == lease]
        for key in gone:
            del self._keys[key]
        if gone:
            self._changed()

    def _changed(self) -> None:
        for _, client, told in self._watches:
            client.tell(told)


class SimulatedClient:
    """The requests of one process. after: runs something later, as long as the process lives."""

    def __init__(self, etcd: Etcd, node: str, deadline: float, after: Callable[..., None]) -> None:
        self._etcd = etcd
        self._store = etcd.store
        self._node = node
        self._deadline = deadline
        self._after = after

    async def txn(
        self,
        compares: Sequence[Compare | HasValue] = (),
        writes: Sequence[Write] = (),
        *,
        read: Sequence[str] = (),
    ) -> TxnAnswer:
        answer: TxnAnswer = await self._request(
            lambda: self._etcd.txn(compares, writes, read), writes=bool(writes)
        )
        return answer

    async def grant(self, ttl_seconds: int) -> int:
        lease: int = await self._request(lambda: self._etcd.grant(ttl_seconds))
        return lease

    async def keepalive(self, lease: int) -> bool:
        lives: bool = await self._request(lambda: self._etcd.keepalive(lease))
        return lives

    def watch(self, prefix: str, told: Callable[[], None]) -> None:
        self._etcd.watch(prefix, self, told)

    async def close(self) -> None:
        pass

    def tell(self, told: Callable[[], None]) -> None:
        """Something changed."""
        if self._store.reaches(self._node):
            self._after(self._store.delay(self._node), told)

    async def _request(self, act: Callable[[], Any], *, writes: bool = False) -> Any:
        return await Wait(lambda resume, fail: self._send(act, writes, resume, fail))

    def _send(self, act: Callable[[], Any], writes: bool, resume: Resume, fail: Fail) -> None:
        store, chance = self._store, self._store.chance
        there, back = store.delay(self._node), store.delay(self._node)
        cut, leaderless = not store.reaches(self._node), self._etcd.leaderless
        if cut and chance.random() < 0.3:
            self._after(there, fail, EtcdUnreachable("no member can be reached"))
            return
        spoiled = writes and chance.random() < store.flaky
        if spoiled and not cut and not leaderless and chance.random() < 0.3:
            self._land(act)  # and is sent once more, as its answer was lost
            spoiled = False
        if not cut and not leaderless and not spoiled and there + back < self._deadline:
            # It has left already, or leaves with its host when that goes on after a pause.
            depart = store.schedule.after if chance.random() < 0.5 else self._after
            depart(there, self._reach, act, resume, fail, back)
            return
        self._after(self._deadline, fail, StoreTimeout("etcd does not answer"))
        lands = chance.choice([there, self._deadline * chance.uniform(0.5, 4.0), -1.0, -1.0])
        if lands >= 0 and not (cut and lands == there):
            store.schedule.after(lands, self._land, act)

    def _reach(self, act: Callable[[], Any], resume: Resume, fail: Fail, back: float) -> None:
        try:
            answer = act()
        except StoreError as error:
            self._after(back, fail, error)
        else:
            self._after(back, resume, answer)

    def _land(self, act: Callable[[], Any]) -> None:
        """Nobody hears what came of it."""
        if self._etcd.leaderless:
            return
        try:
            act()
        except StoreError:
            return


def make_etcd_coordinator(
    etcd: Etcd, node: str, boot_id: str, *, after: Callable[..., None], timing: Any
) -> EtcdCoordinator:
    """The real one; boot_id "" for a guard."""
    client = SimulatedClient(etcd, node, timing.lease / 3, after)
    return EtcdCoordinator(
        client,
        node,
        boot_id,
        nodes=("A", "B"),
        prefix="/pair",
        ttl=timing.ttl,
        renew_interval=timing.renew_interval,
    )
