"""A process and the other one: its link, and where everything that the link tells goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rtmp_sync.cluster import actions as do
from rtmp_sync.cluster.peer_status import ReplicationHooks
from rtmp_sync.cluster.view import State
from rtmp_sync.wire.records import Switchover
from tests.simulation.links import Links

if TYPE_CHECKING:
    from tests.simulation.process import Process

__all__ = ["PairLink"]


class PairLink:
    """Made once the pair's names are known; the first one dials."""

    def __init__(self, process: Process, nodes: tuple[str, str]) -> None:
        world = process.world
        self._process = process
        self._member = process.member
        hooks = ReplicationHooks(
            on_acked=self._acked,
            on_link=self._changed,
            on_role=lambda peer: process.wake(),
            on_applied=self._applied,
            on_batch=process.persist,
            on_installed=self._installed,
            on_divergent=self._divergent,
            on_caught_up=process.wake,
            on_fence=self._fenced,
            on_switchover=self._heard_step,
            give_promise=lambda epoch: self._member.give_promise(epoch, process.clock),
            history=self._history,
        )
        self.links = Links(
            process,
            hooks,
            pair_id="+".join(nodes),
            dials=process.name == nodes[0],
            silence=world.timing.ack_timeout,
            chance=process.node.chance,
            dial=lambda end: world.dial(process, end),
            refused=self._refused,
            protocols=world.setup.protocols[process.name],
        )
        self.links.bulk_delay = lambda: world.bulk_delay

    def tell(self, step: do.Switchover) -> None:
        self.links.say(Switchover(step.kind, step.switch_id, step.final_seq, 0.0, step.epoch))

    def look(self) -> None:
        """After a turn: what it changes for the other node."""
        if self._member.peer_counts:
            self._process.commit.peer_acked(self.links.acked)
        self.links.set_role(self._member.announced)

    def _acked(self, seq: int) -> None:
        self._member.acked(seq)
        if self._member.peer_counts:
            self._process.commit.peer_acked(seq)
        if self._member.node.hold is not None:
            self._process.wake()

    def _changed(self, up: bool) -> None:
        process = self._process
        process.world.trace(lambda: f"{process.boot_id} link {'up' if up else 'down'}")
        self._member.link_changed(up, process.clock)
        self._noticed()

    def _applied(self) -> None:
        self._answer_switch()
        if self._member.state is State.SYNCING:
            self._process.wake()

    def _installed(self) -> None:
        process = self._process
        process.world.count("copies_installed")
        if process.storing is not None:
            process.storing.begin_anew()

    def _divergent(self, _: object, release: Callable[[], None]) -> None:
        process = self._process
        process.world.count("divergent_tails")
        process.after(process.node.disk_delay(), release)

    def _fenced(self, epoch: int, _: str) -> None:
        self._member.fenced(epoch)
        self._noticed()

    def _heard_step(self, step: Switchover) -> None:
        self._member.heard_step(step)
        self._answer_switch()
        self._noticed()

    def _answer_switch(self) -> None:
        answer = self._member.switch_answer()
        if answer is not None:
            self.tell(answer)

    def _noticed(self) -> None:
        self._process.store.read_if_wanted()
        self._process.wake()

    def _refused(self, error: Exception, spoiled: bool) -> None:
        process = self._process
        process.world.count("refused")
        process.world.trace(lambda: f"{process.boot_id} refuses the link: {error}")
        if not spoiled:
            process.world.verdicts.refused(process, error)

    def _history(self, event: str, **fields: object) -> None:
        process = self._process
        if event == "resync":
            process.world.count(f"resyncs_{fields['kind']}")
        process.world.trace(lambda: f"{process.boot_id} {event} {fields}")
