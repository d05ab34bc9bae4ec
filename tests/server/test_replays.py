"""`replay=True`: the standby runs the call too, for its own memory and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from rtmp_sync import CallError, NetConnection, Origin
from rtmp_sync.server import replays as module
from rtmp_sync.server.blocked_loop import BlockedLoop
from rtmp_sync.server.tasks import RUNNERS
from rtmp_sync.wire import amf0
from rtmp_sync.wire.packing import pack
from rtmp_sync.wire.records import Replay
from tests.support.origins import until, url
from tests.support.standby import Standby, paired


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Origin, Standby, NetConnection]]:
    """An origin, its standby, and a client of instance `room`."""
    async with paired(tmp_path) as (origin, standby), NetConnection(reconnect=False) as user:
        there(standby).release = asyncio.Event()
        await user.connect(url(origin, "probe/room"), "ann", "User")
        yield origin, standby, user
        there(standby).release.set()


def there(standby: Standby) -> Any:
    """The class of the application `probe` on the standby."""
    return standby.applications["probe"]


def known(standby: Standby) -> list[Any]:
    """What the application of `room` on the standby remembers."""
    application: Any = standby.application("probe/room")
    return list(application.known) if application is not None else []


def same(origin: Origin, standby: Standby) -> bool:
    return (
        origin.state.journal.head == standby.state.journal.head
        and origin.state.digest() == standby.state.digest()
    )


async def test_the_standby_runs_the_call_with_its_caller_after_it_has_its_changes(
    pair: tuple[Origin, Standby, NetConnection],
) -> None:
    _, standby, user = pair
    assert await user.call("learn", "one") == "one"
    assert await user.call("call2server", "learn", ["two"]) == "two"
    assert await user.call("recall") == [
        ["ann", True, True, "one", {}],
        ["ann", True, True, "two", {"kept": "one"}],
    ]
    await until(lambda: standby.instances.replays.done == 2)
    learned = known(standby)
    assert [one[:4] for one in learned] == [
        ("ann", False, False, "one"),
        ("ann", False, False, "two"),
    ]
    assert learned[1][4] == {"kept": "two"}  # with what it changed, or more


async def test_what_it_writes_there_does_nothing(
    pair: tuple[Origin, Standby, NetConnection],
) -> None:
    origin, standby, user = pair
    await user.call("learn", "one")
    await until(lambda: standby.instances.replays.done == 1)
    await until(lambda: same(origin, standby))
    vars_there = standby.state.find("probe/room", "vars", "V")
    assert vars_there is not None
    assert amf0.decode(vars_there.slots["lessons"]) == [1.0]


async def test_no_hook_and_no_timer_runs_on_a_standby(
    pair: tuple[Origin, Standby, NetConnection],
) -> None:
    _, standby, user = pair
    await user.call("learn", "one")
    await until(lambda: standby.instances.replays.done == 1)
    assert there(standby).said == []
    application = standby.application("probe/room")
    ticks: list[int] = []
    application.every(0.0001, lambda: ticks.append(1))
    await asyncio.sleep(0.01)  # long enough for a timer that should not be there
    assert ticks == []
    assert application.clients == []


async def test_a_call_that_failed_is_not_run_again(
    pair: tuple[Origin, Standby, NetConnection],
) -> None:
    _, standby, user = pair
    with pytest.raises(CallError):
        await user.call("fail")
    await user.call("learn", "one")
    await until(lambda: standby.instances.replays.done == 1)
    assert [one[3] for one in known(standby)] == ["one"]


async def test_its_failure_is_counted_and_changes_nothing(
    pair: tuple[Origin, Standby, NetConnection],
) -> None:
    origin, standby, user = pair
    await user.call("stumble")
    await user.call("learn", "after it")
    replays = standby.instances.replays
    await until(lambda: replays.done == 1)
    assert (replays.failed, replays.left_out, replays.running) == (1, 0, 0)
    await until(lambda: same(origin, standby))


@pytest.fixture
def watched(pair: tuple[Origin, Standby, NetConnection]) -> Iterator[None]:
    """The standby's loop is looked at, as a process of its own does."""
    _, standby, _ = pair
    blocked = BlockedLoop(standby.tasks.steps, RUNNERS, 0.2)
    blocked.start()
    yield
    blocked.stop()


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("method", ["doze", "doze_later"])
async def test_one_that_blocks_the_loop_of_the_standby_is_stopped(
    pair: tuple[Origin, Standby, NetConnection], method: str
) -> None:
    _, standby, user = pair
    await user.call(method)
    await user.call("learn", "after it")
    replays = standby.instances.replays
    await until(lambda: replays.done == 1 and replays.failed == 1)
    assert [one[3] for one in known(standby)] == ["after it"]


