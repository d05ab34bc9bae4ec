"""The steps of a planned switchover that travel over the link, seen from either end.

active                              standby
  prepare(switch_id, final_seq) ->    applies up to final_seq
                               <-   ready(switch_id, final_seq), or abort: it is not READY
  … the record names the standby …
  done or abort               ->
"""

from __future__ import annotations

from typing import Protocol

from rtmp_sync.cluster.actions import Switchover

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
        self._mine = ("", 0)  # as the active one: what the peer is to be ready for
        self._asked: SwitchStep | None = None  # as the standby: not answered yet
        self._ready: tuple[str, int] | None = None
        self._aborted = ""

    def holding(self, switch_id: str, final_seq: int) -> None:
        """As the active one: writes are held, the last one is `final_seq`."""
        self._mine = (switch_id, final_seq)

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

    def link_changed(self) -> None:
        """What was asked on a link is answered on that link or not at all."""
        self._asked = None

    def answer(self, head: int) -> Switchover | None:
        """As the standby: the word that the last held write is here, once it is."""
        asked = self._asked
        if asked is None or head < asked.final_seq:
            return None
        self._asked = None
        return Switchover("ready", asked.switch_id, final_seq=asked.final_seq)

    def refuse(self) -> Switchover | None:
        """As a node that is no standby: the word that it will not be ready in time."""
        asked, self._asked = self._asked, None
        return Switchover("abort", asked.switch_id) if asked is not None else None

    @property
    def is_ready(self) -> bool:
        """As the active one: the peer has everything up to the held writes."""
        return self._ready == self._mine

    @property
    def is_aborted(self) -> bool:
        return bool(self._mine[0]) and self._aborted == self._mine[0]
