"""The application that the proofs write to."""

import asyncio
import os
import time

from rtmp_sync import Application, Client, allow

BALLAST_SLOT = "x" * 1000


class Proof(Application):
    """Remembers each writer's last call, and says who ran it, and when; counts what ran.

    Variables: the last number of each writer under its name, "method/writer" for the runs.
    """

    public_types = frozenset({"Writer", "Reader"})

    @allow("Writer")
    async def note(self, client: Client, writer: str, number: float) -> list[float]:
        """[the number found, the number if it ran before else 0, pid, epoch, CLOCK_BOOTTIME]."""
        self._count("note", writer)
        previous = self.vars.get(writer, 0.0)
        repeated = number if number <= previous else 0.0
        self.vars[writer] = max(previous, number)
        epoch = float(client.id.partition("-")[0])  # of the promotion that this client came after
        at = time.clock_gettime(time.CLOCK_BOOTTIME)
        return [previous, repeated, float(os.getpid()), epoch, at]

    @allow("Writer")
    async def step(self, client: Client, writer: str) -> None:
        """Takes a while and more than one turn, so that an origin may die in the middle."""
        self._count("step", writer)
        await asyncio.sleep(0.05)
        self._count("step-end", writer)

    @allow("Writer")
    def block(self, client: Client, writer: str, seconds: float) -> None:
        """What no method may do: nothing else of this origin runs meanwhile."""
        self._count("block", writer)
        time.sleep(seconds)
        self._count("block-end", writer)

    @allow("Writer", "Reader")
    async def counts(self, client: Client) -> dict[str, float]:
        """Every variable: changes nothing."""
        return dict(self.vars)

    @allow("Writer")
    async def ballast(self, client: Client, slots: float, offset: float) -> None:
        """Set so many slots of a persistent object, 1,000 bytes each: a copy then takes a while."""
        held = self.shared_object("ballast", persistent=True)
        for number in range(int(offset), int(offset + slots)):
            held[f"b{number}"] = BALLAST_SLOT

    def _count(self, method: str, writer: str) -> None:
        key = f"{method}/{writer}"
        self.vars[key] = self.vars.get(key, 0.0) + 1.0
