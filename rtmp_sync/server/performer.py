"""Does what a turn of a member asks for, on one origin.

Closing never waits for network, store or disk, and comes first in whatever it comes with.
What takes time (a record, a promise, a comparison) runs beside the watchdog's loop, and its
outcome is one of the facts of a later turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping

from rtmp_sync.cluster import actions as do
from rtmp_sync.cluster.member import Member
from rtmp_sync.coordinators.base import Coordinator
from rtmp_sync.errors import ConfigError
from rtmp_sync.server.clock import now
from rtmp_sync.server.effects import Effects, Link
from rtmp_sync.server.overseer import Overseer

__all__ = ["Performer"]

REFUSED_SECONDS = 0.1  # from a refused promise to the next request for one


class Performer:
    """`answer` takes what an operator is told; `noticed` is called when something that was
    begun here has an outcome."""

    def __init__(
        self,
        effects: Effects,
        coordinator: Coordinator,
        member: Member,
        overseer: Overseer,
        *,
        answer: Callable[[bool, str, Mapping[str, object]], None],
        noticed: Callable[[], None],
    ) -> None:
        self._effects = effects
        self._coordinator = coordinator
        self._member = member
        self._overseer = overseer
        self._answer = answer
        self._noticed = noticed
        self._running: set[asyncio.Task[None]] = set()

    async def perform(self, actions: Iterable[do.Action]) -> None:
        """Those of one turn, in their order. Raises nothing for the store's, the link's or the
        gate's sake. Who is answered gets what happened in that turn as his report."""
        report: dict[str, object] = {}
        for action in actions:
            if isinstance(action, do.Answer):
                self._answer(action.done, action.text, report)
                continue
            if isinstance(action, do.Happened) and action.event != "state":
                report = {"event": action.event, **action.fields}
            await self._do(action)

    async def _do(self, action: do.Action) -> None:
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
                self._begin(self._compare(action.question))
            case do.HoldWrites():
                self._effects.hold_writes(action.on)
            case do.Happened():
                self._effects.history.record(action.event, **action.fields)
            case do.Prepare() | do.Switchover() | do.Repair():
                if (link := self._effects.replication) is not None:
                    self.tell(link, action)

    async def close_gate(self) -> bool:
        """Whether the gate was read back as closed."""
        self._effects.authority.revoke()
        return await self._effects.close_gate()

    def tell(self, link: Link, action: do.Prepare | do.Switchover | do.Repair) -> None:
        match action:
            case do.Prepare():
                final_seq = self._effects.hold_writes(True)
                self._member.holding(action.switch_id, final_seq)
                link.switchover(
                    "prepare",
                    switch_id=action.switch_id,
                    final_seq=final_seq,
                    deadline_seconds=action.deadline_seconds,
                )
            case do.Switchover():
                link.switchover(
                    action.kind,
                    switch_id=action.switch_id,
                    final_seq=action.final_seq,
                    epoch=action.epoch,
                )
            case do.Repair():
                link.repair()

    async def end(self) -> None:
        """Give up what is still running."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)

    async def _promote(self, action: do.Promote) -> None:
        """The authority is looked at before the promotion and again before opening: it may
        have run out meanwhile."""
        record, member = action.record, self._member
        epoch = record.epoch
        if not self._grant(epoch):
            return
        await self._effects.promote(epoch, record.history_id, lossy=action.lossy)
        if not self._grant(epoch):
            self._effects.authority.revoke()
            return
        self._overseer.gate(epoch, record.boot_id)
        if not await self._open_gate(epoch):
            member.gate_failed(epoch)
            await self.close_gate()
        elif not self._grant(epoch):  # it ran out while the gate opened
            await self.close_gate()

    def _grant(self, epoch: int) -> bool:
        if not self._member.may_open(epoch, now()):
            return False
        self._effects.authority.grant(*self._member.authority)
        return True

    async def _open_gate(self, epoch: int) -> bool:
        self._effects.gate.hold(self._effects.authority.deadline)
        try:
            return await self._effects.open_gate(epoch)
        except (OSError, ConfigError) as error:  # the port is taken
            self._effects.history.record("gate_mismatch", epoch=epoch, error=str(error))
            return False

    async def _cas(self, action: do.Cas) -> None:
        attempt = await self._coordinator.cas(action.record)
        self._member.tried(attempt.result, attempt.highest)

    async def _ask_promise(self, epoch: int) -> None:
        sent_at: float | None = None
        try:
            if (link := self._effects.replication) is not None:
                sent_at = await link.promise(epoch)
            if sent_at is None:  # the member asks again at once: not at the speed of the link
                await asyncio.sleep(REFUSED_SECONDS)
        finally:
            self._member.promised(epoch, sent_at)

    async def _compare(self, question: int) -> None:
        agrees = False
        try:
            if (link := self._effects.replication) is not None:
                agrees = await link.digest_agrees()
        finally:
            self._member.compared(question, agrees)

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error  # a bug: let the loop's handler show it
        self._noticed()
