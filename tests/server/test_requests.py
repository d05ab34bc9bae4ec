from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from rtmp_sync.cluster.member import Member
from rtmp_sync.cluster.timing import DEFAULT
from rtmp_sync.cluster.view import Identity, Policy
from rtmp_sync.server.requests import Requests


@pytest.fixture
def member() -> Member:
    alone = SimpleNamespace(replication=None, position=(0, 0))
    identity = Identity("A", "a1", 0.0)
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
    requests.answer(True, "paused")
    assert (await asked).text == "paused"


async def test_a_command_that_is_never_possible_ends_with_a_reason(member: Member) -> None:
    requests = Requests(member, lambda: None)
    result = await requests.command("force", "admin", patience_seconds=0.01)
    assert not result.done
    assert "force" in result.text
    assert member.view(0.0).request is None
