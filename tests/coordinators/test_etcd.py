"""The etcd coordinator on a real etcd: the lease, the holder key, and what a hand does to them.

What it has in common with the file coordinator: `test_conformance.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest

from rtmp_sync.cluster.record import Author, InSync, Record, encode, first_record
from rtmp_sync.cluster.view import Outcome
from rtmp_sync.config_values import Address
from rtmp_sync.coordinators.etcd import EtcdCoordinator
from rtmp_sync.coordinators.etcd_client import Compare, EtcdFull, HasValue, TxnAnswer, Write
from rtmp_sync.coordinators.etcd_gateway import GatewayClient
from rtmp_sync.errors import ConfigError, StoreError
from tests.coordinators.stores import NODES, EtcdStore
from tests.support.etcd import EtcdCluster

FIRST = first_record(NODES, Author("A", "a1", "first", ""))
TTL = 2.0  # etcd's least


def author(boot_id: str, nonce: str) -> Author:
    return Author(boot_id[0].upper(), boot_id, nonce, "")


class CountingClient(GatewayClient):
    """How often the lease was renewed."""

    renewals = 0

    async def keepalive(self, lease: int) -> bool:
        self.renewals += 1
        return await super().keepalive(lease)


@pytest.fixture
async def store(etcd_server: EtcdCluster) -> AsyncIterator[EtcdStore]:
    made = EtcdStore(etcd_server)
    await etcd_server.clear()
    yield made
    await made.close()


def short(store: EtcdStore, name: str, boot_id: str) -> EtcdCoordinator:
    """Its lease ends soon."""
    return store.coordinator(store.client(), name, boot_id, ttl=TTL)


@pytest.fixture
def a(store: EtcdStore) -> EtcdCoordinator:
    return store.node("A", "a1")


@pytest.fixture
def b(store: EtcdStore) -> EtcdCoordinator:
    return store.node("B", "b1")


async def landed(coordinator: EtcdCoordinator, record: Record) -> Record:
    attempt = await coordinator.cas(record)
    assert attempt.result.outcome is Outcome.LANDED, attempt
    return record


async def sees_key(coordinator: EtcdCoordinator) -> bool | None:
    return (await coordinator.read(beat=False)).sighting.holder_key


async def serves(coordinator: EtcdCoordinator) -> bool:
    return (await coordinator.read(beat=True)).sighting.beat_written


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.05)


async def refused(coordinator: EtcdCoordinator, record: Record) -> str:
    attempt = await coordinator.cas(record)
    assert attempt.result.outcome is Outcome.REFUSED, attempt
    return attempt.result.detail


# -- the lease -----------------------------------------------------------------------


async def test_nobody_claims_while_the_holders_key_is_there(
    a: EtcdCoordinator, b: EtcdCoordinator
) -> None:
    await landed(a, FIRST)
    assert await sees_key(b) is True
    detail = await refused(b, FIRST.claimed(author("b1", "c"), 0, "holder_expired"))
    assert "A a1 1" in detail
    assert (await b.read(beat=False)).sighting.record == FIRST


async def test_the_key_ends_with_a_holder_that_reads_no_more(store: EtcdStore) -> None:
    a, b = short(store, "A", "a1"), store.node("B", "b1")
    await landed(a, FIRST)
    assert await serves(a)
    await until(lambda: _gone(b))
    claimed = await landed(b, FIRST.claimed(author("b1", "c"), 0, "holder_expired"))
    assert not await serves(a)
    attempt = await a.cas(FIRST.synced(author("a1", "s"), 0, "in_sync", InSync("B", "b1")))
    assert (attempt.result.outcome, attempt.highest) == (Outcome.LOST, claimed)


async def test_a_holder_that_reads_keeps_its_key(store: EtcdStore) -> None:
    ttl = 4.0  # longer than this machine may stand still
    a, b = store.coordinator(store.client(), "A", "a1", ttl=ttl), store.node("B", "b1")
    await landed(a, FIRST)
    loop = asyncio.get_running_loop()
    end = loop.time() + 1.5 * ttl
    while loop.time() < end:
        assert await serves(a)
        await asyncio.sleep(0.1)
    assert await sees_key(b) is True


async def test_the_lease_is_renewed_only_when_it_is_time_to(store: EtcdStore) -> None:
    client = CountingClient(store.cluster.addresses, deadline_seconds=10)
    a = store.coordinator(client, "A", "a1")  # every 15 s
    await landed(a, FIRST)
    ends = []
    for _ in range(5):
        sighting = (await a.read(beat=True)).sighting
        assert sighting.lease_seconds is not None
        ends.append(round(sighting.started + sighting.lease_seconds, 6))
    assert client.renewals == 0
    assert len(set(ends)) == 1  # a read buys nothing: the authority ends when it did before


async def test_a_standby_and_a_guard_have_no_lease(store: EtcdStore, b: EtcdCoordinator) -> None:
    await b.read(beat=False)
    guard = store.node("A")
    await guard.read(beat=False)
    await guard.read(beat=True)
    assert await store.cluster.leases() == []


# -- a hand in it --------------------------------------------------------------------


async def test_a_revoked_lease_ends_the_epoch_and_its_key_is_not_made_again(
    store: EtcdStore, a: EtcdCoordinator, b: EtcdCoordinator
) -> None:
    synced = await _in_sync(a)
    (lease,) = await store.cluster.leases()
    await store.cluster.revoke(lease)
    for _ in range(3):
        sighting = (await a.read(beat=True)).sighting
        assert (sighting.holder_key, sighting.beat_written) == (False, False)
        assert sighting.record == synced
    assert await sees_key(b) is False
    await landed(b, synced.claimed(author("b1", "c"), 0, "lease_revoked"))


async def test_a_key_deleted_by_hand_is_not_made_again(
    store: EtcdStore, a: EtcdCoordinator
) -> None:
    await _in_sync(a)
    await store.cluster.delete(f"{store.prefix}/holder")
    for _ in range(3):
        sighting = (await a.read(beat=True)).sighting
        assert (sighting.holder_key, sighting.beat_written) == (False, False)


async def test_who_lost_its_key_records_nobody_in_sync_but_may_pause(
    store: EtcdStore, a: EtcdCoordinator
) -> None:
    synced = await _in_sync(a)
    await store.cluster.delete(f"{store.prefix}/holder")
    assert "nobody" in await refused(a, synced.synced(author("a1", "alone"), 1, "alone"))
    paused = await landed(a, synced.with_pause(author("a1", "p"), 1, True))
    await landed(a, paused.unchanged(author("a1", "no-op"), 1))


async def test_who_lost_its_lease_claims_the_next_epoch_with_another_one(
    store: EtcdStore, a: EtcdCoordinator
) -> None:
    synced = await _in_sync(a)
    (lease,) = await store.cluster.leases()
    await store.cluster.revoke(lease)
    await landed(a, synced.claimed(author("a1", "again"), 1, "reclaimed"))
    assert await store.cluster.leases() != [lease]
    assert await serves(a)


async def test_a_lease_that_is_revoked_at_the_last_instant_refuses_the_claim(
    store: EtcdStore,
) -> None:
    class Revoking(GatewayClient):
        async def grant(self, ttl_seconds: int) -> int:
            lease = await super().grant(ttl_seconds)
            await store.cluster.revoke(lease)
            return lease

    a = store.coordinator(Revoking(store.cluster.addresses, deadline_seconds=10), "A", "a1")
    for _ in range(2):  # each with a lease of its own
        assert "lease not found" in await refused(a, FIRST)
    assert (await a.read(beat=False)).sighting.record is None


async def test_a_boot_may_claim_over_its_own_key(a: EtcdCoordinator, b: EtcdCoordinator) -> None:
    """After a stall it is closed, and its lease still lives."""
    synced = await _in_sync(a)
    await landed(a, synced.claimed(author("a1", "again"), 1, "reclaimed"))
    assert await serves(a)
    assert await sees_key(b) is True


async def test_a_key_that_says_something_else_keeps_everybody_out(
    store: EtcdStore, a: EtcdCoordinator, b: EtcdCoordinator
) -> None:
    synced = await _in_sync(a)
    await store.cluster.put(f"{store.prefix}/holder", b"by hand")
    assert not await serves(a)
    detail = await refused(b, synced.claimed(author("b1", "c"), 1, "x"))
    assert "by hand" in detail


# -- switchover ----------------------------------------------------------------------


async def test_the_new_holder_takes_the_key_over_to_its_own_lease(
    store: EtcdStore, a: EtcdCoordinator, b: EtcdCoordinator
) -> None:
    synced = await _in_sync(a)
    (old,) = await store.cluster.leases()
    handed = await _hand_over(a, synced)
    assert not (await b.read(beat=False)).sighting.beat_written
    assert await serves(b)
    await store.cluster.revoke(old)
    assert await serves(b)
    assert await sees_key(a) is True
    assert (await a.read(beat=False)).sighting.record == handed


async def test_a_new_holder_that_never_comes_is_not_waited_for(store: EtcdStore) -> None:
    a = short(store, "A", "a1")
    handed = await _hand_over(a, await _in_sync(a))
    await until(lambda: _gone(a))
    await landed(a, handed.claimed(author("a1", "back"), 1, "holder_expired"))


async def test_who_handed_over_and_beats_on_does_not_keep_the_key_of_one_who_never_came(
    store: EtcdStore,
) -> None:
    """As one that then serves by its operator's word does."""
    a = short(store, "A", "a1")
    await _hand_over(a, await _in_sync(a))
    await until(lambda: _gone_while_it_beats(a))


