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

from tests.support.chaos import ChaosProxy
from tests.support.gate_log import GateLog
from tests.support.pair import ADMIN_USER, Node, Pair, now, within

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

    def kill(self, node: Node, *, origin: bool = True, guard: bool = False) -> list[int]:
        """SIGKILL; the guard first: it must not be able to react to what happens to its child.
        An origin's helpers go with it only if its host does, guard and all."""
        living = self.pair.living(node)
        hit = (living.guards if guard else []) + (living.origins if origin else [])
        for pid in hit:
            with contextlib.suppress(ProcessLookupError):
                if guard and pid in living.origins:
                    os.killpg(pid, signal.SIGKILL)
                else:
                    os.kill(pid, signal.SIGKILL)
        if origin and living.origins:
            self.gates.ended(node, now())
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

    def pause(self, node: Node, *, guard: bool) -> list[int]:
        """SIGSTOP to the origin with its helpers, and to its guard before that."""
        living = self.pair.living(node)
        pids = (living.guards if guard else []) + living.origins
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                if pid in living.origins and guard:
                    os.killpg(pid, signal.SIGSTOP)
                else:
                    os.kill(pid, signal.SIGSTOP)
        return pids

    def go_on(self, node: Node, pids: Iterable[int], since: float) -> None:
        """SIGCONT to what `pause` stopped at `since`."""
        living = self.pair.living(node)
        self.gates.frozen(node, since, now())
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                if pid in living.origins:
                    os.killpg(pid, signal.SIGCONT)
                else:
                    os.kill(pid, signal.SIGCONT)

    async def freeze(self, nodes: Iterable[Node], seconds: float) -> None:
        """Hosts that stand still for a while."""
        since = now()
        paused = [(node, self.pause(node, guard=True)) for node in nodes]
        try:
            await asyncio.sleep(seconds)
        finally:
            for node, pids in paused:
                self.go_on(node, pids, since)

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
        limit = aiohttp.ClientTimeout(total=30)
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
            async with (
                aiohttp.ClientSession(
                    auth=aiohttp.BasicAuth(ADMIN_USER, password), timeout=limit
                ) as session,
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
