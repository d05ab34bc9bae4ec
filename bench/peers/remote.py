"""A process of the load that does what the bench asks for through a pipe, one call at a time."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection as Pipe
from typing import Any

__all__ = ["Pipe", "Remote", "answer_next"]


def answer_next(pipe: Pipe, target: object) -> bool:
    """Call the method of `target` that is asked for; False when the bench has no more to ask.

    Commands are (name, arguments); the answer is what the method of that name returns.
    """
    name, arguments = pipe.recv()
    if name == "end":
        return False
    pipe.send(getattr(target, name)(*arguments))
    return True


class Remote:
    """One of these processes, seen from the bench; ended by leaving `with`."""

    def __init__(self, target: Callable[..., None], *arguments: object) -> None:
        """target: called there with a pipe and `arguments`."""
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=target, args=(theirs, *arguments), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._pipe.send(("end", ()))
        self._process.join(5)
        self._process.kill()
        self._process.join()

    def hear(self) -> Any:
        try:
            return self._pipe.recv()
        except EOFError:
            raise SystemExit("a process of the load has ended; see above") from None

    def begin(self, name: str, *arguments: object) -> None:
        """Ask, and go on; `hear` has the answer."""
        self._pipe.send((name, arguments))

    def ask(self, name: str, *arguments: object) -> Any:
        self.begin(name, *arguments)
        return self.hear()
