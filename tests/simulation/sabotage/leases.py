"""Sabotage of the lease: until when it lets its holder serve, and when it counts as over."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

from rtmp_sync.cluster.situation import Situation
from rtmp_sync.coordinators import etcd
from rtmp_sync.coordinators.etcd_client import Compare
from tests.simulation.sabotage.registry import only, sabotage

# A's time runs slowly, within what the second of margin allows for.
SLOW = {"A": 0.82, "B": 1.0}


@sabotage(
    "I1",
    mix=only(
        {"isolate": 4, "force": 4, "store_one": 2}, etcd=1.0, fixed_rates=SLOW, companions=0.9
    ),
)
def lease_that_is_used_up() -> Iterator[None]:
    """The holder serves until its lease ends, by its own clock."""
    with patch.object(etcd, "LEASE_MARGIN_SECONDS", 0.0):
        yield


@sabotage("I1", mix=only({"isolate": 3, "cut": 3, "crash": 1}, etcd=1.0))
def claim_though_the_lease_lives() -> Iterator[None]:
    """Who does not answer is taken for dead, and nobody looks at the holder's key."""
    ended = property(lambda self: self.view.dead)

    async def free(self: etcd.EtcdCoordinator) -> Compare:
        return Compare("/nobody", 0)

    with (
        patch.object(Situation, "lease_ended", ended),
        patch.object(Situation, "key_free", True),
        patch.object(etcd.EtcdCoordinator, "_free_for_me", free),
    ):
        yield


@sabotage("I1", mix=only({"revoke": 4, "store_slow": 4}, etcd=1.0, companions=0.9))
def revoked_lease_that_is_not_waited_for() -> Iterator[None]:
    """A key that is gone counts, whatever its holder says of itself."""
    gone = property(lambda self: self.view.holder_key is False and self.record is not None)
    with patch.object(Situation, "lease_ended", gone):
        yield
