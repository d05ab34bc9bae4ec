from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest

from rtmp_sync.cluster.member import Member
from rtmp_sync.cluster.observer import Sighting
from rtmp_sync.cluster.record import Author, first_record
from rtmp_sync.cluster.timing import DEFAULT
from rtmp_sync.cluster.view import Identity, Policy, State
from rtmp_sync.server.requests import Requests, Result


@pytest.fixture
def member() -> Member:
    return member_of("A")


def member_of(node_id: str) -> Member:
    alone = SimpleNamespace(replication=None, position=(0, 0))
    identity = Identity(node_id, f"{node_id}-1", 0.0)
    return Member(identity, DEFAULT, Policy(), alone, nonce=lambda: "", wall=lambda: "", now=0.0)


async def test_a_command_is_the_members_until_it_is_answered(member: Member) -> None:
    woken: list[None] = []
    requests = Requests(member, lambda: woken.append(None))
    asked = asyncio.ensure_future(requests.command("pause", "admin", patience_seconds=10))
    await asyncio.sleep(0)
    assert woken
    request = member.view(0.0).request
    assert request is not None
    assert (request.kind, request.by) == ("pause", "admin")
    second = await requests.command("resume", "admin", patience_seconds=10)
    assert not second.done
    requests.answer(True, "paused", {"epoch": 3})
    assert await asked == Result(True, "paused", {"epoch": 3})


async def test_a_command_that_is_never_possible_ends_with_a_reason(member: Member) -> None:
    requests = Requests(member, lambda: None)
    result = await requests.command("force", "admin", patience_seconds=0.01)
    assert not result.done
    assert "force" in result.text
    assert member.view(0.0).request is None


async def test_what_only_the_active_one_can_do_names_it(member: Member) -> None:
    """B, of a pair that A serves."""
    standby = member_of("B")
    record = first_record(("A", "B"), Author("A", "A-1", "n", ""))
    standby.saw(Sighting(0.0, 0.0, record), 0.0)
    for kind in ("switchover", "resync"):
        result = await Requests(standby, lambda: None).command(kind, "me", patience_seconds=1)
        assert not result.done
        assert "ask A" in result.text
    assert standby.view(0.0).request is None
    result = await Requests(member, lambda: None).command("switchover", "me", patience_seconds=1)
    assert result.text == "A does not serve: it is INIT"


async def test_who_serves_already_is_not_forced_to(member: Member) -> None:
    member.node = replace(member.node, state=State.ACTIVE)
    for kind in ("force", "force_fenced"):
        result = await Requests(member, lambda: None).command(kind, "me", patience_seconds=1)
        assert result == Result(False, "A serves already")


async def test_reason_and_draining_time_come_with_the_command(member: Member) -> None:
    requests = Requests(member, lambda: None)
    for kind in ("pause", "force"):
        asked = requests.command(
            kind, "me", patience_seconds=10, reason="new disks", drain_seconds=7.0
        )
        task = asyncio.ensure_future(asked)
        await asyncio.sleep(0)
        request = member.view(0.0).request
        assert request is not None
        assert (request.reason, request.drain_seconds) == ("new disks", 7.0)
        requests.answer(False, "no", {})
        await task
        member.withdraw()
