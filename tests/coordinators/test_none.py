from __future__ import annotations

from math import inf

from rtmp_sync.cluster.record import Author
from rtmp_sync.cluster.view import Outcome
from rtmp_sync.coordinators.none import NoneCoordinator


async def test_a_single_origin_holds_the_epoch_after_its_last_one() -> None:
    coordinator = NoneCoordinator("S", "s1", last_epoch=7)
    nodes = await coordinator.start()
    assert nodes is not None
    assert nodes[0] == "S"
    sighting = (await coordinator.read(beat=True)).sighting
    assert sighting.record is not None
    assert sighting.record.held_by("S", "s1")
    assert sighting.record.epoch == 8
    assert sighting.lease_seconds == inf


async def test_a_successor_lands_and_a_stranger_is_lost() -> None:
    coordinator = NoneCoordinator("S", "s1", last_epoch=0)
    record = (await coordinator.read(beat=False)).sighting.record
    assert record is not None
    successor = record.let_go(Author("S", "s1", "n1", ""), 0, "stopped")
    assert (await coordinator.cas(successor)).result.outcome is Outcome.LANDED
    assert (await coordinator.cas(successor)).result.outcome is Outcome.LOST
    await coordinator.stop()