async def test_a_key_taken_over_once_and_lost_is_not_taken_again(
    store: EtcdStore, a: EtcdCoordinator, b: EtcdCoordinator
) -> None:
    await _hand_over(a, await _in_sync(a))
    assert await serves(b)
    await store.cluster.delete(f"{store.prefix}/holder")
    assert not await serves(b)
    await store.cluster.put(f"{store.prefix}/holder", b"B b1 2")  # on no lease at all
    assert not await serves(b)


# -- the watch -----------------------------------------------------------------------


async def test_a_change_is_told_by_etcd_itself(
    store: EtcdStore, a: EtcdCoordinator, b: EtcdCoordinator
) -> None:
    told = asyncio.Event()
    b.on_change(told.set)
    async with asyncio.timeout(60):
        await told.wait()  # from now on it watches
        for change in (_in_sync(a), store.cluster.delete(f"{store.prefix}/holder")):
            told.clear()
            await change
            await told.wait()


async def test_other_keys_are_not_told(store: EtcdStore, b: EtcdCoordinator) -> None:
    count = 0

    def tell() -> None:
        nonlocal count
        count += 1

    b.on_change(tell)
    await until(lambda: _is(lambda: count == 1))
    await store.cluster.put(f"{store.prefix}0", b"")
    await store.cluster.put(f"{store.prefix}/last", b"")
    await until(lambda: _is(lambda: count > 1))
    assert count == 2


