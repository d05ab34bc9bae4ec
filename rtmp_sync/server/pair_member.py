"""One origin of a `pair` as its starter sees it: the guard process and what it says of itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import structlog

from rtmp_sync.config_environments import ENVIRONMENT_VARIABLE
from rtmp_sync.server.pair_directory import PairNode

__all__ = ["PairMember", "is_alive"]

RESTART_SECONDS = 5.0
# For a clean stop. Without clients it takes well under a second, and a guard ends an origin that
# takes too long.
STOP_SECONDS = 60.0
HURRY_SECONDS = 0.2  # two signals that come together are one
ASK_SECONDS = 0.5
WRONG_CONFIGURATION = 2  # the exit code that a restart cannot mend

_log = structlog.get_logger("rtmp_sync.pair")


class PairMember:
    """Starts the guard of `node`, follows the pids, starts it again when both are gone."""

    def __init__(self, node: PairNode, http: aiohttp.ClientSession) -> None:
        self.node = node
        self.origin_pid = 0  # the last one heard of
        self.role = ""
        self.state = ""
        self._http = http
        self._guard: asyncio.subprocess.Process | None = None

    @property
    def guard_pid(self) -> int:
        """The last one that was started."""
        return self._guard.pid if self._guard is not None else 0

    @property
    def exit_code(self) -> int | None:
        """The guard's, once it has ended."""
        return self._guard.returncode if self._guard is not None else None

    async def start(self) -> None:
        """Start the guard in a session of its own: Ctrl-C reaches the starter only."""
        with self.node.log.open("ab") as log:
            self._guard = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "rtmp_sync", "serve", "--config", str(self.node.config)),
                env={key: text for key, text in os.environ.items() if key != ENVIRONMENT_VARIABLE},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def keep_alive(self) -> None:
        """Restart a guard that is gone together with its origin; run until cancelled.

        An origin whose guard died alone serves on, and gets no second guard. One that was
        stopped for maintenance stays so until that is over, and then starts at once.
        """
        while True:
            assert self._guard is not None
            code = await self._guard.wait()
            _log.warning("guard_ended", id=self.node.id, code=code)
            if code == WRONG_CONFIGURATION:
                return
            await self._origin_ended()
            if not await self._maintained():
                await asyncio.sleep(RESTART_SECONDS)
            await self.start()
            _log.info("guard_restarted", id=self.node.id, guard_pid=self.guard_pid)

    async def _maintained(self) -> bool:
        """Return when the node may run; whether it was kept from it."""
        kept = self.node.kept_stopped.exists()
        while self.node.kept_stopped.exists():  # noqa: ASYNC110 - another process's file
            await asyncio.sleep(0.1)
        return kept

    async def _origin_ended(self) -> None:
        """Its parent is gone and it is not our child, so it can only be looked at."""
        while is_alive(self.origin_pid):  # noqa: ASYNC110 - see above: nothing tells us
            await asyncio.sleep(0.2)

    async def look(self) -> None:
        """Ask the origin who it is; an origin that does not answer keeps what was known."""
        status = await self._get(f"http://{self.node.admin}/status")
        if isinstance(status, dict):
            self.origin_pid = int(status["pid"])
            self.role, self.state = str(status["role"]), str(status["state"])

    async def healthy(self, what: str) -> bool:
        """Whether /health/<what> answers 200."""
        return await self._get(f"http://{self.node.health}/health/{what}") is not None

    async def _get(self, url: str) -> Any:
        """The body of a 200 answer (parsed if JSON), else None."""
        limit = aiohttp.ClientTimeout(total=ASK_SECONDS)
        try:
            async with self._http.get(url, timeout=limit) as answer:
                if answer.status != 200:
                    return None
                is_json = answer.content_type == "application/json"
                return await answer.json() if is_json else await answer.text()
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None

    async def stop(self, hurry: asyncio.Event, tell: Callable[[str], None]) -> None:
        """Ask for a clean stop; kill what does not follow. Nothing is left afterwards.

        hurry: clients are not waited for. tell: called with who is waited for.
        """
        guard = self._guard
        if guard is not None and guard.returncode is None:
            guard.terminate()
            watching = asyncio.create_task(self._tell_of_clients(tell))
            hurrying = asyncio.create_task(self._hurry(guard, hurry))
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await guard.wait()
            except TimeoutError:
                _log.error("guard_killed", id=self.node.id)
                guard.kill()
                await guard.wait()
            finally:
                watching.cancel()
                hurrying.cancel()
        if is_alive(self.origin_pid):
            await self._stop_origin()

    async def _hurry(self, guard: asyncio.subprocess.Process, hurry: asyncio.Event) -> None:
        await asyncio.sleep(HURRY_SECONDS)
        await hurry.wait()
        with contextlib.suppress(ProcessLookupError):
            guard.terminate()

    async def _tell_of_clients(self, tell: Callable[[str], None]) -> None:
        """Until cancelled."""
        told = ""
        while True:
            status = await self._get(f"http://{self.node.admin}/status")
            stopping = status.get("stopping") if isinstance(status, dict) else None
            if stopping:
                who = f"{self.node.id} waits until its clients have left: {stopping['clients']}"
                if who != told:
                    seconds = f"{stopping['seconds']:.0f} s at most"
                    tell(f"{who}, {seconds}; Ctrl-C again stops at once")
                told = who
            await asyncio.sleep(HURRY_SECONDS)

    async def _stop_origin(self) -> None:
        """End an origin whose guard is gone."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.origin_pid, sign)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await self._origin_ended()
                    return


def is_alive(pid: int) -> bool:
    """The process runs: not merely one that nobody has waited for."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat").read_text()
    except ProcessLookupError:
        return False
    except OSError:  # no /proc here, or not ours: it is there
        return True
    return stat.rpartition(")")[2].split()[0] not in "ZX"
