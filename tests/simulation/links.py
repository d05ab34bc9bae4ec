"""A process's end of the replication link: real `Link`s and `Exchange`s on simulated wires.

What `server.replication` and `server.replication_link` do with sockets and tasks.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from rtmp_sync.cluster.exchange import Exchange
from rtmp_sync.cluster.link import Link, LinkIdentity, Protocols
from rtmp_sync.cluster.link_facts import LinkFacts
from rtmp_sync.cluster.peer_status import OwnRole, PeerStatus, ReplicationHooks
from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.state.journal import Batch
from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.wire.records import Bye, PromiseRequest, Switchover
from rtmp_sync.wire.refusals import LinkRefused, Reason
from tests.simulation.network import Message, Wire

__all__ = ["Host", "LinkEnd", "Links"]

SECRET = b"the secret of the simulated pair"
REDIAL_SECONDS = 0.2
TICK_SECONDS = 0.1


class Host(Protocol):
    """The process whose links they are. after: seconds of its own clock; not once it is dead."""

    @property
    def name(self) -> str: ...
    @property
    def boot_id(self) -> str: ...
    @property
    def runs(self) -> bool: ...
    @property
    def alive(self) -> bool: ...
    @property
    def clock(self) -> float: ...
    @property
    def epoch_served(self) -> int: ...
    @property
    def state(self) -> ReplicatedState: ...

    def after(self, seconds: float, act: Callable[..., None], *arguments: object) -> None: ...
    def enter(self) -> None: ...
    def applied_from(self, epoch: int) -> None: ...


class LinkEnd:
    """One connection of the link, seen from one process."""

    def __init__(self, links: Links, *, dials: bool) -> None:
        self.dials = dials
        self.exchange: Exchange | None = None
        self.wire: Wire | None = None
        self.over = False
        self._links = links
        self._host = links.host
        nonce = links.chance.randbytes(32)
        self.link = Link(
            links.identity, [SECRET], dials=dials, nonce=nonce, protocols=links.protocols
        )
        self._pumping = False

    @property
    def runs(self) -> bool:
        return self._host.runs

    @property
    def lives(self) -> bool:
        return self._host.alive

    @property
    def place(self) -> str:
        return self._host.name

    def connected(self, wire: Wire) -> None:
        self.wire = wire
        self._host.after(max(self._links.silence, 0.5), self._too_late)
        self.flush()

    # -- from the wire -----------------------------------------------------------------

    def received(self, messages: list[Message], epoch: int) -> None:
        if self.over:
            return
        host = self._host
        host.enter()
        head = host.state.journal.head
        try:
            for lane, payload in messages:
                self._take(lane, payload)
        except RemoteProtocolError as error:
            self._links.refused(error, self.wire is not None and self.wire.spoiled)
            self.end()
        if self.exchange is not None:
            if host.state.journal.head != head:
                host.applied_from(epoch)
            self.exchange.end_turn()
        self.flush()

    def ended(self) -> None:
        if not self.over:
            self._host.enter()
            self._lose()

    # -- what this end says ------------------------------------------------------------

    def flush(self) -> None:
        if self.wire is None or self.over:
            return
        messages = self.link.messages_to_send()
        if messages:
            self.wire.send(self, messages, self._host.epoch_served)
        exchange = self.exchange
        if exchange is not None and exchange.has_bulk and not self._pumping:
            self._pumping = True
            self._host.after(self._links.bulk_seconds(), self._pump)

    def end(self) -> None:
        """Say what is left to say, then close."""
        if self.over:
            return
        self.flush()
        self._lose()

    def goodbye(self, code: str, text: str) -> None:
        if self.exchange is not None and not self.over:
            self.exchange.say(Bye(code, text))
        self.end()

    def _lose(self) -> None:
        self.over = True
        if self.wire is not None:
            self.wire.close(self)
        if self.exchange is not None:
            self.exchange.close()
        self._links.lost(self)

    def _take(self, lane: int, payload: bytes) -> None:
        if self.exchange is not None:
            self.exchange.receive(lane, payload, self._host.clock)
            return
        self.link.receive_message(lane, payload)
        if self.link.established:
            self.flush()
            if not self._links.begin(self):
                self.link.send(Bye("not_wanted", "it is the other node that dials"))
                raise LinkRefused(Reason.NOT_WANTED, "it is this node that dials")
            self._host.after(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        if self.over or self.exchange is None:
            return
        try:
            self.exchange.tick(self._host.clock)
        except RemoteProtocolError:
            self._lose()
            return
        self.flush()
        self._host.after(TICK_SECONDS, self._tick)

    def _too_late(self) -> None:
        if not self.over and self.exchange is None:
            self._lose()

    def _pump(self) -> None:
        self._pumping = False
        if self.exchange is not None and not self.over and self.exchange.has_bulk:
            self.exchange.send_bulk()
            self.flush()


class Links(LinkFacts):
    """What the member reads of its link, and the link that is in use."""

    def __init__(
        self,
        host: Host,
        hooks: ReplicationHooks,
        *,
        pair_id: str,
        dials: bool,
        silence: float,
        chance: random.Random,
        dial: Callable[[LinkEnd], bool],
        refused: Callable[[Exception, bool], None],
        protocols: Protocols,
    ) -> None:
        super().__init__(host.state)
        self.host = host
        self.identity = LinkIdentity(pair_id, host.name, host.boot_id)
        self.silence = silence
        self.chance = chance
        self.refused = refused
        self.protocols = protocols
        self.full_copies = self.partial_copies = 0
        self.bulk_delay: Callable[[], float] = lambda: 0.0
        self._hooks = hooks
        self._dials = dials
        self._dial_now = dial
        self._role = OwnRole()
        self._current: LinkEnd | None = None
        self._distrusted = False
        self._promises: dict[int, Callable[[bool], None]] = {}
        self._promise_id = 0
        self._comparisons: list[Callable[[bool], None]] = []
        if dials:
            host.after(0.0, self._dial)

    # -- how it stands -----------------------------------------------------------------

    @property
    def exchange(self) -> Exchange | None:
        return self._current.exchange if self._current is not None else None

    # -- what the node says ------------------------------------------------------------

    def set_role(self, role: OwnRole) -> None:
        if role == self._role:
            return
        self._role = role
        if self._current is not None and self._current.exchange is not None:
            self._current.exchange.set_role(role)
            self._current.flush()

    def send_batch(self, batch: Batch) -> None:
        if self._current is not None and self._current.exchange is not None:
            self._current.exchange.send_batch(batch, self.host.clock)
            self._current.flush()

    def compare(self, tell: Callable[[bool], None]) -> None:
        current = self._current
        if current is None or current.exchange is None:
            tell(False)
            return
        self._comparisons.append(tell)
        if len(self._comparisons) == 1:
            current.exchange.source.compare_digests()
            current.flush()

    def repair(self) -> None:
        self._distrusted = True
        if self._current is not None:
            self._current.goodbye("repair", "the copies differ")

    def promise(self, epoch: int, tell: Callable[[float | None], None]) -> None:
        """tell: when the request that the peer granted was sent, None if it did not."""
        current = self._current
        if current is None or current.exchange is None:
            tell(None)
            return
        self._promise_id += 1
        request_id, sent_at = self._promise_id, self.host.clock
        self._promises[request_id] = lambda given: tell(sent_at if given else None)
        current.exchange.say(PromiseRequest(request_id, epoch))
        current.flush()
        self.host.after(self.silence, self._promised, request_id, 0.0)

    def say(self, step: Switchover) -> None:
        if self._current is not None and self._current.exchange is not None:
            self._current.exchange.say(step)
            self._current.flush()

    # -- from the ends -----------------------------------------------------------------

    def bulk_seconds(self) -> float:
        return self.bulk_delay() * self.chance.random()

    def begin(self, end: LinkEnd) -> bool:
        if self._dials and not end.dials:
            return False
        former = self._current
        if former is not None:
            former.end()
        hooks = replace(self._hooks, on_role=self._described)
        exchange = Exchange(
            end.link,
            self.host.state,
            self._role,
            hooks,
            silence=self.silence,
            now=self.host.clock,
        )
        exchange.distrusted, self._distrusted = self._distrusted, False
        exchange.on_promise = self._promised
        exchange.source.on_compared = self._compared
        self._current, end.exchange = end, exchange
        return True

    def lost(self, end: LinkEnd) -> None:
        if end is self._current:
            was_connected = self.connected
            self._current = None
            assert end.exchange is not None
            self.full_copies += end.exchange.sink.full_copies
            self.partial_copies += end.exchange.sink.partial_copies
            for request_id in list(self._promises):
                self._promised(request_id, 0.0)
            self._compared(False)
            if was_connected:
                self._hooks.on_link(False)
        if end.dials:
            self.host.after(REDIAL_SECONDS, self._dial)

    def _dial(self) -> None:
        if not self._dial_now(LinkEnd(self, dials=True)):
            self.host.after(REDIAL_SECONDS, self._dial)

    def _described(self, peer: PeerStatus) -> None:
        if self.peer is not peer:
            self.peer = peer
            self._hooks.on_link(True)
        self._hooks.on_role(peer)

    def _promised(self, request_id: int, valid_seconds: float) -> None:
        tell = self._promises.pop(request_id, None)
        if tell is not None:
            tell(valid_seconds > 0)

    def _compared(self, agrees: bool) -> None:
        answers, self._comparisons = self._comparisons, []
        for tell in answers:
            tell(agrees)
