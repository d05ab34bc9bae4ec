"""The steps of a planned switchover that travel over the link, seen from either end.

active                              standby
  prepare(switch_id, final_seq) ->    applies up to final_seq
                               <-   ready(switch_id, final_seq)
  … the record names the standby …
  done or abort               ->
"""

from __future__ import annotations

from typing import Protocol

from rtmp_sync.server.effects import Link

__all__ = ["SwitchStep", "SwitchSteps"]


class SwitchStep(Protocol):
    """A step that the peer sent."""

    @property
    def step(self) -> str: ...
    @property
    def switch_id(self) -> str: ...
    @property
    def final_seq(self) -> int: ...


class SwitchSteps:
    """What was heard, and what is to be answered."""

    def __init__(self) -> None:
        self._asked: SwitchStep | None = None  # as the standby: not answered yet
        self._ready: tuple[str, int] | None = None
        self._aborted = ""

    def heard(self, step: SwitchStep) -> None:
        match step.step:
            case "prepare":
                self._asked = step
            case "ready":
                self._ready = (step.switch_id, step.final_seq)
            case "abort":
                self._asked = None
                self._aborted = step.switch_id
            case _:  # done: the record says so too
                self._asked = None

    def answer(self, link: Link | None, head: int) -> None:
        """As the standby: say that the last held write is here, once it is."""
        asked = self._asked
        if asked is not None and link is not None and head >= asked.final_seq:
            self._asked = None
            link.switchover("ready", switch_id=asked.switch_id, final_seq=asked.final_seq)

    def is_ready(self, switch_id: str, final_seq: int) -> bool:
        """As the active one: the peer has everything up to the held writes."""
        return self._ready == (switch_id, final_seq)

    def is_aborted(self, switch_id: str) -> bool:
        return bool(switch_id) and self._aborted == switch_id
