"""Replication: this node's end of the link to the other origin of the pair.

The node that the pair names first dials (`replication_dialer`); both listen
(`replication_acceptor`), so that two nodes with one id find each other too. Whatever comes, at
most one link is in use: the one that was established last. What is said on it is
`cluster.exchange`; why one ended, `replication_refusals`.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

import structlog

from rtmp_sync.cluster.exchange import Exchange
from rtmp_sync.cluster.link import PROTOCOLS, Link, LinkIdentity, Protocols
from rtmp_sync.cluster.link_facts import LinkFacts
from rtmp_sync.cluster.peer_status import OwnHealth, OwnRole, PeerStatus, ReplicationHooks
from rtmp_sync.config_tls import LinkTls
from rtmp_sync.server.clock import now
from rtmp_sync.server.replication_acceptor import Acceptor
from rtmp_sync.server.replication_answers import Answers
from rtmp_sync.server.replication_dialer import Dialer
from rtmp_sync.server.replication_link import ReplicationLink
from rtmp_sync.server.replication_refusals import Refusals
from rtmp_sync.state.journal import Batch
from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.wire.records import (
    NONCE_BYTES,
    Fence,
    Media,
    PromiseRequest,
    Replay,
    StoreNonce,
    Switchover,
)
from rtmp_sync.wire.refusals import LinkRefused, Reason, reason_of

__all__ = ["Replication", "ReplicationHooks"]

_TEXT_MAX: Final = 200  # characters of a reason
_REASONS_MAX: Final = 32  # that are told apart while there is no link
BACKLOG_SECONDS: Final = 3600.0  # how long the backlog is kept for a peer that is away


class LinkTiming(Protocol):
    """What of the pair's numbers the link needs; seconds."""

    @property
    def ack_timeout(self) -> float: ...


