"""What a gate is: it decides whether the load balancer can reach this origin's RTMP port.

A driver is one file in this folder; its name is the value of `firewall.driver`, and its
function `make(config, listener)` makes the gate.
"""

from __future__ import annotations

from typing import Literal, Protocol

__all__ = ["Gate", "GateState"]

GateState = Literal["open", "closed", "unknown"]


class Gate(Protocol):
    """`verify` tells the gate's state as read back, never as last commanded (I7)."""

    async def open(self) -> None:
        """Let clients in. Raises OSError when it cannot."""

    async def close(self) -> None:
        """Let nobody in, from now on. Never waits for network, store or disk."""

    async def verify(self) -> GateState: ...
