"""A member's own service: what it tells of a takeover, of its checks and of its load balancer,
and how it serves by an operator's word."""

from __future__ import annotations

from math import inf

import pytest

from rtmp_sync.cluster.peer_status import OwnHealth
from rtmp_sync.cluster.timing import DEFAULT
from rtmp_sync.cluster.view import State
from tests.cluster.test_member import World, heir


@pytest.fixture
def active() -> World:
    world = World()
    world.begin()
    return world


def test_a_takeover_tells_what_each_of_its_steps_took(active: World) -> None:
    claimant = heir()
    claimant.wait(1)
    (event,) = claimant.happened("failover")
    steps = event.fields["steps"]
    assert isinstance(steps, dict)
    assert list(steps) == ["noticed", "claimed", "landed", "waited", "opened"]
    assert all(milliseconds >= 0 for milliseconds in steps.values())


def test_a_load_balancer_that_looks_at_the_other_node_alone_is_an_alarm(active: World) -> None:
    active.sync()
    assert active.replication.peer is not None
    active.replication.peer.heartbeat_at = active.now
    active.replication.peer.health = OwnHealth(lb_checks_age=0.5)
    active.member.load_balancer_seen(3.5)
    assert "lb_path_lost" in active.member.alarms(active.now)
    active.member.load_balancer_seen(0.5)
    assert "lb_path_lost" not in active.member.alarms(active.now)


def test_a_check_of_its_own_that_fails_has_its_name(active: World) -> None:
    for _ in range(DEFAULT.fall):
        active.member.self_tested(False, "self_probe_rtmp")
    assert "self_probe_rtmp" in active.member.alarms(active.now)
    active.member.self_tested(True)
    assert "self_probe_rtmp" not in active.member.alarms(active.now)


def test_by_the_operators_word_a_member_has_authority_without_the_store(active: World) -> None:
    standby = World("B")
    standby.record = active.record
    standby.position = (1, 5)
    standby.read()
    standby.cut()
    standby.member.could_not_read()
    assert standby.member.ask("force_fenced", "admin", standby.now)
    standby.look()
    assert standby.member.state is State.ACTIVE
    assert standby.member.authority == (standby.member.epoch, inf)
    assert standby.member.announced.holder == "B"
    assert "forced_fenced" in standby.member.alarms(standby.now)
    standby.wait(1)
    assert standby.record is not None
    assert standby.record.held_by("B", "b1")
    assert standby.member.node.word is None
