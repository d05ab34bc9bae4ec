"""What a gate is: it decides whether the load balancer can reach this origin's RTMP port.

A driver is one file in this folder, of one word; its name is the value of `firewall.driver`.
It has three functions: `make(config, listener, report)` makes the gate, `make_closer(config)`
makes what the guard closes the gate of a dead origin with, and `check(config)` tells what the
driver misses on this machine.
"""

from __future__ import annotations

from typing import Literal, Protocol

__all__ = ["Closer", "Gate", "GateState", "Report"]

GateState = Literal["open", "closed", "unknown"]


class Gate(Protocol):
    """`verify` tells the gate's state as read back, never as last commanded (I7)."""

    async def start(self) -> None:
        """Before anything else: the gate is closed from now on, whatever was left behind."""

    async def stop(self) -> None:
        """The last call, on a closed gate: nothing of ours stays in the system."""

    async def open(self, epoch: int) -> None:
        """Let clients in. Raises OSError when it cannot."""

    async def close(self) -> None:
        """Let nobody in, from now on. Never waits for network, store or disk."""

    async def verify(self) -> GateState:
        """As read back, a second ago at most."""

    def hold(self, until: float) -> None:
        """The gate is to stay open until then (CLOCK_BOOTTIME seconds), as far as is known now.

        Called before it is opened, and several times a second while it is open. A gate that the
        kernel closes by itself refreshes its time-out in the background; others do nothing.
        """


class Closer(Protocol):
    """Closes the gate of an origin whose process is dead."""

    async def close(self) -> None:
        """Raises OSError when it cannot."""

    async def verify(self) -> GateState:
        """As read back."""

    async def remove(self) -> None:
        """Nothing of ours stays in the system: no origin is started any more. Raises OSError."""


class Report(Protocol):
    """Takes what happened to a gate: an event of the node's history."""

    def __call__(self, event: str, /, **fields: object) -> None: ...
