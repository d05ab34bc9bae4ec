"""Calls that the active origin ran, run once more here on the standby (`@allow(replay=True)`).

For applications that keep memory outside the replicated state. It begins when the call's
Changes are applied and acknowledged, in a task of its own; whatever comes of it, the link, the
state and other clients never notice. What fails, takes too long or is too much is counted.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

import structlog

from rtmp_sync.app import Application
from rtmp_sync.server.blocked_loop import Steps
from rtmp_sync.server.client_info import client_of, info_of
from rtmp_sync.server.standby_object import REPLAYING
from rtmp_sync.server.tasks import watched
from rtmp_sync.wire import amf0
from rtmp_sync.wire.limits import STORED
from rtmp_sync.wire.packing import pack, unpack
from rtmp_sync.wire.records import Replay

if TYPE_CHECKING:
    from rtmp_sync.app import Client

__all__ = ["Replays", "caller", "is_reload"]

MAX_RUNNING: Final = 64  # one that never ends, cancelled or not, keeps its place
MAX_WAITING_BYTES: Final = 8 * 1024 * 1024  # of calls that came while so many run
_CALL_BYTES: Final = 256  # what one costs beside its arguments
TIMEOUT_SECONDS: Final = 10.0


def caller(client: Client) -> bytes:
    """The `client` of a `Replay`."""
    return pack([client.id, info_of(client, None)])


class Replays:
    """find: the application object of an instance on this standby; None when there is none.
    reload: reads the code of an application again; calls that come after it wait for it.
    steps: what a method does is one of them, so that it can be stopped when it blocks the loop.

    done, failed, left_out: how many ran, raised or took too long, or were not begun. They begin
    in the order of their calls.
    """

    def __init__(
        self,
        find: Callable[[str], Application | None],
        reload: Callable[[Replay], Coroutine[Any, Any, None]],
        steps: Steps,
    ) -> None:
        self.done = 0
        self.failed = 0
        self.left_out = 0
        self._find = find
        self._reload = reload
        self._steps = steps
        self._reloading: asyncio.Task[None] | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._waiting: deque[Replay] = deque()
        self._waiting_bytes = 0
        self._log = structlog.get_logger("rtmp_sync.replays")

    @property
    def running(self) -> int:
        return len(self._running)

    def begin(self, record: Replay) -> None:
        """Run a call, soon; returns at once and raises nothing."""
        if self._waiting_bytes + _size(record) > MAX_WAITING_BYTES:
            self.left_out += 1
            return
        self._waiting.append(record)
        self._waiting_bytes += _size(record)
        self._start()

    def cancel(self) -> None:
        """This origin is no standby any more."""
        self.left_out += len(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        for task in self._running:
            task.cancel()
        if self._reloading is not None:
            self._reloading.cancel()

    def _start(self) -> None:
        while self._waiting and self._reloading is None and len(self._running) < MAX_RUNNING:
            record = self._waiting.popleft()
            self._waiting_bytes -= _size(record)
            if is_reload(record):
                self._reloading = asyncio.get_running_loop().create_task(self._reload(record))
                self._reloading.add_done_callback(self._reloaded)
                continue
            application = self._find(record.scope)
            if application is None:
                self.left_out += 1
                continue
            task = asyncio.get_running_loop().create_task(self._run(application, record))
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._start()

    def _reloaded(self, task: asyncio.Task[None]) -> None:
        self._reloading = None
        self._start()
        if not task.cancelled():
            task.result()  # a bug: let the loop's handler show it

    async def _run(self, application: Application, record: Replay) -> None:
        REPLAYING.set(True)
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await watched(_call(application, record), self._steps)
        except Exception as error:  # the application's: counted, and nothing else
            self.failed += 1
            self._log.warning(
                "replay_failed", instance=record.scope, method=record.method, error=repr(error)
            )
        else:
            self.done += 1


def is_reload(record: Replay) -> bool:
    """Whether it says that the active origin has read the code of an application again: the
    scope of no call is an application alone."""
    return "/" not in record.scope


def _size(record: Replay) -> int:
    return _CALL_BYTES + len(record.client) + len(record.arguments)


async def _call(application: Application, record: Replay) -> None:
    method = application.methods[record.method]
    client_id, info = _checked(unpack(record.client, "caller"))
    arguments = method.arguments.bind(amf0.decode(record.arguments, STORED))
    value = method.function(application, client_of(client_id, info), *arguments)
    if inspect.isawaitable(value):
        await value


def _checked(fields: object) -> tuple[str, bytes]:
    match fields:
        case (str() as client_id, bytes() as info):
            return client_id, info
    raise ValueError("caller: malformed")
