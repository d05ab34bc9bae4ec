"""How an origin that is told to stop leaves its clients.

    another origin can serve   a planned switchover: nothing is lost, clients go there at once;
                               one that an operator has begun is waited for
    nobody else can            clients are asked to leave, nobody new is let in; who has not left
                               after `rtmp.stop_timeout` is parted from in an orderly way

Those that stay are served until then, and for as long it is looked whether the other origin has
become able to serve. Whatever comes of it, `Origin.stop` follows: recordings are completed, the
journal is written, the record is released.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import TYPE_CHECKING, Final

import structlog

from rtmp_sync.cluster.view import State
from rtmp_sync.server.clock import now

if TYPE_CHECKING:
    from rtmp_sync.config import Config
    from rtmp_sync.server.origin import Origin

__all__ = ["Departure", "departure_seconds"]

BY: Final = "stop"  # who asks for the switchover, in the history
_LOOK_SECONDS: Final = 0.1
_AGAIN_SECONDS: Final = 2.0  # from one attempt to hand over to the next
_TELL_SECONDS: Final = 5.0  # how often it is told who is still here
_HAND_OVER_SECONDS: Final = 10.0  # for all attempts, besides the time that clients get to leave
_PART_SECONDS: Final = 1.0  # for the last bytes of all clients


def departure_seconds(config: Config) -> float:
    """How long clients may keep a stopping origin at most, before it ends itself."""
    return config.rtmp.stop_timeout + config.failover.drain_seconds + _HAND_OVER_SECONDS


class Departure:
    """`run` once; `hurry` ends its waiting, also before it."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._hurried = asyncio.Event()
        self._until = math.inf  # clients may stay, once they were asked to leave
        self._latest = math.inf  # it may take
        self._clients = 0  # that are waited for
        self._hand_over_at = -math.inf
        self._told = (-1, -math.inf)  # clients, when
        self._why = ""  # it was not handed over, as told last
        self._log = structlog.get_logger("rtmp_sync.origin").bind(node=origin.node_id)

    @property
    def under_way(self) -> bool:
        """Clients were asked to leave, and nobody new is let in."""
        return self._until < math.inf

    @property
    def status(self) -> dict[str, float] | None:
        """For `/status`: how many are waited for, and for how many seconds yet."""
        if not self.under_way or not self._clients:
            return None
        left = max(0.0, self._until - now())
        return {"clients": self._clients, "seconds": round(left, 1)}

    def hurry(self) -> None:
        """Wait for nobody any more."""
        self._hurried.set()

    async def run(self) -> None:
        """Return when nobody is served here any more."""
        origin = self._origin
        origin.history.record("stopping", role=origin.watchdog.role, **origin.counts())
        seconds = departure_seconds(origin.config)
        origin.overseer.leaving(seconds)
        self._latest = now() + seconds
        while self._serves and not self._hurried.is_set():
            if await self._hand_over():
                return
            self._ask_to_leave()
            if self._is_over:
                break
            self._tell(self._clients)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._hurried.wait()
        if self._serves:
            self._ask_to_leave()
            await self._part()

    @property
    def _serves(self) -> bool:
        return self._origin.watchdog.role == "active" or self._switches

    @property
    def _switches(self) -> bool:
        """A switchover is under way, whoever asked for it."""
        return self._origin.watchdog.state == State.DRAINING

    @property
    def _is_over(self) -> bool:
        """Nobody is waited for any more."""
        if self._switches:
            return now() >= self._latest
        return not self._clients or now() >= self._until

    @property
    def _connected(self) -> int:
        http = self._origin.http
        return len(self._origin.sessions) + (http.connected if http is not None else 0)

    async def _hand_over(self) -> bool:
        """Whether the other origin holds the service now."""
        watchdog, config = self._origin.watchdog, self._origin.config
        if not config.is_pair or self._switches or now() < self._hand_over_at:
            return False
        if watchdog.record is not None and watchdog.record.paused:
            return self._not_handed_over("the pair is paused")
        # Who was asked to leave already is not waited for longer than was said.
        drain = max(0.0, min(config.failover.drain_seconds, self._until - now()))
        asking = asyncio.ensure_future(watchdog.request("switchover", BY, drain_seconds=drain))
        hurried = asyncio.ensure_future(self._hurried.wait())
        await asyncio.wait(
            {asking, hurried},
            timeout=max(0.0, self._latest - now()),
            return_when=asyncio.FIRST_COMPLETED,
        )
        hurried.cancel()
        if not asking.done():
            asking.cancel()
            return False
        result = asking.result()
        return True if result.done else self._not_handed_over(result.text)

    def _not_handed_over(self, why: str) -> bool:
        self._hand_over_at = now() + _AGAIN_SECONDS
        if why != self._why:
            self._why = why
            self._log.warning("not_handed_over", why=why)
        return False

    def _ask_to_leave(self) -> None:
        """Once; and count who is still here. Viewers over HTTP cannot be asked."""
        origin = self._origin
        if not self.under_way:
            self._until = min(now() + origin.config.rtmp.stop_timeout, self._latest)
        viewers = len(origin.http) if origin.http is not None else 0
        self._clients = (origin.sessions.drain(True) or 0) + viewers

    def _tell(self, clients: int) -> None:
        count, at = self._told
        if clients == count and now() - at < _TELL_SECONDS:
            return
        self._told = clients, now()
        seconds = max(0.0, round(self._until - now(), 1))
        hint = "a second signal stops at once"
        self._log.info("waiting_for_clients", clients=clients, seconds=seconds, hint=hint)

    async def _part(self) -> None:
        """What was written is still delivered; nothing more is taken from anybody."""
        origin, http = self._origin, self._origin.http
        if self._clients:
            self._log.info("parting", clients=self._clients)
        self._clients = 0
        origin.sessions.part("the origin stops")
        if http is not None:
            http.part()
        origin.authority.end()
        until = now() + _PART_SECONDS
        while self._connected and now() < until:  # noqa: ASYNC110  # each ends by itself
            await asyncio.sleep(_LOOK_SECONDS / 10)
