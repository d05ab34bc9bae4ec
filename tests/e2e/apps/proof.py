"""The application that the takeover proof writes to."""

import os
import time

from rtmp_sync import Application, Client, allow


class Proof(Application):
    """Remembers each writer's last call and says who ran it, and when."""

    public_types = frozenset({"Writer", "Reader"})

    @allow("Writer")
    async def note(self, client: Client, writer: str, number: float) -> list[float]:
        """[the number found, the number if it ran before else 0, pid, epoch, CLOCK_BOOTTIME]."""
        previous = self.vars.get(writer, 0.0)
        repeated = number if number <= previous else 0.0
        self.vars[writer] = max(previous, number)
        epoch = float(client.id.partition("-")[0])  # of the promotion that this client came after
        at = time.clock_gettime(time.CLOCK_BOOTTIME)
        return [previous, repeated, float(os.getpid()), epoch, at]

    @allow("Reader")
    async def last_notes(self, client: Client) -> dict[str, float]:
        """The last number of every writer."""
        return dict(self.vars)
