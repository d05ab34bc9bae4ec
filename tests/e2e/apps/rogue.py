"""An application with methods that no application should have."""

import asyncio
import time

from rtmp_sync import Application, Client, allow


class Rogue(Application):
    public_types = frozenset({"User"})

    @allow("User")
    async def double(self, client: Client, number: float) -> float:
        return 2 * number

    @allow("User")
    async def echo(self, client: Client, text: str) -> str:
        return text

    @allow("User")
    async def crash(self, client: Client) -> None:
        raise ValueError("a bug")

    @allow("User")
    async def endless(self, client: Client) -> None:
        await asyncio.Event().wait()

    @allow("User")
    def block(self, client: Client) -> None:
        self._count("block")
        time.sleep(60)
        self._count("block-end")

    @allow("User")
    async def counts(self, client: Client) -> dict[str, float]:
        return dict(self.vars)

    @allow("Host")
    async def hidden(self, client: Client) -> None: ...

    async def unmarked(self, client: Client) -> None: ...

    def _count(self, what: str) -> None:
        self.vars[what] = self.vars.get(what, 0.0) + 1
