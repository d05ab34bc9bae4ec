"""The `etcd` coordinator: the pair's record in a consensus store, and a lease for its holder.

    <prefix>/record     the record; replaced only while its mod_revision is the one that was read
    <prefix>/holder     "node boot_id epoch" of the holder; lives by the holder's lease

The holder key is there while the holder may serve: whoever reads that it is gone may claim
without a wait, since a claim is one transaction, "no holder key, record unchanged -> both".
Serving ends a second before the lease can: at the *send* time of its last renewal + ttl - 1.

The key of an epoch is made once, with the record that begins it. One that vanishes (its lease
was revoked, or it was deleted) is not made again: its epoch is over. A switchover leaves the
new holder's key on the old holder's lease, so there is no instant without one; the new holder
takes it over to its own at its first read, and until then it may not serve.

What etcd answers, and what it means when it does not: `etcd_client.py`.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rtmp_sync.cluster.observer import Sighting
from rtmp_sync.cluster.record import Record, decode, encode
from rtmp_sync.cluster.view import CasResult, Outcome
from rtmp_sync.coordinators.base import Attempt, Reading
from rtmp_sync.coordinators.etcd_client import (
    Compare,
    Delete,
    EtcdClient,
    EtcdFull,
    EtcdUnreachable,
    HasValue,
    KeyValue,
    LeaseGone,
    Put,
    Write,
)
from rtmp_sync.errors import ConfigError, StoreError, StoreTimeout
from rtmp_sync.server.clock import now

__all__ = ["EtcdCoordinator", "make"]

if TYPE_CHECKING:
    from rtmp_sync.config import Config

# Records that a compare-and-set may be built on: the one read last, and a few that a slower
# read or an attempt of unknown outcome may still speak of.
KEEP_SEEN = 16

# The authority ends so much before the lease can: for what an answer of etcd may be late, and
# for clocks of different rate.
LEASE_MARGIN_SECONDS = 1.0


def make(config: Config, *, boot_id: str, last_epoch: int, owner: str) -> EtcdCoordinator:
    """A third of the authority per request: three may fail before it runs out. Raises
    ConfigError."""
    from rtmp_sync.config_tls import etcd_tls
    from rtmp_sync.coordinators.etcd_gateway import Account, GatewayClient

    failover, timing = config.failover, config.timing()
    user = failover.etcd_user
    first, second = failover.nodes
    return EtcdCoordinator(
        GatewayClient(
            failover.etcd,
            deadline_seconds=(timing.ttl - LEASE_MARGIN_SECONDS) / 3,
            tls=etcd_tls(failover),
            account=Account(user, config.etcd_password()) if user is not None else None,
        ),
        config.node.id,
        boot_id,
        nodes=(first, second),
        prefix=failover.etcd_prefix,
        ttl=timing.ttl,
        renew_interval=timing.renew_interval,
    )


@dataclass(slots=True)
class _Lease:
    """renewed_at: when the last renewal that was answered, or the grant, was sent."""

    id: int
    renewed_at: float


class EtcdCoordinator:
    """boot_id: "" for a guard, which never holds anything and so has no lease."""

    def __init__(
        self,
        client: EtcdClient,
        node_id: str,
        boot_id: str,
        *,
        nodes: tuple[str, str],
        prefix: str,
        ttl: float,
        renew_interval: float,
    ) -> None:
        self.node_id = node_id
        self.condition = "ok"
        self._client = client
        self._boot_id = boot_id
        self._nodes = nodes  # one of them is node_id, in whatever case
        self._prefix = f"{prefix.rstrip('/')}/"
        self._record_key, self._holder_key = f"{self._prefix}record", f"{self._prefix}holder"
        self._ttl = ttl
        self._renew_interval = renew_interval
        self._lease: _Lease | None = None
        self._bound_epoch = 0  # the last epoch in which the holder key was seen on my lease
        self._seen: OrderedDict[str, tuple[Record, int]] = OrderedDict()  # by nonce

    def on_change(self, told: Callable[[], None]) -> None:
        self._client.watch(self._prefix, told)

    async def start(self) -> tuple[str, str]:
        """The pair's names are known without the store. Raises ConfigError."""
        try:
            stored, _ = await self._look()
        except StoreError as error:
            self._suffered(error)
            return self._nodes  # the watchdog will hold the node back and look again
        nodes = _nodes_in(stored)
        if nodes is not None and not self._learn(nodes):
            fix = f"{self._record_key} is of {' and '.join(nodes)}; give each pair its etcd_prefix"
            raise ConfigError("failover.nodes", list(self._nodes), fix)
        return self._nodes

    async def stop(self) -> None:
        """The lease is left to end by itself: to end it would say that the gate is closed."""
        await self._client.close()

    async def read(self, *, beat: bool) -> Reading:
        """Renews the lease first, if `beat` and it is time to. Raises StoreError."""
        try:
            reading = await self._read(beat=beat)
        except StoreError as error:
            self._suffered(error)
            raise
        self.condition = "ok"
        return reading

    async def write_nonce(self) -> None:
        return None  # its reads are linearizable

    async def read_nonce(self, node: str) -> None:
        return None

    async def cas(self, record: Record) -> Attempt:
        try:
            return await self._cas(record)
        except StoreTimeout as error:
            self._suffered(error)
            return _attempt(record, Outcome.UNKNOWN, str(error))
        except StoreError as error:
            if isinstance(error, LeaseGone):
                self._lease = None  # somebody revoked it; the next attempt has another one
            self._suffered(error)
            return _attempt(record, Outcome.REFUSED, str(error))

    # -- reading ------------------------------------------------------------------------

    async def _read(self, *, beat: bool) -> Reading:
        started = now()
        lease = self._lease
        if beat and lease is not None and started >= lease.renewed_at + self._renew_interval:
            await self._renew(lease)
        stored, holder = await self._look()
        record = self._understand(stored)
        if record is not None and beat and self._may_take_over(record, holder):
            stored, holder = await self._take_over(record, holder)
            record = self._understand(stored)
        is_held, serves = False, False
        if record is not None:
            is_held = _names(holder, record)
            serves = is_held and self._is_mine(record) and self._is_bound(holder)
            if serves:
                self._bound_epoch = record.epoch
            elif is_held and self._is_bound(holder):
                self._lease = None  # renewed, it would keep the key of a holder who never came
        sighting = Sighting(
            started,
            now(),
            record,
            invalid=stored is not None and record is None,
            lease_seconds=self._authority_end() - started,
            beat_written=beat and serves,
            holder_key=is_held,
        )
        return Reading(sighting, self._nodes)

    async def _look(
        self, compares: Sequence[Compare | HasValue] = (), writes: Sequence[Write] = ()
    ) -> tuple[KeyValue | None, KeyValue | None]:
        """What the record's and the holder's key hold, after the writes if the compares hold."""
        answer = await self._client.txn(compares, writes, read=(self._record_key, self._holder_key))
        stored, holder = answer.found
        return stored, holder

    def _understand(self, stored: KeyValue | None) -> Record | None:
        """The record that is stored; None when there is none, or none of this pair."""
        if stored is None:
            return None
        try:
            record = decode(stored.value)
        except StoreError:
            return None
        if not self._learn(record.nodes):
            return None
        self._seen[record.nonce] = record, stored.mod_revision
        self._seen.move_to_end(record.nonce)
        while len(self._seen) > KEEP_SEEN:
            self._seen.popitem(last=False)
        return record

    def _learn(self, nodes: tuple[str, str]) -> bool:
        """Whether they are this pair's. The record's spelling of the names counts."""
        if [node.casefold() for node in nodes] != [node.casefold() for node in self._nodes]:
            return False
        self._nodes = nodes
        self.node_id = next(n for n in nodes if n.casefold() == self.node_id.casefold())
        return True

    def _may_take_over(self, record: Record, holder: KeyValue | None) -> bool:
        """The record was handed to this boot, and its key is still on the former lease."""
        is_new = self._is_mine(record) and self._bound_epoch < record.epoch
        return is_new and _names(holder, record) and not self._is_bound(holder)

    async def _take_over(
        self, record: Record, holder: KeyValue | None
    ) -> tuple[KeyValue | None, KeyValue | None]:
        _, revision = self._seen[record.nonce]
        lease = await self._live_lease()
        unchanged = (
            Compare(self._record_key, revision),
            Compare(self._holder_key, holder.mod_revision if holder is not None else 0),
        )
        return await self._look(unchanged, [self._hold(record, lease)])

    # -- writing ------------------------------------------------------------------------

    async def _cas(self, record: Record) -> Attempt:
        try:
            if record.prev and record.prev not in self._seen:
                stored, holder = await self._look()
                there = self._understand(stored)
                if record.prev not in self._seen:
                    return self._outcome(record, there, holder)
            compares, writes = await self._transaction(record)
        except StoreError as error:  # even if there was no answer: nothing was written yet
            self._suffered(error)
            return _attempt(record, Outcome.REFUSED, str(error))
        try:
            stored, holder = await self._look(compares, writes)
        except EtcdFull as error:
            return await self._look_whether_full(record, error)
        return self._outcome(record, self._understand(stored), holder)

    async def _look_whether_full(self, record: Record, error: EtcdFull) -> Attempt:
        """Raises StoreTimeout: nobody knows."""
        try:
            stored, holder = await self._look()
        except StoreError as blind:
            raise StoreTimeout(str(blind)) from None
        there = self._understand(stored)
        if there is None or there.nonce == record.prev:
            raise error
        return self._outcome(record, there, holder)

    async def _transaction(self, record: Record) -> tuple[list[Compare | HasValue], list[Write]]:
        """What must hold, and what is done with the record. Raises StoreError."""
        before, revision = self._seen.get(record.prev, (None, 0))
        compares: list[Compare | HasValue] = [Compare(self._record_key, revision)]
        writes: list[Write] = [Put(self._record_key, encode(record))]
        begins = before is None or record.epoch > before.epoch
        if begins and self._is_mine(record):
            compares.append(await self._free_for_me())
        if begins:
            writes.append(self._hold(record, await self._live_lease()))
        elif record.released:
            writes.append(Delete(self._holder_key))
        elif before is not None and record.sync != before.sync:
            compares.append(HasValue(self._holder_key, _name(record)))
        return compares, writes

    async def _free_for_me(self) -> Compare:
        """Nobody holds, or an earlier epoch of this very boot does."""
        _, holder = await self._look()
        mine = f"{self.node_id} {self._boot_id} ".encode()
        is_mine = holder is not None and holder.value.startswith(mine)
        return Compare(self._holder_key, holder.mod_revision if holder and is_mine else 0)

    def _outcome(self, record: Record, there: Record | None, holder: KeyValue | None) -> Attempt:
        """What came of it, by the record that is there now."""
        if there is None or there.rev < record.rev - 1:
            outcome, detail = Outcome.LOST, "there is no such record any more"
        elif there.nonce == record.nonce or there.prev == record.nonce:
            outcome, detail = Outcome.LANDED, ""
        elif there.nonce == record.prev:
            who = holder.value.decode("latin-1") if holder is not None else "nobody"
            outcome, detail = Outcome.REFUSED, f"the holder key is that of {who}"
        elif there.rev <= record.rev + 1:
            outcome, detail = Outcome.LOST, ""
        else:  # others went on, perhaps from a first sending of it that landed
            outcome, detail = Outcome.UNKNOWN, "others went on meanwhile"
        attempt = CasResult(record.nonce, outcome, now(), detail)
        return Attempt(attempt, there)

    # -- the lease ----------------------------------------------------------------------

    async def _renew(self, lease: _Lease) -> None:
        sent_at = now()
        if await self._client.keepalive(lease.id):
            lease.renewed_at = sent_at
        elif self._lease is lease:
            self._lease = None

    async def _live_lease(self) -> _Lease:
        """One that lives for its whole time from now on."""
        if self._lease is not None:
            await self._renew(self._lease)
        if self._lease is None:
            sent_at = now()
            self._lease = _Lease(await self._client.grant(math.ceil(self._ttl)), sent_at)
        return self._lease

    def _authority_end(self) -> float:
        if self._lease is None:
            return -math.inf
        return self._lease.renewed_at + self._ttl - LEASE_MARGIN_SECONDS

    def _hold(self, record: Record, lease: _Lease) -> Put:
        return Put(self._holder_key, _name(record), lease.id)

    def _is_mine(self, record: Record) -> bool:
        return record.held_by(self.node_id, self._boot_id)

    def _is_bound(self, holder: KeyValue | None) -> bool:
        return holder is not None and self._lease is not None and holder.lease == self._lease.id

    def _suffered(self, error: StoreError) -> None:
        if isinstance(error, StoreTimeout):
            self.condition = "no_quorum"
        else:
            self.condition = "unreachable" if isinstance(error, EtcdUnreachable) else str(error)


def _name(record: Record) -> bytes:
    return f"{record.holder} {record.boot_id} {record.epoch}".encode()


def _names(holder: KeyValue | None, record: Record) -> bool:
    return holder is not None and holder.value == _name(record)


def _nodes_in(stored: KeyValue | None) -> tuple[str, str] | None:
    try:
        return decode(stored.value).nodes if stored is not None else None
    except StoreError:
        return None


def _attempt(record: Record, outcome: Outcome, detail: str) -> Attempt:
    return Attempt(CasResult(record.nonce, outcome, now(), detail))
