"""An origin's right to serve, as its member has it: given, held, and taken when it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rtmp_sync.cluster.member import Member
from rtmp_sync.server.clock import now
from rtmp_sync.server.effects import Effects

__all__ = ["HOLD_SECONDS", "Tenure"]

HOLD_SECONDS = 0.25  # the kernel closes a gate that it does not hear of for a second
LONGEST_TIMER_SECONDS = 3600.0  # without a coordinator the authority never ends


class Tenure:
    """Writes the origin's authority. `over` is called when that has run out."""

    def __init__(self, effects: Effects, member: Member, over: Callable[[], None]) -> None:
        self._effects = effects
        self._member = member
        self._over = over
        self._deadline: asyncio.TimerHandle | None = None

    def extend(self) -> None:
        """Give the origin the authority that the member has; take it else."""
        authority, (epoch, until) = self._effects.authority, self._member.authority
        if now() >= until:
            authority.revoke()
            return
        authority.grant(epoch, until)
        self.hold_gate()
        self.stop()
        wait = min(max(0.0, until - now()), LONGEST_TIMER_SECONDS)
        self._deadline = asyncio.get_running_loop().call_later(wait, self._check)

    def hold_gate(self) -> None:
        """A gate that the kernel closes by itself stays open for as long as this node may serve:
        to be called every `HOLD_SECONDS`, too."""
        authority = self._effects.authority
        if authority.gate_open and authority.valid(now()):
            self._effects.gate.hold(authority.deadline)

    def stop(self) -> None:
        """Look at the deadline no more."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _check(self) -> None:
        if not self._effects.authority.valid(now()):
            self._over()