@pytest.mark.usefixtures("watched")
async def test_an_object_whose_making_blocks_the_loop_of_the_standby_is_not_made(
    pair: tuple[Origin, Standby, NetConnection],
) -> None:
    origin, standby, _ = pair
    async with NetConnection(reconnect=False) as user:
        await user.connect(url(origin, "probe/drowsy"), "ann", "User")
        await user.call("learn", "nothing")
        await until(lambda: standby.instances.replays.left_out == 1)


async def test_one_that_never_returns_is_bounded_in_time_and_number(
    pair: tuple[Origin, Standby, NetConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.01)
    monkeypatch.setattr(module, "MAX_RUNNING", 3)
    monkeypatch.setattr(module, "MAX_WAITING_BYTES", 500)  # of one call
    origin, standby, user = pair
    replays = standby.instances.replays
    for _ in range(5):
        await user.call("linger")
    await until(lambda: replays.left_out == 1)
    assert replays.running == 3
    await until(lambda: same(origin, standby))
    there(standby).release.set()
    await until(lambda: not replays.running)
    assert replays.failed + replays.done == 4


async def test_many_at_once_run_one_after_the_other(
    pair: tuple[Origin, Standby, NetConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_RUNNING", 2)
    _, standby, user = pair
    standby.hold_back()
    calls = [asyncio.ensure_future(user.call("learn", number)) for number in range(50)]
    await asyncio.sleep(0)
    standby.take_all()
    assert await asyncio.gather(*calls) == list(range(50))
    replays = standby.instances.replays
    await until(lambda: replays.done == 50)
    assert [one[3] for one in known(standby)] == list(range(50))
    assert (replays.failed, replays.left_out) == (0, 0)


async def test_a_replayed_call_for_nobody_or_of_nonsense_is_counted(
    pair: tuple[Origin, Standby, NetConnection],
) -> None:
    _, standby, _ = pair
    replays = standby.instances.replays
    for scope in ("none/room", "probe/never"):
        replays.begin(Replay(0, scope, b"", "learn", b""))
    assert replays.left_out == 2
    for record in (
        Replay(0, "probe/room", b"", "learn", amf0.encode(1)),
        Replay(0, "probe/room", pack(["id", b""]), "learn", amf0.encode(1)),
        Replay(0, "probe/room", b"", "none", b""),
        Replay(0, "probe/room", b"", "learn", b"\xff"),
    ):
        replays.begin(record)
    await until(lambda: replays.failed == 4)


async def test_an_application_that_cannot_be_made_on_the_standby_is_tried_once(
    pair: tuple[Origin, Standby, NetConnection],
) -> None:
    origin, standby, _ = pair
    async with NetConnection(reconnect=False) as user:
        await user.connect(url(origin, "probe/lame"), "ann", "User")
        for number in range(3):
            await user.call("learn", number)
        await until(lambda: standby.instances.replays.left_out == 3)
        assert there(standby).made == ["lame"]
        await until(lambda: same(origin, standby))
    await until(lambda: same(origin, standby))
    await standby.promote()
    assert sorted(there(standby).made) == ["lame", "lame", "room"]


async def test_the_application_that_was_told_is_the_one_that_is_promoted(
    pair: tuple[Origin, Standby, NetConnection],
) -> None:
    """And a call that still runs from before writes nothing, though it could now."""
    origin, standby, user = pair
    await user.call("learn", "one")
    await user.call("linger")
    await until(lambda: standby.instances.replays.done == 1 and standby.instances.replays.running)
    told = standby.application("probe/room")
    lessons = told.shared_object("lessons")
    heard: list[object] = []
    lessons.on_sync = heard.append
    lessons["x"] = "not yet"
    await user.close()
    await until(lambda: same(origin, standby))
    await standby.go_away()
    await standby.promote()
    (instance,) = standby.instances
    assert instance.application is told
    assert there(standby).said == [("promote", "room")]
    there(standby).release.set()
    await until(lambda: not standby.instances.replays.running)
    assert dict(lessons) == {"kept": "one"}
    lessons["x"] = "now"
    await until(lambda: heard == [[{"code": "success", "name": "x"}]])
    assert dict(told.shared_object("lessons")) == {"kept": "one", "x": "now"}
