"""No gate of ours: the port always listens, and the load balancer's HTTP check decides.

The origin still refuses every client while it has no authority.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtmp_sync.firewalls.base import GateState
from rtmp_sync.firewalls.listener import GoneListener
from rtmp_sync.firewalls.listener import ListenerGate

if TYPE_CHECKING:
    from rtmp_sync.config import Config

__all__ = ["NoneGate", "make", "make_closer"]


class NoneGate:
    """Opens the port once and leaves it; `verify` tells what the origin was last told."""

    def __init__(self, listener: ListenerGate) -> None:
        self._listener = listener
        self._state: GateState = "closed"

    @property
    def address(self) -> tuple[str, int]:
        return self._listener.address

    async def open(self) -> None:
        await self._listener.open()
        self._state = "open"

    async def close(self) -> None:
        self._state = "closed"

    async def verify(self) -> GateState:
        return self._state

    def hold(self, until: float) -> None:
        """Nothing closes by itself."""


def make(_config: Config, listener: ListenerGate) -> NoneGate:
    return NoneGate(listener)


def make_closer(_config: Config) -> GoneListener:
    return GoneListener()
