"""The asyncio end of `file_io`: one helper process, killed and replaced when it hangs."""

from __future__ import annotations

import asyncio
import json
import struct
import sys
from pathlib import Path
from typing import Any

from rtmp_sync.errors import StoreError, StoreTimeout

__all__ = ["FileHelper"]

# Processes that a NAS holds in uninterruptible sleep: with so many no other one is started
# before one of them is gone, or a NAS that hangs for hours would fill the process table.
MAX_DYING = 4

_PROGRAM = Path(__file__).with_name("file_io.py")


class FileHelper:
    """Sends requests one at a time. After a time-out the process is killed, and the request
    may still have reached the NAS, or may yet: `StoreTimeout`."""

    def __init__(self, pair_file: Path, owner: str, deadline_seconds: float) -> None:
        self._arguments = (str(pair_file), owner)
        self._deadline_seconds = deadline_seconds
        self._process: asyncio.subprocess.Process | None = None
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
        process = self._process or await self._start()
        if process.stdin is None or process.stdout is None:
            raise StoreError("the helper has no pipes")
        process.stdin.write(struct.pack(">I", len(body)) + body)
        await process.stdin.drain()
        size = struct.unpack(">I", await process.stdout.readexactly(4))[0]
        answer: dict[str, Any] = json.loads(await process.stdout.readexactly(size))
        return answer

    async def _start(self) -> asyncio.subprocess.Process:
        while len(self._dying) >= MAX_DYING:
            await asyncio.wait(self._dying, return_when=asyncio.FIRST_COMPLETED)
        # In the origin's process group, so that the guard's kill reaches it.
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            str(_PROGRAM),
            *self._arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # Where a recording is open on a NAS that hangs, closing the child's copy of it hangs as
            # well: in `exec`, and not before, while this process and its loop would wait for that.
            close_fds=False,
        )
        return self._process

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        if process.returncode is None:
            process.kill()
        task = asyncio.ensure_future(process.wait())
        self._dying.add(task)
        task.add_done_callback(self._dying.discard)