class Replication(LinkFacts):
    """listen and peer are (host, port). secret: the pair's, or two during a rotation.

    tls: None for a link that is not encrypted. snapshot_rate: bytes a second. protocols: the
    versions of the link that this node speaks.
    """

    def __init__(
        self,
        state: ReplicatedState,
        *,
        node_id: str,
        pair_id: str,
        boot_id: str,
        secret: bytes | Sequence[bytes],
        listen: tuple[str, int],
        peer: tuple[str, int],
        dials: bool,
        timing: LinkTiming,
        hooks: ReplicationHooks | None = None,
        tls: LinkTls | None = None,
        snapshot_rate: float = math.inf,
        protocols: Protocols = PROTOCOLS,
    ) -> None:
        super().__init__(state)
        self.hooks = hooks if hooks is not None else ReplicationHooks()
        self.links_lost = 0
        self.same_id: set[bool] = set()  # whether this node dialled when it met its own id
        self._me = LinkIdentity(pair_id, node_id, boot_id)
        self._protocols = protocols
        self._secrets = [secret] if isinstance(secret, bytes) else list(secret)
        self._snapshot_rate = snapshot_rate
        self._listen = listen
        self._dials = dials
        self._silence = timing.ack_timeout
        self._deadline = max(self._silence, 0.5)
        self._role = OwnRole()
        self._health = OwnHealth()
        self._current: ReplicationLink | None = None
        self._links: set[ReplicationLink] = set()
        self._refusals = Refusals(node_id, self.hooks.history)
        self._acceptor = Acceptor(
            lambda: self._new_link(self._secrets, dials=False),
            peer_host=peer[0],
            tls=tls.accepts if tls is not None else None,
            deadline=self._deadline,
            refused=self._turned_away,
        )
        self._dialer = Dialer(
            peer,
            self._secrets,
            tls=tls.dials if tls is not None else None,
            deadline=self._deadline,
            make=lambda secrets: self._new_link(secrets, dials=True),
            unreachable=self._note_failure,
            refused=self._turned_away,
        )
        self._backlog_timer: asyncio.TimerHandle | None = None
        self._reasons: set[str] = set()  # why there was no link, since there was one
        self._answers = Answers()
        self._distrusted = False
        self._full_copies = self._partial_copies = 0
        self._replays_left_out = 0
        self._log = structlog.get_logger("rtmp_sync.replication").bind(node=node_id)

    async def start(self) -> None:
        """Listen and, on the node that does so, dial. Raises ConfigError."""
        await self._acceptor.start(*self._listen)
        if self._dials:
            self._dialer.start()

    async def stop(self) -> None:
        await self._dialer.stop()
        await self._acceptor.stop()
        links = list(self._links)
        for link in links:
            link.goodbye("stopping", "this origin stops")
        for link in links:
            if link.open:
                await link.ended
        if self._backlog_timer is not None:
            self._backlog_timer.cancel()

    @property
    def port(self) -> int:
        """Where it listens, also when port 0 was asked for."""
        return self._acceptor.port

    @property
    def refusals(self) -> dict[str, int]:
        """How often what was refused, by the name of the reason; all names, from the start."""
        return self._refusals.counts

    @property
    def alarms(self) -> dict[str, str]:
        """Name -> what an operator should look at."""
        return self._refusals.alarms

    # How it stands

    @property
    def exchange(self) -> Exchange | None:
        return self._current.exchange if self._current is not None else None

    @property
    def ack_seconds(self) -> float:
        """[source] From sending the last acknowledged Changes to their acknowledgement."""
        exchange = self.exchange
        return exchange.source.ack_seconds if exchange is not None else 0.0

    @property
    def queued_bytes(self) -> int:
        """[source] What waits in this process for the peer to take it."""
        return self._current.queued_bytes if self._current is not None else 0

    @property
    def lag_ms(self) -> float:
        """[sink] Age of the oldest of them."""
        exchange = self.exchange
        return exchange.sink.lag_seconds(now()) * 1000 if exchange is not None else 0.0

    @property
    def full_copies(self) -> int:
        """Whole copies begun (as source) or installed (as sink)."""
        exchange = self.exchange
        now_made = exchange.source.full_copies + exchange.sink.full_copies if exchange else 0
        return self._full_copies + now_made

    @property
    def partial_copies(self) -> int:
        """Resyncs that continued from a backlog, as source or sink."""
        exchange = self.exchange
        now_made = exchange.source.partial_copies + exchange.sink.partial_copies if exchange else 0
        return self._partial_copies + now_made

    @property
    def peer_address(self) -> str:
        """Where the other end of the link is, without its port; "" while there is none."""
        return self._current.address if self._current is not None else ""

    @property
    def replays_left_out(self) -> int:
        """Calls that the peer was not told to run too: it was away, or speaks version 1."""
        exchange = self.exchange
        return self._replays_left_out + (exchange.replays.left_out if exchange else 0)

    # What the node says

    def set_role(
        self, *, epoch: int, holder: str, gate_open: bool, state: str, serving: bool
    ) -> None:
        """This node's role, and the record it last read. serving: it feeds the peer."""
        role = OwnRole(epoch, holder, gate_open, serving, state)
        if role == self._role:
            return
        self._role = role
        if self._current is not None and self._current.exchange is not None:
            self._current.exchange.set_role(role)
            self._current.flush()

    def report(self, *, healthy: bool, lb_checks_age: float, loop_lag: float) -> None:
        """What the next heartbeats say; seconds."""
        self._health = OwnHealth(healthy, lb_checks_age, loop_lag)
        if self.exchange is not None:
            self.exchange.health = self._health

    def send_batch(self, batch: Batch) -> None:
        """This turn's Changes; the backlog has them when no link works."""
        if self._current is not None:
            self._current.send_batch(batch)

    def send_replay(self, record: Replay) -> None:
        """A call for the peer to run too; after `send_batch` of what it changed, or before."""
        if self._current is None or self._current.exchange is None:
            self._replays_left_out += 1
            return
        self._current.exchange.send_replay(record)
        self._current.flush()

    def send_media(self, record: Media) -> bool:
        """A message of a live stream, for a standby that may have to show it next. False: it has
        to do without."""
        return self._current is not None and self._current.send_media(record)

    async def digest_agrees(self) -> bool:
        """[source] Whether the peer's copy is the same as mine, at the journal's head now.

        Waits for a peer that still catches up. False also when the link ends meanwhile.
        """
        exchange = self.exchange
        if exchange is None or self._current is None:
            return False
        first, answer = self._answers.await_comparison()
        if first:
            exchange.source.compare_digests()
            self._current.flush()
        return await answer

    def repair(self) -> None:
        """[source] The peer's copy is wrong: have it make a whole new one."""
        self._distrusted = True
        if self._current is not None:
            self._current.goodbye("repair", "the copies differ")

    async def promise(self, epoch: int) -> float | None:
        """Ask the peer for a promise; when the request that it granted was sent."""
        exchange = self.exchange
        if exchange is None or self._current is None:
            return None
        request_id, answer = self._answers.await_promise()
        sent_at = now()
        exchange.say(PromiseRequest(request_id, epoch))
        self._current.flush()
        try:
            async with asyncio.timeout(self._silence):
                return sent_at if await answer else None
        except TimeoutError:
            return None

    def switchover(
        self,
        kind: str,
        *,
        switch_id: str = "",
        final_seq: int = 0,
        deadline_seconds: float = 0.0,
        epoch: int = 0,
    ) -> None:
        """kind: "prepare", "ready", "abort" or "done"."""
        self._say(Switchover(kind, switch_id, final_seq, float(deadline_seconds), epoch))

    def fence(self, epoch: int, holder: str) -> None:
        """Tell the peer that there is a higher epoch than its own."""
        self._say(Fence(epoch, holder))

    def name_nonce(self, nonce: str, *, stale: bool) -> None:
        """Tell the peer what this node has just put into the store, and whether it sees late
        what the peer puts there."""
        exchange = self.exchange
        if exchange is not None and exchange.link.knows(StoreNonce):
            self._say(StoreNonce(nonce, stale))

    # Inside

    def _say(self, record: Switchover | Fence | StoreNonce) -> None:
        if self._current is not None and self._current.exchange is not None:
            self._current.exchange.say(record)
            self._current.flush()

    def _new_link(self, secrets_: Sequence[bytes], *, dials: bool) -> ReplicationLink:
        nonce = secrets.token_bytes(NONCE_BYTES)
        link = Link(self._me, secrets_, dials=dials, nonce=nonce, protocols=self._protocols)
        return ReplicationLink(
            link,
            deadline=self._deadline,
            snapshot_rate=self._snapshot_rate,
            opened=self._opened,
            begin=self._begin,
            lost=self._lost,
        )

    def _opened(self, link: ReplicationLink) -> None:
        self._links.add(link)
        if not link.dials:
            self._acceptor.arrived(link)

    def _begin(self, link: ReplicationLink) -> bool:
        """A link is established: it takes the place of the one before."""
        if link.dials:
            self._dialer.proved()
        else:
            self._acceptor.proved(link)
        if self._dials and not link.dials:
            return False
        self._reasons.clear()
        former = self._current
        if former is not None:
            former.end(LinkRefused(Reason.REPLACED, "a newer link took its place"))
            self._drop(former)
        hooks = replace(self.hooks, on_role=self._described, on_refused=self._refused)
        exchange = Exchange(
            link.link, self._state, self._role, hooks, silence=self._silence, now=now()
        )
        exchange.health = self._health
        exchange.distrusted = self._distrusted
        self._distrusted = False
        exchange.on_promise = self._answers.promised
        exchange.source.on_compared = self._answers.compared
        self._current = link
        link.exchange = exchange
        if self._backlog_timer is not None:
            self._backlog_timer.cancel()
        return True

    def _described(self, peer: PeerStatus) -> None:
        """The peer told its role: until it did, nothing that was known of it counts."""
        if self.peer is not peer:
            self.peer = peer
            self._log.info("link_up", peer=peer.node_id, boot=peer.boot_id)
            self.hooks.on_link(True)
        self.hooks.on_role(peer)

    def _lost(self, link: ReplicationLink, error: Exception | None) -> None:
        self._links.discard(link)
        # A stranger's words may be in it.
        reason = str(error)[:_TEXT_MAX] if error is not None else "the other side closed it"
        named = reason_of(error)
        if link.dials:
            self._dialer.ended(named)
        else:
            self._acceptor.ended(link, named)
        if named is not None:
            self._refusals.add(named, reason, link.address)
        if named is Reason.SAME_NODE and link.dials not in self.same_id:
            self.same_id.add(link.dials)
            self._log.error("same_node_id", text=reason)
            self.hooks.on_same_id(link.dials)
        if link is self._current:
            self._drop(link)
            self._log.warning("link_lost", reason=reason)
        else:
            self._note_failure(reason)

    def _drop(self, link: ReplicationLink) -> None:
        """The link in use has ended."""
        was_connected = self.connected
        self._current = None
        self.links_lost += 1
        exchange = link.exchange
        if exchange is not None:
            exchange.close()
            self._full_copies += exchange.source.full_copies + exchange.sink.full_copies
            self._partial_copies += exchange.source.partial_copies + exchange.sink.partial_copies
            self._replays_left_out += exchange.replays.left_out
        self._answers.link_lost()
        loop = asyncio.get_running_loop()
        self._backlog_timer = loop.call_later(BACKLOG_SECONDS, self._state.journal.drop_backlog)
        if was_connected:
            self.hooks.on_link(False)

    def _refused(self, reason: Reason, text: str) -> None:
        """Something that the peer said on the link counts for nothing."""
        self._refusals.add(reason, text, self.peer.node_id if self.peer is not None else "")

    def _turned_away(self, reason: Reason, text: str, address: str) -> None:
        """A connection that never became a link."""
        self._refusals.add(reason, text, address)
        self._note_failure(text)

    def _note_failure(self, reason: str) -> None:
        """Log why there is no link, once per reason: the dialer tries five times a second."""
        known = reason in self._reasons or len(self._reasons) >= _REASONS_MAX
        if not known and self._current is None:
            self._reasons.add(reason)
            self._log.warning("no_link", reason=reason)
