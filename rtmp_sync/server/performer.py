"""Does what a turn of the failover machine asks for, on one origin.

Closing never waits for network, store or disk, and comes first in whatever it comes with.
What takes time (a record, a promise, a comparison) runs beside the watchdog's loop, and its
outcome is one of the facts of a later turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from rtmp_sync.cluster import actions as do
from rtmp_sync.cluster.observer import Observer
from rtmp_sync.coordinators.base import Coordinator
from rtmp_sync.errors import ConfigError
from rtmp_sync.server.clock import now
from rtmp_sync.server.effects import Effects, Link
from rtmp_sync.server.guard_pipe import GuardPipe

__all__ = ["Performer"]


class Performer:
    """`wake` is called when something that was begun here has an outcome."""

    def __init__(
        self,
        effects: Effects,
        coordinator: Coordinator,
        observer: Observer,
        guard: GuardPipe,
        wake: Callable[[], None],
    ) -> None:
        self.open_failed = 0
        self.digest_agrees: bool | None = None
        self.switch_id = ""
        self.final_seq = 0
        self.link_count = 0  # links that began or ended: an answer belongs to the one it asked
        self.answer: Callable[[bool, str], None] = lambda done, text: None
        self._effects = effects
        self._coordinator = coordinator
        self._observer = observer
        self._guard = guard
        self._wake = wake
        self._running: set[asyncio.Task[None]] = set()
        self._asking = False
        self._comparing = False

    async def perform(self, action: do.Action) -> None:
        """One action. Raises nothing for the store's, the link's or the gate's sake."""
        match action:
            case do.CloseGate():
                await self.close_gate()
            case do.Promote():
                await self._promote(action)
            case do.Demote():
                await self._effects.demote()
            case do.Cas():
                self._begin(self._cas(action))
            case do.AskPromise():
                self._begin(self._ask_promise(action.epoch))
            case do.CompareDigests():
                self.compare_digests()
            case do.HoldWrites():
                self._effects.hold_writes(action.on)
            case do.Answer():
                self.answer(action.done, action.text)
            case do.Happened():
                self._effects.history.record(action.event, **action.fields)
            case do.Prepare() | do.Switchover() | do.Repair():
                if self._link is not None:
                    self._tell(self._link, action)

    async def close_gate(self) -> None:
        self._effects.authority.revoke()
        await self._effects.close_gate()

    def compare_digests(self) -> None:
        """Ask; the answer appears in `digest_agrees`."""
        self.digest_agrees = None
        if self._link is not None and not self._comparing:
            self._comparing = True
            self._begin(self._compare(self._link))

    async def end(self) -> None:
        """Give up what is still running."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)

    @property
    def _link(self) -> Link | None:
        return self._effects.replication

    async def _promote(self, action: do.Promote) -> None:
        """The authority is granted for the promotion and looked at again before opening: it
        may have run out meanwhile."""
        record, authority = action.record, self._effects.authority
        epoch, until = self._observer.authority
        if epoch != record.epoch or now() >= until:
            return
        authority.grant(epoch, until)
        await self._effects.promote(epoch, record.history_id, lossy=action.lossy)
        epoch, until = self._observer.authority
        if epoch != record.epoch or now() >= until:
            authority.revoke()
            return
        authority.grant(epoch, until)
        self._guard.gate(epoch, record.boot_id)
        if not await self._open_gate(epoch):
            self.open_failed = epoch
            await self.close_gate()

    async def _open_gate(self, epoch: int) -> bool:
        try:
            return await self._effects.open_gate(epoch)
        except (OSError, ConfigError) as error:  # the port is taken
            self._effects.history.record("gate_mismatch", epoch=epoch, error=str(error))
            return False

    async def _cas(self, action: do.Cas) -> None:
        attempt = await self._coordinator.cas(action.record)
        self._observer.tried(attempt.result, attempt.highest)

    async def _ask_promise(self, epoch: int) -> None:
        if self._asking or self._link is None:
            return
        self._asking = True
        try:
            sent_at = await self._link.promise(epoch)
        finally:
            self._asking = False
        if sent_at is not None:
            self._observer.promised(epoch, sent_at)

    async def _compare(self, link: Link) -> None:
        asked = self.link_count
        try:
            agrees = await link.digest_agrees()
        finally:
            self._comparing = False
        if asked == self.link_count:
            self.digest_agrees = agrees

    def _tell(self, link: Link, action: do.Prepare | do.Switchover | do.Repair) -> None:
        match action:
            case do.Prepare():
                self.switch_id = action.switch_id
                self.final_seq = self._effects.hold_writes(True)
                link.switchover(
                    "prepare",
                    switch_id=action.switch_id,
                    final_seq=self.final_seq,
                    deadline_seconds=action.deadline_seconds,
                )
            case do.Switchover():
                link.switchover(action.kind, switch_id=action.switch_id, epoch=action.epoch)
            case do.Repair():
                self.digest_agrees = None
                link.repair()

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error  # a bug: let the loop's handler show it
        self._wake()
