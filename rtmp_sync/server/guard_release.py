"""What the guard does for a dead origin: prove its gate closed, then say that it let go.

I7: who cannot prove the gate closed does not release. The next life of the origin closes it
again, and releases itself once that is read back.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from datetime import UTC, datetime

import structlog

from rtmp_sync.cluster.record import Author
from rtmp_sync.cluster.view import Outcome
from rtmp_sync.coordinators.base import Coordinator
from rtmp_sync.errors import StoreError
from rtmp_sync.firewalls.base import Closer
from rtmp_sync.server.clock import now

__all__ = ["GuardRelease"]


class GuardRelease:
    """patience_seconds: for the gate of one dead origin, and as much for its record.
    retry_seconds: between attempts."""

    def __init__(
        self,
        coordinator: Coordinator,
        closer: Closer,
        *,
        patience_seconds: float,
        retry_seconds: float,
    ) -> None:
        self._coordinator = coordinator
        self._closer = closer
        self._patience_seconds = patience_seconds
        self._retry_seconds = retry_seconds
        self._log = structlog.get_logger("rtmp_sync.guard")

    async def release(self, gate: tuple[int, str] | None, reason: str) -> None:
        """gate: (epoch, boot_id) of the one that it was about to open.

        The gate is closed in any case. The record is released only if that life had opened its
        gate: one that died while its claim was waiting must not let a third claim go without
        that wait.
        """
        give_up_at = now() + self._patience_seconds
        told = False
        while not await self._close():
            if not told:
                self._log.critical("gate_not_proven_closed", fix="nothing is released meanwhile")
            told = True
            if now() >= give_up_at:
                return
            await asyncio.sleep(self._retry_seconds)
        give_up_at = now() + self._patience_seconds  # closing may take an operator's command long
        while gate is not None and now() < give_up_at:
            with contextlib.suppress(StoreError):
                if await self._try_to_release(gate, reason):
                    return
            await asyncio.sleep(self._retry_seconds)

    async def end(self) -> None:
        """No origin is started any more: nothing of its gate stays behind."""
        try:
            await self._closer.remove()
        except OSError as error:
            self._log.error("gate_not_removed", error=str(error))

    async def _close(self) -> bool:
        """Whether the gate was read back as closed."""
        try:
            await self._closer.close()
            return await self._closer.verify() == "closed"
        except OSError as error:
            self._log.error("gate_not_closed", error=str(error))
            return False

    async def _try_to_release(self, gate: tuple[int, str], reason: str) -> bool:
        """True when nothing is left to do. Raises StoreError."""
        epoch, boot_id = gate
        record = (await self._coordinator.read(beat=False)).sighting.record
        node_id = self._coordinator.node_id
        if record is None or not record.held_by(node_id, boot_id):
            return True
        if record.epoch != epoch or record.released:
            return True
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        author = Author(node_id, boot_id, secrets.token_hex(8), at)
        attempt = await self._coordinator.cas(record.let_go(author, record.seq, reason))
        outcome = attempt.result.outcome
        self._log.warning("released", epoch=epoch, reason=reason, outcome=outcome.value)
        return outcome is Outcome.LANDED  # else the record has changed: look again
