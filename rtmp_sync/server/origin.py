"""One origin: everything that runs in one serving process, put together.

    state directory ─► state + journal file ─┐
    applications ─► instances ─► sessions ────┴─► turn (authority, commit point)
    coordinator ─► watchdog ─► promote, open_gate, close_gate, demote ─► gate
    replication (a pair only)  admin and health listeners

The watchdog decides; this does. `server/effects.py` says what it counts on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable

import structlog

from rtmp_sync.admin.server import AdminServer
from rtmp_sync.cluster.actions import Happened
from rtmp_sync.cluster.restraint import Restraint
from rtmp_sync.config import Address, Config
from rtmp_sync.config_public_tls import public_tls
from rtmp_sync.coordinators import make_coordinator
from rtmp_sync.errors import ConfigError
from rtmp_sync.firewalls import make_gate
from rtmp_sync.firewalls.base import Gate
from rtmp_sync.firewalls.listener import ListenerGate, PublicPort
from rtmp_sync.plugins import load_applications
from rtmp_sync.server.authority import Authority
from rtmp_sync.server.blocked_loop import BlockedLoop
from rtmp_sync.server.certificates import Certificates
from rtmp_sync.server.clock import now
from rtmp_sync.server.commit import CommitPoint
from rtmp_sync.server.departure import Departure
from rtmp_sync.server.guard_pipe import FORMER_LIFE
from rtmp_sync.server.history import History
from rtmp_sync.server.http_delivery import HttpDelivery
from rtmp_sync.server.instances import Instances
from rtmp_sync.server.load_balancer import LoadBalancerChecks
from rtmp_sync.server.loop_lag import LoopLag
from rtmp_sync.server.overseer import Overseer, overseer_of
from rtmp_sync.server.own_health import MAX_LOOP_LAG_SECONDS, OwnHealth, SelfTest
from rtmp_sync.server.pair_link import PairLink
from rtmp_sync.server.persistence import Persistence
from rtmp_sync.server.ports import taken_ports
from rtmp_sync.server.probes import PeerProbes
from rtmp_sync.server.recordings import Recordings
from rtmp_sync.server.replication import Replication
from rtmp_sync.server.rtmp_probe import RtmpProbe
from rtmp_sync.server.sessions import Sessions
from rtmp_sync.server.tasks import RUNNERS, Tasks
from rtmp_sync.server.turn import Turn
from rtmp_sync.server.watchdog import Watchdog
from rtmp_sync.state.calls import OpenCall
from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.wire.proxy_protocol import LOCAL_HEADER

__all__ = ["Origin"]

HOUSEKEEPING_SECONDS = 5.0
LAST_WORDS_SECONDS = 3.0  # for what applications have running; the guard gives a stop 10 s
MAX_TOLD_CALLS = 100  # of the 1,000 events that a node's history keeps


class Origin:
    """`start`, then `stop`; or `run`, which on SIGTERM gives its clients time to leave. Both raise
    ConfigError. Its other attributes are its parts, and no promise.

    Source: the origin server of FMS and of the article, in its pair.
    """

    instances: Instances
    sessions: Sessions
    http: HttpDelivery | None
    gate: Gate
    history: History
    watchdog: Watchdog
    admin: AdminServer
    overseer: Overseer
    _listener: ListenerGate
    _health: OwnHealth
    certificates: Certificates | None

    def __init__(self, config: Config) -> None:
        self.config = config
        self.node_id = config.node.id
        self.state = ReplicatedState()
        self.authority = Authority()
        self.commit = CommitPoint(require_disk=config.storage.disk != "off")
        self.turn = Turn(
            self.state, self.authority, self.commit, media_flush_ms=config.rtmp.media_flush_ms
        )
        self.tasks = Tasks()
        self.loop_lag = LoopLag()
        peers = (config.replication.peer, config.failover.peer_admin)
        self.load_balancer = LoadBalancerChecks(peer.host for peer in peers if peer is not None)
        self.persistence = Persistence(config, self.state, self.commit)
        self.recordings = Recordings(config, epoch=lambda: self.authority.epoch)
        self._started_at = now()
        self._pair_link: PairLink | None = None
        self._housekeeping: asyncio.TimerHandle | None = None
        self._wrong: ConfigError | None = None
        self.departure = Departure(self)
        self._stop_asked = asyncio.Event()
        self._gate_tried = asyncio.Event()
        self._gate_error = ""
        self._restraint = Restraint()  # a gate that does not open is tried again all the time
        self._log = structlog.get_logger("rtmp_sync.origin").bind(node=self.node_id)

    @property
    def boot_id(self) -> str:
        """This life of the node; another one after each start."""
        return self.persistence.boot_id

    @property
    def replication(self) -> Replication | None:
        """The link to the other origin; None for a single one."""
        return self._pair_link.replication if self._pair_link is not None else None

    @property
    def rtmp_port(self) -> int:
        """Where clients connect: the system's choice when port 0 was asked for."""
        return self._listener.address[1]

    @property
    def http_port(self) -> int | None:
        """The same of browsers; None when they are not served."""
        return self._listener.beside[-1][1] if self.http is not None else None

    @property
    def rtmps_port(self) -> int | None:
        """The same of clients that use TLS."""
        return self._listener.beside[0][1] if self.certificates is not None else None

    @property
    def position(self) -> tuple[int, int]:
        """(epoch of the last Change, seq) of this node's copy."""
        return self.state.journal.position

    @property
    def tasks_left(self) -> int:
        """Of applications: what goes on running after `stop`."""
        return self.tasks.running + self.instances.replays.running

    # Life

    async def start(self) -> None:
        """Load applications and state; from then on the watchdog decides.

        A single origin serves when this returns.
        """
        config = self.config
        applications = load_applications(config.apps.directory)
        self.history = await self.persistence.start()
        self._tell_former_life()
        self.recordings.begin()
        self.instances = Instances(self.turn, self.tasks, config, applications, self.recordings)
        self.instances.slept = lambda: self.loop_lag.seconds > MAX_LOOP_LAG_SECONDS
        self.sessions = Sessions(self.turn, self.tasks, self.instances, self.load_balancer, config)
        self.http = self._http_delivery()
        self.certificates = self._rtmps_certificates()
        self._listener = ListenerGate(*config.rtmp.listen, self.sessions, self._beside())
        self.gate = make_gate(config, self._listener, self.history.record)
        self.turn.on_batch.append(self.persistence.write)
        self._health = OwnHealth(self.loop_lag, self.persistence, self._own_port())
        self.loop_lag.start()
        self.overseer = overseer_of()
        self.watchdog = Watchdog(
            self,
            make_coordinator(config, boot_id=self.boot_id, last_epoch=self.state.journal.epoch),
            boot_id=self.boot_id,
            started_at=self._started_at,
            timing=config.timing(),
            policy=config.policy(),
            overseer=self.overseer,
            probes=PeerProbes(config),
        )
        self.admin = AdminServer(self)
        await self.admin.start()
        await self.gate.start()
        await self.watchdog.start()
        self._keep_house()
        if config.coordinator == "none":
            await self._gate_tried.wait()
            if not self.authority.gate_open:
                await self.stop()
                raise self._not_opened()
        self.overseer.started()

    async def stop(self) -> None:
        """Close the gate, give the service up, and end everything that runs, at once."""
        self.authority.end()
        await self.watchdog.stop()
        await self.gate.stop()
        self.sessions.stop()
        if self.certificates is not None:
            self.certificates.stop()
        if self.http is not None:
            self.http.stop()
        self._let_go()
        if not await self.tasks.idle(LAST_WORDS_SECONDS):
            self._log.error("tasks_left", count=self.tasks_left)
        if self._pair_link is not None:
            await self._pair_link.stop()
        await self.sessions.close_access_log()
        await self.instances.hooks.close()
        await self.admin.stop()
        self.loop_lag.stop()
        if self._housekeeping is not None:
            self._housekeeping.cancel()
        # At once: a NAS that hangs keeps no journal from being written.
        await asyncio.gather(self.recordings.stop(), self.persistence.stop())
        self.persistence.close()

    async def run(self) -> None:
        """Serve until SIGTERM, SIGINT or `request_stop`."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(NotImplementedError):  # Windows has no signals for loops
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self.request_stop)
        blocked = BlockedLoop(self.tasks.steps, RUNNERS, self.config.timing().guard_deadline / 2)
        blocked.start()
        try:
            await self.start()
            await self._stop_asked.wait()
            await self.departure.run()
            await self.stop()
            self._log.info("stopped")
        finally:
            blocked.stop()
        if self._wrong is not None:
            raise self._wrong

    def request_stop(self) -> None:
        """End `run`, in an orderly way; asked again, without waiting for anybody."""
        if self._stop_asked.is_set():
            self.departure.hurry()
        self._stop_asked.set()

    def found_wrong(self, error: ConfigError) -> None:
        """The configuration turned out to be wrong while running: end `run` with it."""
        self._wrong = error
        self._stop_asked.set()

    async def committed(self) -> None:
        """Return when everything done so far may be shown to clients."""
        await self.turn.committed()

    # What the watchdog has done

    async def nodes_known(self, nodes: tuple[str, str]) -> None:
        """The pair's names, in slot order: the link to the other one can be made."""
        if self.config.is_pair and self._pair_link is None:
            self._pair_link = PairLink(self, nodes)
            await self._pair_link.start()

    async def open_gate(self, epoch: int) -> bool:
        """Let clients in, in this epoch; whether the gate was read back as open."""
        if self.authority.epoch != epoch or not self.turn.authorised:
            return False
        error = ""
        try:
            await self.gate.open(epoch)
        except OSError as refusal:
            error = str(refusal)
        is_open = await self.gate.verify() == "open"
        self.authority.gate_open = is_open
        if is_open:
            self.history.record("gate_opened", epoch=epoch)
        else:
            self._tell_now_and_then("gate_not_opened", epoch=epoch, error=error)
        self._gate_error = error
        self._gate_tried.set()
        return is_open

    async def close_gate(self) -> bool:
        """Let nobody in and everybody go, from this instant; whether the gate reads closed."""
        was_open = self.authority.gate_open
        self.authority.revoke()
        self.authority.gate_open = False
        self.cut_sessions("the gate was closed")
        await self.gate.close()
        is_closed = await self.gate.verify() == "closed"
        if was_open:
            self.history.record("gate_closed", epoch=self.authority.epoch, verified=is_closed)
        return is_closed

    def cut_sessions(self, reason: str) -> None:
        """End every client's connection now."""
        self.sessions.cut(reason)
        if self.http is not None:
            self.http.cut()

    def hold_writes(self, on: bool) -> int:
        """Read nothing of any client, so that no write is applied, or go on; the head."""
        self.sessions.hold(on)
        return self.state.journal.head

    def drain(self, on: bool) -> int | None:
        """Ask every client to leave and let nobody new in, or go on; how many are still here."""
        clients = self.sessions.drain(on or self.departure.under_way)
        return clients if on else None

    async def promote(self, epoch: int, history_id: str, *, lossy: bool) -> None:
        """The promotion point: from here on this copy is the pair's."""
        self._let_go()  # a node may be promoted again without having been demoted
        interrupted = self.state.open_calls()
        self.state.start_epoch(epoch, self.boot_id, history_id, lossy=lossy)
        self.turn.commit_journal()
        await self.persistence.written(self.state.journal.head)
        self._tell_now_and_then("promoted", epoch=epoch, seq=self.state.journal.head, lossy=lossy)
        self._tell_interrupted(interrupted)
        if self.turn.authorised:  # else the gate stays closed, and the watchdog tries again
            self.instances.promote()

    async def demote(self) -> None:
        """Serve no longer. What the pair never had is saved when the copies are compared."""
        self._let_go()

    def self_test(self) -> SelfTest:
        """How it is now, for monitors; what the watchdog counts is `check_self`."""
        return self._health.look()

    async def check_self(self, *, port_open: Callable[[], bool]) -> SelfTest:
        """One look at loop, disk and, while it should answer, the own public port."""
        return await self._health.check(port_open=port_open)

    def lb_checks_age(self, now: float) -> float | None:
        """Seconds since the load balancer looked at this origin, as if it looked every second;
        None: it does not, or has just begun."""
        return self.load_balancer.missed_for(now)

    def counts(self) -> dict[str, int]:
        """How much it serves."""
        viewers = len(self.http) if self.http is not None else 0
        return {"clients": len(self.sessions) + viewers, "instances": len(self.instances)}

    # Inside

    def _not_opened(self) -> ConfigError:
        driver = self.config.firewall.driver
        if driver in ("listener", "none"):
            if taken := taken_ports(self.config.public_by_key):
                return taken[0]
            fix = "cannot be listened on; free the port, or give another one"
            return ConfigError("rtmp.listen", str(self.config.rtmp.listen), fix)
        fix = f'does not open ({self._gate_error}); correct it, or use driver = "listener"'
        return ConfigError("firewall.driver", driver, fix)

    def _http_delivery(self) -> HttpDelivery | None:
        """Raises ConfigError."""
        listen = self.config.http.listen
        if listen is None:
            return None
        delivery = HttpDelivery(listen, self.sessions, self.config)
        delivery.start()
        return delivery

    def _rtmps_certificates(self) -> Certificates | None:
        """Raises ConfigError."""
        tls = public_tls(self.config.rtmp)
        if tls is None:
            return None
        certificates = Certificates(tls)
        certificates.start()
        return certificates

    def _beside(self) -> list[PublicPort]:
        """The ports that are open while the RTMP port is."""
        ports, rtmp = [], self.config.rtmp
        if self.certificates is not None and rtmp.tls_listen is not None:
            tls, failures = self.certificates.context, self.certificates.failures
            seconds = rtmp.handshake_timeout
            ports.append(PublicPort(*rtmp.tls_listen, self.sessions, tls, seconds, failures))
        return [*ports, self.http.port()] if self.http is not None else ports

    def _own_port(self) -> RtmpProbe:
        """Asks the public port as a client on this machine would."""
        host, proxies = self.config.rtmp.listen.dialable.host, self.sessions.proxies
        return RtmpProbe(
            lambda: Address(host, self.rtmp_port),
            self.config.timing().probe_deadline,
            own=self.sessions.own_probes,
            preamble=lambda near: LOCAL_HEADER if near in proxies else b"",
        )

    def _tell_now_and_then(self, event: str, **fields: object) -> None:
        if (told := self._restraint.admit(Happened(event, fields), now())) is not None:
            self.history.record(told.event, **told.fields)

    def _tell_former_life(self) -> None:
        """How the process before this one ended, which could not tell it itself."""
        event, _, detail = os.environ.get(FORMER_LIFE, "").partition(" ")
        if event:
            self.history.record(event, reason=detail)

    def _tell_interrupted(self, calls: list[OpenCall]) -> None:
        """The calls that ran when their origin ended; they are not run again."""
        for call in calls[:MAX_TOLD_CALLS]:
            scope, method, _ = call.begun
            # the whole key would let whoever reads this ask for the session's results
            session = call.session[:8]
            self.history.record(
                "call_interrupted", scope=scope, method=method, session=session, number=call.number
            )
        if len(calls) > MAX_TOLD_CALLS:
            self.history.record("calls_interrupted", count=len(calls))

    def _let_go(self) -> None:
        self.instances.demote()
        self.tasks.cancel()
        self.commit.reset(self.state.journal.head)

    def _keep_house(self) -> None:
        loop = asyncio.get_running_loop()
        self._housekeeping = loop.call_later(HOUSEKEEPING_SECONDS, self._keep_house)
        if self.turn.authorised:
            self.turn.writable().expire_sessions(now())
        else:
            self.instances.follow_code()
