"""Threads for recordings, apart from everybody else's: a NAS that hangs holds these and no others.

Daemons, so that a process can end while one of them waits for a disk that never answers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import Any, Final

__all__ = ["MediaLane"]

_THREADS: Final = 4  # one may write while others read

_Work = tuple[Future[Any], Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class MediaLane(Executor):
    """For `loop.run_in_executor` and aiofiles. Threads are started when they are needed."""

    def __init__(self) -> None:
        self._work: SimpleQueue[_Work | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = threading.Semaphore(0)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run it on one of the threads."""
        future: Future[Any] = Future()
        self._work.put((future, fn, args, kwargs))
        if not self._idle.acquire(blocking=False) and len(self._threads) < _THREADS:
            thread = threading.Thread(target=self._run, name="media", daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the threads end when they come to it; never waits for them."""
        for _ in self._threads:
            self._work.put(None)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            future, function, arguments, keywords = work
            if future.set_running_or_notify_cancel():
                try:
                    result = function(*arguments, **keywords)
                except BaseException as error:  # the caller's to know, as in every executor
                    future.set_exception(error)
                else:
                    future.set_result(result)
            del work, future, function, arguments, keywords  # while it waits it keeps nothing
            self._idle.release()
