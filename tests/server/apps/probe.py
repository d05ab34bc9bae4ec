"""An application that shows what a server does with its hooks and methods."""

from __future__ import annotations

import asyncio
import time
from typing import Any, ClassVar, Literal

from rtmp_sync import Application, CallError, Client, Reject, StreamRequest, allow


class Probe(Application):
    public_types = frozenset({"User", "Guest"})
    said: ClassVar[list[tuple[str, ...]]] = []  # hooks of all instances, in order
    made: ClassVar[list[str]] = []  # objects of this class, by instance
    release: ClassVar[asyncio.Event]

    def __init__(self, surroundings: Any) -> None:
        super().__init__(surroundings)
        self.known: list[Any] = []  # memory outside of the replicated state
        self.made.append(self.instance)
        if self.instance == "lame" and not self.active:
            raise RuntimeError("not on a standby")
        if self.instance == "drowsy" and not self.active:
            time.sleep(60)

    async def on_app_start(self) -> None:
        self.said.append(("start", self.instance))
        if self.instance == "broken":
            raise RuntimeError("does not start")

    async def on_promote(self) -> None:
        self.said.append(("promote", self.instance))

    async def on_connect(self, client: Client, user_name: str, user_type: str) -> None:
        self.said.append(("connect", user_name))
        if user_name == "rejected":
            raise Reject("not you", info={"why": "because"})
        if user_name == "moved":
            raise Reject("elsewhere", redirect="rtmp://127.0.0.1:1/probe")
        if user_name == "crash":
            raise RuntimeError("on_connect")
        if user_name == "waits":
            await asyncio.sleep(0.01)
        if user_name == "trusted":
            client.user_type = user_type
        if user_name == "reader":
            client.write_access = "/open"
        if user_name == "blind":
            client.read_access = "/open"

    async def on_disconnect(self, client: Client, reason: str) -> None:
        self.said.append(("disconnect", client.user_name, reason))

    async def on_publish(self, client: Client, request: StreamRequest) -> None:
        self.said.append(("publish", request.name, request.kind, request.query.get("key", "")))
        await self._judge(request.name)

    async def on_play(self, client: Client, request: StreamRequest) -> None:
        self.said.append(("play", request.name, request.query.get("key", "")))
        await self._judge(request.name)

    async def on_unpublish(self, client: Client, name: str) -> None:
        self.said.append(("unpublish", name))

    async def _judge(self, name: str) -> None:
        if name == "slow":
            await self.release.wait()
        if name == "refused":
            raise Reject("not this one")
        if name == "crash":
            raise RuntimeError(name)

    @allow("User")
    async def echo(self, client: Client, value: Any) -> Any:
        return value

    @allow("User", "Guest", name="who.am.i")
    def who(self, client: Client) -> list[str]:
        return [client.user_name, client.user_type]

    @allow("User")
    async def add(self, client: Client, first: float, second: float = 1.0, *more: float) -> float:
        return first + second + sum(more)

    @allow("User")
    async def crash(self, client: Client) -> None:
        raise ValueError("a bug")

    @allow("User")
    async def cancelled(self, client: Client, wait: bool) -> None:
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        gone.cancel()
        if wait:
            await asyncio.sleep(0)
        await gone

    @allow("User")
    async def stubborn(self, client: Client) -> str:
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            return "done all the same"
        return "done"

    @allow("User")
    async def immortal(self, client: Client) -> None:
        """Never returns, not even when it is told to."""
        while not self.release.is_set():
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                self.said.append(("cancelled",))

    @allow("User", replay=True)
    async def typed(
        self, client: Client, count: int, how: Literal["up", "down"], names: list[str] | None = None
    ) -> str:
        said = f"{type(count).__name__} {count} {how} {names}"
        self.known.append(said)
        return said

    @allow("User")
    async def refuse(self, client: Client) -> None:
        raise CallError("Probe.No", "not today")

    @allow("User")
    async def count(self, client: Client) -> float:
        self.vars["count"] = self.vars.get("count", 0) + 1
        return float(self.vars["count"])

    @allow("User")
    async def slow(self, client: Client) -> float:
        self.vars["count"] = self.vars.get("count", 0) + 1
        await self.release.wait()
        return float(self.vars["count"])

    @allow("User")
    async def put(self, client: Client, name: str, key: str, value: Any) -> None:
        self.shared_object(name)[key] = value

    @allow("User")
    async def tell(self, client: Client, value: Any) -> Any:
        return await client.call("told", value)

    @allow("User")
    async def unsayable(self, client: Client) -> object:
        return object()

    @allow("Nobody")
    async def hidden(self, client: Client) -> None:
        raise AssertionError("nobody may call this")

    async def undecorated(self, client: Client) -> None:
        raise AssertionError("no method")

    @allow("User")
    async def huge(self, client: Client) -> str:
        return "x" * (17 * 1024 * 1024)

    @allow("User")
    async def put_wide(self, client: Client, name: str) -> None:
        deep: Any = 1.0
        for _ in range(100):
            deep = [deep]
        self.shared_object(name)["deep"] = deep
        self.shared_object(name)["wide"] = [None] * 150_000

    @allow("User")
    async def safe(self, client: Client) -> str:
        self.vars["safe"] = True
        await self.committed()
        return "safe"

    @allow("User", replay=True)
    async def learn(self, client: Client, what: Any) -> Any:
        board = self.shared_object("lessons")
        self.known.append((client.user_name, client.connected, self.active, what, dict(board)))
        board["last"] = what
        board.send("learned", what)
        del board["last"]
        board["kept"] = what
        self.vars["lessons"] = self.vars.get("lessons", 0) + 1
        client.notify("learned")
        await self.committed()
        return what

    @allow("User", replay=True)
    async def stumble(self, client: Client) -> None:
        if not self.active:
            raise RuntimeError("only there")

    @allow("User", replay=True)
    def doze(self, client: Client) -> None:
        """Blocks the loop of a standby."""
        if not self.active:
            time.sleep(60)

    @allow("User", replay=True)
    async def doze_later(self, client: Client) -> None:
        """The same, after it has waited for something."""
        await asyncio.sleep(0)
        if not self.active:
            time.sleep(60)  # noqa: ASYNC251  # it is what it is about

    @allow("User", replay=True)
    async def linger(self, client: Client) -> None:
        """Never returns on a standby, not even when it is told to."""
        while not self.active:
            try:
                await self.release.wait()
                break
            except asyncio.CancelledError:
                self.shared_object("lessons")["late"] = True

    @allow("User", replay=True)
    async def fail(self, client: Client) -> None:
        self.known.append("fail")
        raise CallError("Probe.No", "never")

    @allow("User")
    def recall(self, client: Client) -> list[Any]:
        return [list(one) for one in self.known]