# -- start ---------------------------------------------------------------------------


async def test_the_record_of_another_pair_is_a_wrong_configuration(
    store: EtcdStore, a: EtcdCoordinator
) -> None:
    other = first_record(("A", "C"), author("a1", "other"))
    await store.cluster.put(f"{store.prefix}/record", encode(other))
    with pytest.raises(ConfigError) as raised:
        await a.start()
    assert raised.value.key == "failover.nodes"
    sighting = (await a.read(beat=False)).sighting
    assert (sighting.record, sighting.invalid) == (None, True)


async def test_a_node_starts_without_etcd_and_knows_its_pair() -> None:
    client = GatewayClient([Address("127.0.0.1", 1)], deadline_seconds=10)
    a = EtcdCoordinator(client, "a", "a1", nodes=NODES, prefix="/x", ttl=5.0, renew_interval=1.5)
    assert await a.start() == NODES
    assert a.condition == "unreachable"
    with pytest.raises(StoreError):
        await a.read(beat=False)
    attempt = await a.cas(FIRST)
    assert attempt.result.outcome is Outcome.REFUSED  # nothing was sent
    await a.stop()


async def test_a_holder_keeps_its_key_when_etcd_is_full(troubled_etcd: EtcdStore) -> None:
    a = troubled_etcd.node("A", "a1")
    synced = await _in_sync(a)
    await troubled_etcd.fill()
    assert "space" in await refused(a, synced.synced(author("a1", "alone"), 1, "alone"))
    assert "space" in a.condition
    assert await serves(a)


@pytest.mark.parametrize("done", [True, False])
async def test_what_a_full_etcd_refuses_may_have_been_done_and_is_looked_for(
    store: EtcdStore, done: bool
) -> None:
    """The transaction with which etcd goes beyond its quota is applied, and answered so."""

    class FullClient(GatewayClient):
        async def txn(
            self,
            compares: Sequence[Compare | HasValue] = (),
            writes: Sequence[Write] = (),
            *,
            read: Sequence[str] = (),
        ) -> TxnAnswer:
            if writes and not done:
                raise EtcdFull("no space")
            answer = await super().txn(compares, writes, read=read)
            if writes:
                raise EtcdFull("no space")
            return answer

    client = FullClient(store.cluster.addresses, deadline_seconds=10)
    attempt = await store.coordinator(client, "A", "a1").cas(FIRST)
    assert attempt.result.outcome is (Outcome.LANDED if done else Outcome.REFUSED)
    assert attempt.highest == (FIRST if done else None)


async def _in_sync(a: EtcdCoordinator) -> Record:
    await landed(a, FIRST)
    assert await serves(a)
    return await landed(a, FIRST.synced(author("a1", "s"), 1, "in_sync", InSync("B", "b1")))


async def _hand_over(a: EtcdCoordinator, record: Record) -> Record:
    to, me = InSync("B", "b1"), InSync("A", "a1")
    return await landed(a, record.handed_over(author("a1", "h"), 1, to, me))


async def _gone(coordinator: EtcdCoordinator) -> bool:
    return await sees_key(coordinator) is False


async def _gone_while_it_beats(coordinator: EtcdCoordinator) -> bool:
    return (await coordinator.read(beat=True)).sighting.holder_key is False


async def _is(holds: Callable[[], bool]) -> bool:
    return holds()
