"""Runs a program to its end, for drivers that know no other way."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rtmp_sync.server.spawn import ended, spawn

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
        process = spawn(command, stdin=stdin, stderr=subprocess.PIPE, variables=variables)
    loop = asyncio.get_running_loop()
    output, errors = _Said(), _Said()
    pipes: list[asyncio.ReadTransport] = []
    try:
        pipes = [
            (await loop.connect_read_pipe(lambda: output, process.stdout))[0],
            (await loop.connect_read_pipe(lambda: errors, process.stderr))[0],
        ]
        async with asyncio.timeout(deadline_seconds):
            code = await ended(process)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await output.closed.wait()
                await errors.closed.wait()
    except TimeoutError:
        raise TimeoutError(f"{command[0]} took more than {deadline_seconds:g} s") from None
    finally:
        if process.returncode is None:
            _kill(process.pid)
            await ended(process)
        for transport in pipes:
            transport.close()
    return Ran(code, output.text, errors.text)


class _Said(asyncio.Protocol):
    """What a program prints to one of its outputs."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()  # by everybody who had it
        self._end = bytearray()

    @property
    def text(self) -> str:
        """The end of it."""
        return self._end.decode(errors="replace")

    def data_received(self, data: bytes) -> None:
        self._end += data
        del self._end[:-MAX_OUTPUT]

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()


@contextlib.contextmanager
def _input(text: str) -> Iterator[int]:
    """Descriptor of a file in memory: unlike a pipe, nobody has to write to it while the program
    runs, or has ended (which uvloop takes for a mistake of ours)."""
    if not text:
        yield subprocess.DEVNULL
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
