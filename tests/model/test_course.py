"""The model does what a pair does: it fails over, in the time that the rules take."""

from __future__ import annotations

from math import inf

import pytest

from rtmp_sync.cluster.view import Policy
from tests.model.constants import short_patience
from tests.model.happenings import World
from tests.model.life import Lives
from tests.model.scenario import STORES
from tests.model.state import NODES, Pair


def _left_alone(world: World, pair: Pair, ticks: int) -> Pair:
    for _ in range(ticks):
        for node in NODES:
            if pair.host(node).runs:
                pair, _ = world.after(pair, ("round", node))
        if pair.a.owed is not None:
            pair, _ = world.after(pair, ("guard releases", "A"))
        pair, _ = world.after(pair, ("tick",))
    return pair


@pytest.mark.parametrize("coordinator", ["file", "etcd"])
@pytest.mark.parametrize("fault", ["isolate", "power", "crash", "pause", "stop"])
def test_the_other_node_serves_when_the_active_one_is_gone(coordinator: str, fault: str) -> None:
    with short_patience():
        world = World(Lives(Policy(digest_seconds=inf)), STORES[coordinator]())
        pair, _ = world.after(world.settled(), (fault, "A"))
        pair = _left_alone(world, pair, 12)
        assert world.course(pair).serves("B")


@pytest.mark.parametrize("coordinator", ["file", "etcd"])
def test_the_active_node_serves_on_without_the_other_one(coordinator: str) -> None:
    with short_patience():
        world = World(Lives(Policy(digest_seconds=inf)), STORES[coordinator]())
        pair, _ = world.after(world.settled(), ("power", "B"))
        pair = _left_alone(world, pair, 12)
        assert world.course(pair).serves("A")
        assert pair.served == 1
