"""No gate of ours: the port always listens, and the load balancer's HTTP check decides.

The origin still refuses every client while it has no authority.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rtmp_sync.errors import ConfigError
from rtmp_sync.firewalls.base import GateState, Report
from rtmp_sync.firewalls.listener import GoneListener, ListenerGate

if TYPE_CHECKING:
    from rtmp_sync.config import Config

__all__ = ["NoneGate", "check", "make", "make_closer"]


class NoneGate:
    """Opens the port once and leaves it; `verify` tells what the origin was last told."""

    def __init__(self, listener: ListenerGate) -> None:
        self._listener = listener
        self._state: GateState = "closed"

    @property
    def address(self) -> tuple[str, int]:
        return self._listener.address

    async def start(self) -> None:
        """The port listens from the first time on that it is opened."""

    async def stop(self) -> None:
        await self._listener.close()

    async def open(self, epoch: int) -> None:
        await self._listener.open(epoch)
        self._state = "open"

    async def close(self) -> None:
        self._state = "closed"

    async def verify(self) -> GateState:
        return self._state

    def hold(self, until: float) -> None:
        """Nothing closes by itself."""


def make(_config: Config, listener: ListenerGate, _report: Report) -> NoneGate:
    return NoneGate(listener)


def make_closer(_config: Config) -> GoneListener:
    return GoneListener()


def check(_config: Config) -> Iterable[ConfigError]:
    """It needs nothing."""
    return ()
