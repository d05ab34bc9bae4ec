"""Runs a program to its end, for drivers that know no other way."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

__all__ = ["Ran", "Run", "run_program"]

# Of each output the end is kept, where the complaint is. One that a child of the program has kept
# open is not waited for longer than this.
MAX_OUTPUT = 64 * 1024
LAST_WORDS_SECONDS = 0.2

MAX_COMPLAINT = 300  # characters: it goes into alarms and the history, whatever a program prints


@dataclass(frozen=True, slots=True)
class Ran:
    """code: the exit code; minus the signal that ended it. output, errors: their ends, at most
    MAX_OUTPUT bytes of each."""

    code: int
    output: str
    errors: str

    @property
    def complaint(self) -> str:
        """The last thing it said, in one line that is not too long."""
        lines = [*self.output.splitlines(), *self.errors.splitlines()]
        said = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return said[:MAX_COMPLAINT] or f"exit code {self.code}"


class Run(Protocol):
    """What drivers are given: `run_program`, or a test's."""

    async def __call__(
        self,
        command: Sequence[str],
        *,
        deadline_seconds: float,
        text: str = "",
        variables: Mapping[str, str] | None = None,
    ) -> Ran: ...


async def run_program(
    command: Sequence[str],
    *,
    deadline_seconds: float,
    text: str = "",
    variables: Mapping[str, str] | None = None,
) -> Ran:
    """Raises OSError when it cannot be started, and TimeoutError, which is one too.

    text: its standard input (Linux). variables: added to the environment. At the deadline, and
    when this is cancelled, it is killed with all that it started, and waited for: what is run next
    must not be overtaken. It stays in the origin's process group, so that the guard's kill reaches
    it.
    """
    with _input(text) as stdin:
        process, said = await asyncio.get_running_loop().subprocess_exec(
            _Said, *command, env={**os.environ, **(variables or {})}, stdin=stdin
        )
    try:
        async with asyncio.timeout(deadline_seconds):
            await said.exited.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await said.closed.wait()
    except TimeoutError:
        raise TimeoutError(f"{command[0]} took more than {deadline_seconds:g} s") from None
    finally:
        if process.get_returncode() is None:
            _kill(process.get_pid())
            await said.exited.wait()
        process.close()
    code = process.get_returncode()
    assert code is not None  # it has ended
    return Ran(code, said.text(1), said.text(2))


class _Said(asyncio.SubprocessProtocol):
    """What a program prints to its two outputs, 1 and 2."""

    def __init__(self) -> None:
        self.exited = asyncio.Event()
        self.closed = asyncio.Event()  # both outputs, by everybody who had them
        self._ends: dict[int, bytearray] = {1: bytearray(), 2: bytearray()}
        self._open = {1, 2}

    def text(self, output: int) -> str:
        return self._ends[output].decode(errors="replace")

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        end = self._ends[fd]
        end += data
        del end[:-MAX_OUTPUT]

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._open.discard(fd)
        if not self._open:
            self.closed.set()

    def process_exited(self) -> None:
        self.exited.set()


@contextlib.contextmanager
def _input(text: str) -> Iterator[int]:
    """Descriptor of a file in memory: unlike a pipe, nobody has to write to it while the program
    runs, or has ended (which uvloop takes for a mistake of ours)."""
    if not text:
        yield asyncio.subprocess.DEVNULL
        return
    descriptor = os.memfd_create("input")
    try:
        os.write(descriptor, text.encode())
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def _kill(pid: int) -> None:
    """A process and its descendants. Each is stopped before its children are looked up: it could
    start others meanwhile."""
    with contextlib.suppress(ProcessLookupError):
        if hasattr(signal, "SIGSTOP"):
            os.kill(pid, signal.SIGSTOP)
        for child in _children(pid):
            _kill(child)
        os.kill(pid, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)


def _children(pid: int) -> list[int]:
    """Linux tells; elsewhere only the process itself is killed."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, path.read_text().split())
    return found
