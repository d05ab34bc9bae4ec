"""Application code that blocks the loop is stopped where it is; code of ours never."""

from __future__ import annotations

import inspect
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from rtmp_sync import CallError, ConnectError, NetConnection, Origin
from rtmp_sync.server.blocked_loop import BlockedLoop, LoopBlocked, Steps
from rtmp_sync.server.tasks import RUNNERS, Tasks
from tests.support.origins import running, until, url

LIMIT = 0.2  # seconds: more than a busy machine takes for a step that does nothing

APPLICATION = """
import asyncio, time
from rtmp_sync import Application, Client, allow

class Stuck(Application):
    public_types = frozenset({"User"})

    async def on_connect(self, client: Client, user_name: str, user_type: str) -> None:
        if user_name == "stuck":
            time.sleep(60)

    @allow("User")
    def sleep(self, client: Client) -> None:
        time.sleep(60)

    @allow("User")
    async def spin(self, client: Client) -> None:
        self.vars["spun"] = True
        while True:
            pass

    @allow("User")
    async def later(self, client: Client) -> None:
        await asyncio.sleep(0)
        while True:
            pass

    @allow("User")
    async def flood(self, client: Client) -> None:
        board = self.shared_object("board")
        while True:
            board["k"] = 1.0

    @allow("User")
    async def swallow(self, client: Client) -> str:
        try:
            time.sleep(60)
        except Exception:  # as applications do: it must not be enough to go on for ever
            return "went on"

    @allow("User")
    async def listen(self, client: Client) -> None:
        board = self.shared_object("board")
        board.on_sync = lambda items: time.sleep(60)
        board["k"] = 1.0

    @allow("User")
    async def ok(self, client: Client) -> bool:
        return self.vars.get("spun", False)
"""


@pytest.fixture
async def origin(tmp_path: Path) -> AsyncIterator[Origin]:
    apps = tmp_path / "apps"
    apps.mkdir()
    (apps / "stuck.py").write_text(APPLICATION)
    async with running(tmp_path / "state", apps={"directory": apps}) as origin:
        blocked = BlockedLoop(origin.tasks.steps, RUNNERS, LIMIT)
        blocked.start()
        yield origin
        blocked.stop()


@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize("name", ["sleep", "spin", "later", "flood"])
async def test_a_method_that_blocks_is_stopped_and_its_caller_told(
    origin: Origin, name: str, keyed: bool
) -> None:
    async with NetConnection(reconnect=keyed) as ann, NetConnection(reconnect=False) as bob:
        await bob.connect(url(origin, "stuck"), "bob", "User")
        await ann.connect(url(origin, "stuck"), "ann", "User")
        with pytest.raises(CallError, match=rf"The method blocked the server .* \({name}\)"):
            await ann.call(name)
        assert await bob.call("ok") is (name == "spin")
        assert await ann.call("ok") is (name == "spin")
    assert origin.state.digest() == origin.state.recompute_digest()


async def test_one_that_takes_it_for_an_error_of_its_own_goes_on(origin: Origin) -> None:
    async with NetConnection(reconnect=False) as ann:
        await ann.connect(url(origin, "stuck"), "ann", "User")
        assert await ann.call("swallow") == "went on"


async def test_a_listener_that_blocks_is_stopped_and_everybody_has_the_change(
    origin: Origin,
) -> None:
    async with NetConnection(reconnect=False) as ann:
        await ann.connect(url(origin, "stuck"), "ann", "User")
        board = await ann.shared_object("board")
        await ann.call("listen")
        await until(lambda: dict(board) == {"k": 1.0})


async def test_a_hook_that_blocks_lets_nobody_in_and_harms_nobody_else(origin: Origin) -> None:
    async with NetConnection(reconnect=False) as ann, NetConnection(reconnect=False) as bob:
        with pytest.raises(ConnectError, match="The application failed"):
            await ann.connect(url(origin, "stuck"), "stuck", "User")
        await bob.connect(url(origin, "stuck"), "bob", "User")
        assert await bob.call("ok") is False


class Ours:
    """A function that counts as one of this package, and takes a while."""

    def __init__(self, package: str) -> None:
        code = compile("def busy(until):\n    while not until(): pass\n", f"{package}/x.py", "exec")
        namespace: dict[str, Any] = {}
        exec(code, namespace)  # so that its frame has that file name
        self.busy: Callable[[Callable[[], bool]], None] = namespace["busy"]


async def test_code_of_ours_is_left_to_end_before_the_application_is_stopped() -> None:
    from rtmp_sync.server import blocked_loop as module

    tasks, done = Tasks(), []
    blocked = BlockedLoop(tasks.steps, RUNNERS, LIMIT)
    busy = Ours(module._PACKAGE).busy

    def method() -> None:
        until = time.monotonic() + 2 * LIMIT
        busy(lambda: time.monotonic() > until)
        done.append("ours has ended")
        while True:
            pass

    blocked.start()
    try:
        with pytest.raises(LoopBlocked):
            tasks.call(method)
    finally:
        blocked.stop()
    assert done == ["ours has ended"]


def test_what_came_back_before_the_signal_is_left_alone() -> None:
    steps = Steps()
    blocked = BlockedLoop(steps, RUNNERS, LIMIT)
    steps.end(steps.begin())
    blocked._blocked = steps.number
    here: list[object] = []
    Tasks().call(lambda: here.append(inspect.currentframe()))
    (frame,) = here
    assert isinstance(frame, FrameType)
    blocked._interrupted(signal.SIGURG, frame)  # it has ended
    steps.begin()
    blocked._interrupted(signal.SIGURG, frame)  # another one runs
    blocked._blocked = steps.number
    with pytest.raises(LoopBlocked):
        Tasks().call(lambda: blocked._interrupted(signal.SIGURG, inspect.currentframe()))


def test_a_step_within_a_step_leaves_the_outer_one_watched() -> None:
    steps = Steps()
    outer = steps.begin()
    inner = steps.begin()
    steps.end(inner)
    assert steps.running
    steps.end(outer)
    assert not steps.running
