"""What the faults work on: the pair, the proxy on its link, and what they leave behind.

Nodes are chosen by what they do, not by name: the active one is the one that serves, or the one
that the pair file names while none does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from rtmp_sync.admin.credentials import basic_header
from tests.support.chaos import ChaosProxy
from tests.support.gate_log import GateLog
from tests.support.pair import ADMIN_USER, Living, Node, Pair, now, within

BUSY_AGAIN_SECONDS = (0.05, 0.15)
WHOLE_SECONDS = 120.0  # until both nodes are in sync again, on a machine with other things to do


@dataclass(slots=True)
class Field:
    """One run's. `moments`: the randomness of the fault that is under way."""

    pair: Pair
    link: ChaosProxy
    gates: GateLog
    moments: random.Random

    # ---- who is who ----

    async def active(self) -> Node:
        """The node that serves, or that held the service last."""
        node = await self.pair.active()
        if node is not None:
            return node
        return self.pair.node("B" if self.pair.line().endswith("\\secondaryUP") else "A")

    async def standby(self) -> Node:
        return self.pair.other(await self.active())

    async def whole(self, seconds: float = WHOLE_SECONDS) -> tuple[Node, Node]:
        """(active, standby) once both are there and in sync; raises Overdue."""
        return await self.pair.settled(seconds=seconds)

    async def serving(self) -> Node:
        """The node that serves, once one does."""
        node: Node = await within(WHOLE_SECONDS, "a node serves", self.pair.active)
        return node

    # ---- what is done to processes ----

    async def kill(self, *nodes: Node, origin: bool = True, guard: bool = False) -> list[int]:
        """SIGKILL; guards first: they must not be able to react to what happens to their child.
        An origin's helpers go with it only if its host does, guard and all, and with that what
        was on the link: of a dead process the kernel still sends what it had written."""
        found = await self._living(nodes)
        hit: list[int] = []
        if origin and guard:
            self.link.cut()
        for _, living in found:
            hit += _signalled(living.guards, signal.SIGKILL) if guard else []
        for node, living in found:
            killed = _signalled(living.origins, signal.SIGKILL, group=guard) if origin else []
            if killed:
                self.gates.ended(node, now())
            hit += killed
        return hit

    async def gone(self, pids: list[int], seconds: float) -> bool:
        """Whether these processes ended in so many seconds."""

        async def ended() -> bool:
            return not set(pids) & set(self.pair.processes())

        return await self.until(seconds, ended)

    def stopped(self, pids: list[int]) -> bool:
        """Whether one of these processes is held by a SIGSTOP."""
        for pid in pids:
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
                    return True
        return False

    async def pause(self, *nodes: Node, guard: bool) -> list[int]:
        """SIGSTOP to guards, then to origins with their helpers; or to the origins alone."""
        found = await self._living(nodes)
        hit: list[int] = []
        for _, living in found:
            hit += _signalled(living.guards, signal.SIGSTOP) if guard else []
        for _, living in found:
            hit += _signalled(living.origins, signal.SIGSTOP, group=guard)
        return hit

    async def go_on(self, *nodes: Node, pids: list[int], since: float) -> None:
        """SIGCONT to what `pause` stopped at `since`."""
        for node, living in await self._living(nodes):
            self.gates.frozen(node, since, now())
            _signalled([pid for pid in living.guards if pid in pids], signal.SIGCONT)
            _signalled([pid for pid in living.origins if pid in pids], signal.SIGCONT, group=True)

    async def _living(self, nodes: Iterable[Node]) -> list[tuple[Node, Living]]:
        """Looking for processes keeps our own clients waiting, and the link gets quiet: it must
        be as busy as ever when they are struck."""
        found = [(node, await asyncio.to_thread(self.pair.living, node)) for node in nodes]
        await asyncio.sleep(self.moments.uniform(*BUSY_AGAIN_SECONDS))
        return found

    async def freeze(self, *nodes: Node, seconds: float) -> None:
        """Hosts that stand still for a while."""
        pids = await self.pause(*nodes, guard=True)
        since = now()
        try:
            await asyncio.sleep(seconds)
        finally:
            await self.go_on(*nodes, pids=pids, since=since)

    def wipe(self, node: Node) -> None:
        """A dead node's disk is replaced by an empty one."""
        self.gates.collect()
        shutil.rmtree(self.pair.directory / node.id / "state", ignore_errors=True)

    # ---- what is asked of it ----

    def edit_line(self, line: str) -> None:
        """As an operator's editor does it: a new file in the old one's place."""
        path = self.pair.directory / "MainOriginConfig.txt"
        edited = path.with_name("edited")
        edited.write_text(line)
        edited.replace(path)

    async def fail_back(self, node: Node) -> None:
        """POST /failback. That it is refused, or that the node dies meanwhile, is no failure."""
        password = (self.pair.directory / "admin.password").read_text().strip()
        headers = {"Authorization": basic_header(ADMIN_USER, password)}
        limit = aiohttp.ClientTimeout(total=30)
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
            async with (
                aiohttp.ClientSession(headers=headers, timeout=limit) as session,
                session.post(f"http://{node.admin}/failback") as answer,
            ):
                await answer.read()

    async def until(self, seconds: float, check: Callable[[], Awaitable[object]]) -> bool:
        """Whether `check` came true in so many seconds."""
        deadline = now() + seconds
        while not await check():
            if now() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True


def _signalled(pids: list[int], sign: int, *, group: bool = False) -> list[int]:
    """Those of the processes that were still there; group: each with its process group."""
    hit = []
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, sign) if group else os.kill(pid, sign)
            hit.append(pid)
    return hit
