"""What a gate is: it decides whether the load balancer can reach this origin's RTMP port.

A driver is one file in this folder; its name is the value of `firewall.driver`, and its
function `make(config, listener)` makes the gate. `make_closer(config)` makes what the guard closes
the gate of a dead origin with.
"""

from __future__ import annotations

from typing import Literal, Protocol

__all__ = ["Closer", "Gate", "GateState"]

GateState = Literal["open", "closed", "unknown"]


class Gate(Protocol):
    """`verify` tells the gate's state as read back, never as last commanded (I7)."""

    async def open(self) -> None:
        """Let clients in. Raises OSError when it cannot."""

    async def close(self) -> None:
        """Let nobody in, from now on. Never waits for network, store or disk."""

    async def verify(self) -> GateState: ...

    def hold(self, until: float) -> None:
        """The gate is to stay open until then (CLOCK_BOOTTIME seconds), as far as is known now.

        Called several times a second while it is open. A gate that the kernel closes by itself
        refreshes its time-out in the background; others do nothing.
        """


class Closer(Protocol):
    """Closes the gate of an origin whose process is dead."""

    async def close(self) -> None:
        """Raises OSError when it cannot."""

    async def verify(self) -> GateState:
        """As read back."""
