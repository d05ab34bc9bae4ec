"""Application code that blocks the loop is stopped, before the guard ends the origin for it.

A method that never awaits (an endless loop, `time.sleep`, a socket without a deadline) stops
everything. The guard would kill the origin, and the other one would take over; but whoever called
repeats the call there, which nobody has seen begin, and the pair would never come to rest.

So a thread looks several times a second whether the same step of an application runs still. When
it has for too long, a signal interrupts the main thread, also in a system call, and LoopBlocked is
raised in the application: it is the outcome of the call or hook, as any error of its own. It is
never raised inside of our own code that the application called, which must not be left half done:
then it is tried again a moment later. Code that does not come back to Python at all (C code in a
long computation) can't be stopped: the guard is for that.

    `runners`, or a coroutine of ours that awaits a hook
        ─► application, and what that uses                here it is raised
              ─► rtmp_sync: a change of the state         here it waits
"""

from __future__ import annotations

import inspect
import signal
import threading
from collections.abc import Iterable
from pathlib import Path
from types import CodeType, FrameType
from typing import Final

import structlog

from rtmp_sync.plugins import APPLICATIONS

__all__ = ["BlockedLoop", "LoopBlocked", "Steps"]

# Ignored where nobody listens, and used by nobody else; Go's runtime interrupts with it, too.
_SIGNAL: Final = getattr(signal, "SIGURG", None)

_LOOKS: Final = 4  # in one time limit: a step is stopped after at most a quarter more
_AGAIN_SECONDS: Final = 0.001  # after it ran in code of ours
_PACKAGE: Final = str(Path(__file__).parent.parent)


class LoopBlocked(Exception):
    """Raised in application code that did not let anything else run for too long."""


class Steps:
    """Which step of an application runs now, if any: written at each, read by the thread.
    blocked: how many were stopped."""

    __slots__ = ("blocked", "number", "running")

    def __init__(self) -> None:
        self.number = 0
        self.running = False
        self.blocked = 0

    def begin(self) -> bool:
        """Returns what `end` gets: a step may lead to another one."""
        was = self.running
        self.number += 1
        self.running = True
        return was

    def end(self, was: bool) -> None:
        self.running = was


class BlockedLoop:
    """runners: the functions of ours that call nothing but application code and take any error of
    it, as our coroutines do that await a hook. limit_seconds: for one step."""

    def __init__(self, steps: Steps, runners: Iterable[CodeType], limit_seconds: float) -> None:
        self._steps = steps
        self._runners = frozenset(runners)
        self._limit_seconds = limit_seconds
        self._blocked = 0  # the number of the step that is to be stopped; 0: none
        self._stopping = threading.Event()
        self._log = structlog.get_logger("rtmp_sync.app")

    def start(self) -> None:
        """From the main thread, whose loop is meant. Nothing is watched where the system has no
        such signals."""
        if _SIGNAL is not None:
            signal.signal(_SIGNAL, self._interrupted)
            main = threading.get_ident()
            watch = threading.Thread(target=self._watch, args=(main,), daemon=True)
            watch.start()

    def stop(self) -> None:
        """Look no longer."""
        self._stopping.set()

    def _watch(self, main: int) -> None:
        assert _SIGNAL is not None
        steps = self._steps
        seen, looks = 0, 0
        while not self._stopping.wait(self._limit_seconds / _LOOKS):
            number = steps.number
            looks = looks + 1 if steps.running and number == seen else 0
            seen = number
            if looks < _LOOKS:
                continue
            looks = 0  # if it goes on all the same it is stopped again
            self._blocked = number
            while self._blocked and steps.running and steps.number == number:
                signal.pthread_kill(main, _SIGNAL)
                if self._stopping.wait(_AGAIN_SECONDS):
                    return
            self._blocked = 0

    def _interrupted(self, _: int, frame: FrameType | None) -> None:
        """In the main thread, wherever it is."""
        if not (self._blocked and self._steps.running and self._steps.number == self._blocked):
            return  # it came back meanwhile
        if frame is None or not self._in_application(frame):
            return  # the thread asks again soon
        self._blocked = 0
        self._steps.blocked += 1
        where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        self._log.error("loop_blocked", at=where, seconds=self._limit_seconds)
        raise LoopBlocked(f"blocked the loop for {self._limit_seconds:g} s, at {where}")

    def _in_application(self, frame: FrameType) -> bool:
        """Whether nothing of ours is between this frame and what of ours runs the application."""
        inside, ours = frame, frame.f_back
        if _is_ours(frame):
            return False
        while ours is not None and not _is_ours(ours):
            inside, ours = ours, ours.f_back
        if ours is None:
            return False
        if ours.f_code in self._runners:
            return True
        # One that awaits a hook; or it has business of its own with some library.
        module = str(inside.f_globals.get("__name__", ""))
        return bool(ours.f_code.co_flags & inspect.CO_COROUTINE) and module.startswith(APPLICATIONS)


def _is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_PACKAGE)
