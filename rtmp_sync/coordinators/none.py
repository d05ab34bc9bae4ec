"""No coordinator: a single origin, always active, in a new epoch at each start."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

from rtmp_sync.cluster.observer import Sighting
from rtmp_sync.cluster.record import Author, Record, first_record
from rtmp_sync.cluster.view import CasResult, Outcome
from rtmp_sync.coordinators.base import Attempt, Reading
from rtmp_sync.server.clock import now

__all__ = ["NoneCoordinator", "make"]

if TYPE_CHECKING:
    from rtmp_sync.config import Config

NOBODY = "-"  # the name of the peer that a single origin does not have


class NoneCoordinator:
    """A record in memory that names this boot: the failover table finds it and opens."""

    condition = "ok"

    def __init__(self, node_id: str, boot_id: str, last_epoch: int) -> None:
        """last_epoch: of the last Change in this node's own copy."""
        self.node_id = node_id
        author = Author(node_id, boot_id, secrets.token_hex(8), "")
        first = first_record((node_id, NOBODY), author)
        epoch = last_epoch + 1
        history_id = f"{epoch}-{author.nonce}"
        self._record = replace(first, epoch=epoch, history_id=history_id, reason="alone")

    def on_change(self, told: Callable[[], None]) -> None:
        pass  # nobody else changes it

    async def start(self) -> tuple[str, str] | None:
        return self._record.nodes

    async def stop(self) -> None:
        pass

    async def read(self, *, beat: bool) -> Reading:
        at = now()
        sighting = Sighting(at, at, self._record, lease_seconds=inf, beat_written=beat)
        return Reading(sighting, self._record.nodes)

    async def write_nonce(self) -> None:
        return None  # nobody else looks

    async def read_nonce(self, node: str) -> None:
        return None

    async def cas(self, record: Record) -> Attempt:
        landed = record.prev == self._record.nonce
        if landed:
            self._record = record
        outcome = Outcome.LANDED if landed else Outcome.LOST
        return Attempt(CasResult(record.nonce, outcome, now()), self._record)


def make(config: Config, *, boot_id: str, last_epoch: int, owner: str) -> NoneCoordinator:
    return NoneCoordinator(config.node.id, boot_id, last_epoch)
