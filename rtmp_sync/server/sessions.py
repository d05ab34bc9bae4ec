"""All connections of an origin, and what they share."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Iterator
from itertools import count

import structlog

from rtmp_sync.config import Config
from rtmp_sync.protocol.connection import Connection, Role
from rtmp_sync.protocol.limits import ConnectionLimits
from rtmp_sync.server.access_log import AccessLog
from rtmp_sync.server.addresses import Addresses
from rtmp_sync.server.clock import now
from rtmp_sync.server.idle import IdleClients
from rtmp_sync.server.inflow import InflowRates
from rtmp_sync.server.instances import Instances
from rtmp_sync.server.load_balancer import LoadBalancerChecks
from rtmp_sync.server.networks import Networks
from rtmp_sync.server.rtmp_probe import OwnProbes
from rtmp_sync.server.session import Session
from rtmp_sync.server.tasks import Tasks
from rtmp_sync.server.traffic import Tally
from rtmp_sync.server.turn import Turn
from rtmp_sync.wire.limits import Limits

__all__ = ["Sessions"]


class Sessions:
    """Call it for a new connection's protocol, as `loop.create_server` does."""

    def __init__(
        self,
        turn: Turn,
        tasks: Tasks,
        instances: Instances,
        load_balancer: LoadBalancerChecks,
        config: Config,
    ) -> None:
        rtmp = config.rtmp
        self.turn = turn
        self.tasks = tasks
        self.instances = instances
        self.load_balancer = load_balancer
        self.proxies = Networks(rtmp.proxy_protocol_from)
        self.own_probes = OwnProbes()
        self.outbox_bytes = rtmp.outbox_bytes
        self.send_timeout = rtmp.send_timeout
        self.access = AccessLog(config.access_log)
        self.access.start()
        self.addresses = Addresses(rtmp.allow, rtmp.deny, rtmp.max_connections_per_address)
        self.inflow_rates = InflowRates(rtmp.max_byte_rate, rtmp.max_message_rate)
        self.loop = asyncio.get_running_loop()
        self.tally = Tally()
        self.refused: Counter[str] = Counter()  # connections, by why
        self.draining = False  # nobody new is let in
        self._limits = ConnectionLimits(
            max_message_bytes=rtmp.max_message_bytes,
            max_partial_bytes=rtmp.max_partial_bytes,
            max_chunk_streams=rtmp.max_chunk_streams,
            values=Limits(max_depth=rtmp.max_depth, max_values=rtmp.max_values),
            handshake_timeout=rtmp.handshake_timeout,
            message_timeout=rtmp.message_timeout,
            ping_interval=rtmp.ping_interval,
            ping_timeout=rtmp.ping_timeout,
        )
        self._chunk_size = rtmp.chunk_size
        self.window = rtmp.window
        self._max_connections = rtmp.max_connections
        self._ids = count(1)
        self._all: set[Session] = set()
        self._held_back: set[Session] = set()
        self._holding = False
        self._by_key: dict[tuple[str, bytes], Session] = {}
        self._idle = IdleClients(rtmp.idle_timeout, self._all)
        self._idle.start()
        self._log = structlog.get_logger("rtmp_sync.session")
        turn.on_relaxed = self._relaxed

    def __call__(self) -> Session:
        connection = Connection(
            Role.SERVER,
            now=now(),
            random_bytes=secrets.token_bytes,
            limits=self._limits,
            chunk_size=self._chunk_size,
            window=self.window,
        )
        return Session(self, connection, self._log.bind(connection=next(self._ids)))

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._all))

    def __len__(self) -> int:
        return len(self._all)

    def stop(self) -> None:
        """The gate is closed, nobody comes any more."""
        self._idle.stop()

    async def close_access_log(self) -> None:
        """When all have left."""
        await asyncio.to_thread(self.access.stop)

    @property
    def waiting_bytes(self) -> int:
        """What waits for all clients together, in this process."""
        return sum(session.outbox.size for session in self._all)

    def add(self, session: Session) -> bool:
        """A connection was made; False when there are too many."""
        if len(self._all) >= self._max_connections:
            self.refused["too_many"] += 1
            return False
        self._all.add(session)
        self.tally.connects += 1
        if self._holding:  # uvloop begins to read after connection_made, paused in it or not
            self.loop.call_soon(self._hold_newcomer, session)
        return True

    def enter(self, host: str) -> str:
        """A client comes from there: why it may not, or "" and it is counted until it has left
        `addresses`."""
        if reason := self.addresses.enter(host):
            kind = "denied" if self.addresses.refusal(host) else "per_address"
            self.refused[kind] += 1
            self.tally.rejected += 1
        return reason

    @property
    def lets_in(self) -> bool:
        """Whether somebody new may come in now."""
        return not self.draining and not self._holding

    def joined(self, session: Session) -> None:
        """A client was accepted; one that has come back ends its old connection."""
        if session.session_key is None:
            return
        key = (session.instance.scope, session.session_key)
        old = self._by_key.get(key)
        self._by_key[key] = session
        if old is not None:
            old.end("its client has connected again")

    def remove(self, session: Session) -> None:
        """A connection is gone."""
        if session in self._all:
            self._all.discard(session)
            self.tally.left(session.traffic)
        self._held_back.discard(session)
        if session.session_key is not None:
            key = (session.instance.scope, session.session_key)
            if self._by_key.get(key) is session:
                del self._by_key[key]

    def cut(self, reason: str) -> None:
        """End every connection now."""
        for session in list(self._all):
            session.end(reason)

    def part(self, reason: str) -> None:
        """End every connection when what was written to it has left."""
        for session in list(self._all):
            session.end(reason, clean=True)

    def drain(self, draining: bool) -> int | None:
        """Before a switchover or a stop: ask every client to leave and let nobody new in; or go
        on. How many clients are still here; None when they may stay."""
        begins, self.draining = draining and not self.draining, draining
        if not draining:
            return None
        clients = [one for one in self._all if one.joined and not one.closing]
        if begins:
            self._log.info("draining", clients=len(clients))
            for session in clients:
                session.link.ask_to_leave()
        return len(clients)

    def hold_back(self, session: Session) -> None:
        """Too much waits for acknowledgement: read nothing more of this client for now."""
        self._held_back.add(session)
        session.hold()

    def holds(self, session: Session) -> bool:
        """Whether nothing is to be read of this client now."""
        return self._holding or session in self._held_back

    def hold(self, holding: bool) -> None:
        """Read nothing of anybody (before a switchover), or go on."""
        self._holding = holding
        self._relaxed()  # what had congested us may have been acknowledged during the hold
        for session in self._all:
            if holding:
                session.hold()
            else:
                session.go_on()

    def _hold_newcomer(self, session: Session) -> None:
        if self._holding and not session.closing:
            session.hold()

    def _relaxed(self) -> None:
        if self._held_back and not self._holding and self.turn.commit.relaxed:
            held, self._held_back = self._held_back, set()
            for session in held:
                session.go_on()
