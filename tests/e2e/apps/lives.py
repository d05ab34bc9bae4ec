"""An application that remembers, in its own memory, what happened to it on this origin."""

import asyncio

from rtmp_sync import Application, Client, allow


class Lives(Application):
    """`story` tells: hooks in their order, and what was learned here, replayed or not."""

    public_types = frozenset({"Writer"})

    def __init__(self, surroundings: object) -> None:
        super().__init__(surroundings)
        self.said: list[str] = []
        self.learned: list[list[object]] = []

    async def on_app_start(self) -> None:
        self.said.append("start")

    async def on_promote(self) -> None:
        self.said.append("promote")

    async def on_connect(self, client: Client, user_name: str, user_type: str) -> None:
        self.said.append(f"connect {user_name}")

    async def on_disconnect(self, client: Client, reason: str) -> None:
        self.said.append(f"disconnect {client.user_name} {reason}")

    @allow("Writer", replay=True)
    async def learn(self, client: Client, what: str) -> float:
        self.learned.append([client.user_name, what, self.active])
        self.vars["lessons"] = self.vars.get("lessons", 0) + 1
        return float(self.vars["lessons"])

    @allow("Writer")
    async def slow(self, client: Client) -> None:
        self.vars["begun"] = True
        await asyncio.sleep(3600)

    @allow("Writer")
    async def story(self, client: Client) -> list[object]:
        return [self.said, self.learned, self.vars.get("lessons", 0), self.vars.get("begun")]
