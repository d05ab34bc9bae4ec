"""A complete pair on this machine: two guards with their origins, and the front door.

Started by `rtmp-sync pair`. It decides nothing about who serves: it starts, watches, tells in
pair.json where everything is, and stops.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp
import structlog

from rtmp_sync.config_errors import NOT_GIVEN
from rtmp_sync.config_values import Address
from rtmp_sync.errors import ConfigError
from rtmp_sync.server.front_door import FrontDoor
from rtmp_sync.server.log import configure_logging
from rtmp_sync.server.pair_directory import PairDirectory
from rtmp_sync.server.pair_member import PairMember
from rtmp_sync.server.ports import taken_ports

__all__ = ["Pair", "applications_folder"]

LOOK_SECONDS = 0.1  # how old pair.json may be

_log = structlog.get_logger("rtmp_sync.pair")


def applications_folder(given: Path | None) -> Path:
    """`--apps`, else the applications of the source tree we run from, else ./apps."""
    if given is not None:
        if not given.is_dir():
            raise ConfigError("--apps", str(given), "there is no such folder")
        return given
    for folder in (Path(__file__).parents[2] / "apps", Path("apps")):
        if folder.is_dir():
            return folder
    raise ConfigError("--apps", NOT_GIVEN, "give the folder with your application files")


class Pair:
    """Runs the pair of `directory` until a signal.

    on_ready: called once, when one origin serves, the other is ready and the front door knows.
    on_news: called with a sentence for people: about every 10 s before that, and afterwards
    whenever another origin serves.
    """

    def __init__(
        self,
        directory: PairDirectory,
        *,
        on_ready: Callable[[], Coroutine[Any, Any, None]],
        on_news: Callable[[str], None],
    ) -> None:
        self._directory = directory
        self._on_ready = on_ready
        self._on_news = on_news
        self._published: dict[str, tuple[int, int]] = {}
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    async def run(self) -> int:
        """Returns the exit code; raises ConfigError before anything has been started."""
        loop = asyncio.get_running_loop()
        for sign in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(sign, self._told_to_stop)
        self._directory.lock()
        log = (self._directory.path / "log").open("a")
        configure_logging(stream=log)
        try:
            self._directory.check_ports()
            self._directory.prepare()
            self._check_ports()
            async with aiohttp.ClientSession() as http:
                members = [PairMember(node, http) for node in self._directory.nodes]
                return await self._serve(members)
        finally:
            self._directory.withdraw()
            configure_logging()
            log.close()
            self._directory.unlock()

    def _told_to_stop(self) -> None:
        """The second signal has nobody wait for clients."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def _check_ports(self) -> None:
        directory = self._directory
        listeners = {"the front door": Address("0.0.0.0", directory.front.port)}
        http = {}
        if directory.front_http is not None:
            http["the front door for browsers"] = Address("0.0.0.0", directory.front_http.port)
        for node in directory.nodes:
            for key, at in node.listeners().items():
                (http if key == "http.listen" else listeners)[f"{node.id}'s {key}"] = at
        for option, front, ports in (
            ("--port", directory.front, listeners),
            ("--http-port", directory.front_http, http),
        ):
            if front is not None and (taken := taken_ports(ports)):
                fix = f"{taken[0].key} ({taken[0].value}): {taken[0].fix} with {option}"
                raise ConfigError(option, front.port, fix)

    async def _serve(self, members: list[PairMember]) -> int:
        nodes = self._directory.nodes
        rtmp = [(node.id, node.rtmp, node.health) for node in nodes]
        door = self._door(self._directory.front, rtmp)
        doors = [door]
        if (front := self._directory.front_http) is not None:
            http = [(one.id, one.http, one.health) for one in nodes if one.http is not None]
            doors.append(self._door(front, http))
        tasks: list[asyncio.Task[None]] = []
        try:
            for one in doors:
                await one.start()
            for member in members:
                await member.start()
            if not await self._until_ready(members, door):
                return 0 if self._stop.is_set() else 1
            tasks = [asyncio.create_task(member.keep_alive()) for member in members]
            tasks.append(asyncio.create_task(self._on_ready()))
            await self._follow(members, door)
            return 0
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._end(members)
            for one in doors:
                await one.stop()

    def _door(self, front: Address, servers: list[tuple[str, Address, Address]]) -> FrontDoor:
        source = self._directory.front_source
        return FrontDoor(Address("0.0.0.0", front.port), servers, source=source)

    async def _until_ready(self, members: list[PairMember], door: FrontDoor) -> bool:
        """False when a guard ended or a signal came first."""
        waited = 0
        while not await self._is_ready(members, door):
            for member in members:
                if member.exit_code is not None:
                    self._on_news(_why_it_ended(member))
                    return False
            if await self._stopped_within(LOOK_SECONDS):
                return False
            waited += 1
            if waited % 100 == 0:
                states = ", ".join(f"{one.node.id} {one.state or 'silent'}" for one in members)
                self._on_news(f"waiting for both origins: {states}")
        return True

    async def _is_ready(self, members: list[PairMember], door: FrontDoor) -> bool:
        """One serves, the other could, and the front door leads there. Publishes if so."""
        await asyncio.gather(*(member.look() for member in members))
        first, second = members
        for active, standby in ((first, second), (second, first)):
            if await active.healthy("active") and await standby.healthy("standby"):
                if [server.name for server in door.up()] != [active.node.id]:
                    return False
                self._publish(members)
                return True
        return False

    async def _follow(self, members: list[PairMember], door: FrontDoor) -> None:
        """Keep pair.json true until a signal, and tell who serves."""
        serving = [server.name for server in door.up()]
        while not await self._stopped_within(LOOK_SECONDS):
            former, serving = serving, [server.name for server in door.up()]
            if serving != former:
                self._on_news(f"{serving[0]} serves" if serving else "no origin serves")
            await asyncio.gather(*(member.look() for member in members))
            self._publish(members)

    def _publish(self, members: list[PairMember]) -> None:
        pids = {member.node.id: (member.origin_pid, member.guard_pid) for member in members}
        if pids != self._published:
            self._directory.publish(pids)
            self._published = pids

    async def _end(self, members: list[PairMember]) -> None:
        """The standby first: else the active one would hand over to an origin that stops next."""
        for member in sorted(members, key=lambda member: member.role == "active"):
            self._on_news(f"stopping {member.node.id}")
            await member.stop(self._hurry, self._on_news)

    async def _stopped_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        return self._stop.is_set()


def _why_it_ended(member: PairMember) -> str:
    """The last line of the log: the reason in the words of the one that ended."""
    lines = member.node.log.read_text(errors="replace").splitlines()
    last = lines[-1] if lines else "it said nothing"
    return f"{member.node.id} ended with exit code {member.exit_code}: {last}"
