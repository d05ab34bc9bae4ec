"""The asyncio end of `file_io`: one helper process, killed and replaced when it hangs."""

from __future__ import annotations

import asyncio
import json
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtmp_sync.errors import StoreTimeout
from rtmp_sync.server.spawn import ended, spawn

__all__ = ["FileHelper"]

# Processes that a NAS holds in uninterruptible sleep: with so many no other one is started
# before one of them is gone, or a NAS that hangs for hours would fill the process table.
MAX_DYING = 4

_PROGRAM = Path(__file__).with_name("file_io.py")


@dataclass(frozen=True, slots=True)
class _Helper:
    """A process that runs, and the ends of its pipes."""

    process: subprocess.Popen[bytes]
    requests: asyncio.WriteTransport
    answers: asyncio.StreamReader
    pipe: asyncio.ReadTransport  # of the answers


class FileHelper:
    """Sends requests one at a time. After a time-out the process is killed, and the request
    may still have reached the NAS, or may yet: `StoreTimeout`."""

    def __init__(self, pair_file: Path, owner: str, deadline_seconds: float) -> None:
        self._arguments = (str(pair_file), owner)
        self._deadline_seconds = deadline_seconds
        self._helper: _Helper | None = None
        self._dying: set[asyncio.Task[int]] = set()
        self._turn = asyncio.Lock()

    async def request(self, operation: str, **fields: object) -> dict[str, Any]:
        """Raises StoreTimeout."""
        body = json.dumps({"op": operation, **fields}).encode()
        async with self._turn:
            try:
                async with asyncio.timeout(self._deadline_seconds):
                    return await self._exchange(body)
            except TimeoutError:
                self._kill()
                raise StoreTimeout("the store does not answer") from None
            except (OSError, EOFError) as error:
                self._kill()
                raise StoreTimeout(f"the store's helper ended: {error}") from None
            except asyncio.CancelledError:
                self._kill()  # its answer would be taken for the next request's
                raise

    async def reaped(self) -> bool:
        """No killed helper is left that could still reach the store; waits a deadline."""
        if self._dying:
            await asyncio.wait(self._dying, timeout=self._deadline_seconds)
        return not self._dying

    async def stop(self) -> None:
        async with self._turn:
            self._kill()
        if self._dying:
            await asyncio.wait(self._dying, timeout=self._deadline_seconds)

    async def _exchange(self, body: bytes) -> dict[str, Any]:
        helper = self._helper or await self._start()
        helper.requests.write(struct.pack(">I", len(body)) + body)
        size = struct.unpack(">I", await helper.answers.readexactly(4))[0]
        answer: dict[str, Any] = json.loads(await helper.answers.readexactly(size))
        return answer

    async def _start(self) -> _Helper:
        while len(self._dying) >= MAX_DYING:
            await asyncio.wait(self._dying, return_when=asyncio.FIRST_COMPLETED)
        # In the origin's process group, so that the guard's kill reaches it.
        command = [sys.executable, "-I", "-S", str(_PROGRAM), *self._arguments]
        process = spawn(command, stdin=subprocess.PIPE)
        answers = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        try:
            requests, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, process.stdin)
            pipe, _ = await loop.connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(answers), process.stdout
            )
        except BaseException:  # also CancelledError: nobody else knows of the process
            self._end(process)
            raise
        self._helper = _Helper(process, requests, answers, pipe)
        return self._helper

    def _kill(self) -> None:
        helper, self._helper = self._helper, None
        if helper is not None:
            helper.requests.close()
            helper.pipe.close()
            self._end(helper.process)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        task = asyncio.ensure_future(ended(process))
        self._dying.add(task)
        task.add_done_callback(self._dying.discard)
