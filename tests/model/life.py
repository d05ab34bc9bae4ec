"""One node's process: the real `cluster.Member`, and around it what `server.watchdog` and
`performer` do with a turn, as far as it stays on this node.

    step(life, scene, event) -> Step

Pure, and remembered: the same node in the same surroundings, told the same, does the same.
The search meets each of these thousands of times.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from rtmp_sync.cluster import actions as do
from rtmp_sync.cluster.member import TURNS_AT_ONCE, Member
from rtmp_sync.cluster.peer_status import OwnHealth, OwnRole
from rtmp_sync.cluster.timing import Timing
from rtmp_sync.cluster.turn import Turn
from rtmp_sync.cluster.view import Identity, Policy, State
from tests.model.frozen import Frozen, Shape, attempt
from tests.model.tokens import Boot, Epoch, Instant, Nonce, Seq

__all__ = ["TIMING", "Copy", "End", "Event", "Facts", "Lives", "PeerFacts", "Scene", "Step"]

# One tick is one second, a probe interval and a heartbeat interval: the smallest numbers in which
# a renewal can be late by half before the authority ends.
TIMING: Final = Timing(
    probe_interval=1.0,
    probe_deadline=0.5,
    fall=1,
    rise=1,
    t_conf=3.0,
    margin=1.0,
    hb_interval=1.0,
    ttl=4.0,
    renew_interval=1.0,
    ack_timeout=1.0,
    guard_interval=1.0,
    guard_deadline=2.0,
)
NOW: Final = Instant(0.0)  # every value of a state is told from now
WELL: Final = OwnHealth()

Event = tuple[Any, ...]


class Copy(NamedTuple):
    """What a node has: (epoch of the last Change, seq), and whether the one client's write that
    is followed is in it."""

    epoch: int
    seq: int
    write: bool

    @property
    def position(self) -> tuple[int, int]:
        return self.epoch, self.seq


EMPTY: Final = Copy(0, 0, False)


class PeerFacts(NamedTuple):
    """What the other node last said of itself on the link (`surroundings.LinkPeer`)."""

    boot_id: str
    epoch: int
    gate_open: bool
    serving: bool
    state: str
    position: tuple[int, int]
    heartbeat_at: Instant | None

    @property
    def health(self) -> OwnHealth:
        return WELL


class End(NamedTuple):
    """One end of the link (`surroundings.LinkFacts`)."""

    connected: bool = False
    peer: PeerFacts | None = None
    acked: int = 0
    acked_write: bool = False
    peer_caught_up: bool = False
    following: bool = False  # [sink] the source's copy came in whole
    sent: Copy | None = None  # [source] what went out last
    said: tuple[Any, ...] | None = None  # the role that went out last
    requested: int = 0  # [sink] the epoch whose copy was asked for
    asked: tuple[int, Instant] | None = None  # a promise, and when
    question: tuple[int, int] | None = None  # a comparison: the member's number, the link's


class Scene(NamedTuple):
    """What a process finds on its node. shut: the gate will not open; stuck: it can't be read
    back as closed."""

    copy: Copy
    gate: str
    end: End
    shut: bool = False
    stuck: bool = False


class Facts(NamedTuple):
    """What shows of a process after a step."""

    state: State
    authority: tuple[int, float]
    role: OwnRole
    beats: bool
    wants_read: bool
    require_peer: bool


class Step(NamedTuple):
    """done: what is left for the world to do, in order: ("cas", record), ("ask promise", epoch)…;
    rows: of the table, that acted; opened: the epoch whose gate was opened; counts: whether
    what the peer acknowledges releases answers to clients."""

    life: int
    copy: Copy
    gate: str
    held: bool | None
    done: tuple[tuple[Any, ...], ...]
    rows: tuple[str, ...]
    opened: int
    counts: bool


@dataclass(slots=True)
class _Around:
    """`surroundings.Surroundings`."""

    copy: Copy
    end: End

    @property
    def replication(self) -> _Around:
        return self

    @property
    def position(self) -> tuple[int, int]:
        return self.copy.position

    @property
    def connected(self) -> bool:
        return self.end.connected

    @property
    def peer(self) -> PeerFacts | None:
        return self.end.peer

    @property
    def acked(self) -> int:
        return self.end.acked

    @property
    def oldest_unacked_at(self) -> None:
        """The member's own watch counts from when it first saw it."""
        return None

    @property
    def peer_caught_up(self) -> bool:
        return self.end.peer_caught_up

    @property
    def in_sync(self) -> bool:
        return self.end.following and not self.lag_changes

    @property
    def lag_changes(self) -> int:
        peer = self.end.peer
        heard = peer.position[1] if peer is not None else 0
        return max(0, heard - self.copy.seq)


class _Silent:
    """Where a member tells of itself: nobody listens, nothing is counted."""

    def __getattr__(self, _: str) -> Callable[..., None]:
        return _ignore


def _ignore(*_: object, **__: object) -> None:
    pass


class Lives:
    """All the processes that were met, each with a number."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.rows: set[str] = set()
        self._shape = Shape(self._member(Boot("A", 1)), _CAPS)
        self._frozen: list[Frozen] = []
        self._number: dict[Frozen, int] = {}
        self._facts: list[Facts] = []
        self._later: dict[int, int] = {}
        self._steps: dict[tuple[int, Scene, Event], Step] = {}

    def __len__(self) -> int:
        return len(self._frozen)

    def born(self, boot: Boot) -> int:
        member = self._member(boot)
        return self._keep(member)

    def frozen(self, life: int) -> Frozen:
        return self._frozen[life]

    def facts(self, life: int) -> Facts:
        return self._facts[life]

    def later(self, life: int) -> int:
        """The same process a tick later."""
        if life < 0:
            return life
        known = self._later.get(life)
        if known is None:
            known = self._later[life] = self.keep(self._shape.aged(self._frozen[life], 1.0))
        return known

    def step(self, life: int, scene: Scene, event: Event) -> Step:
        key = (life, scene, event)
        known = self._steps.get(key)
        if known is None:
            known = self._steps[key] = self._step(life, scene, event)
        return known

    def keep(self, frozen: Frozen) -> int:
        number = self._number.get(frozen)
        if number is not None:
            return number
        number = self._number[frozen] = len(self._frozen)
        self._frozen.append(frozen)
        member = self._thaw(frozen, _Around(EMPTY, End()))
        self._facts.append(
            Facts(
                member.state,
                member.authority,
                member.announced,
                member.beats,
                member.wants_read,
                member.require_peer,
            )
        )
        return number

    def _keep(self, member: Member) -> int:
        """What was settled is forgotten, as no rule asks for it."""
        comparison, steps, node = member._comparison, member._steps, member.node
        if not comparison._asking:
            comparison._question = 0  # no answer is on its way
        if node.hold is None and comparison.agrees:
            comparison.agrees = None
        if node.drain is None:
            steps._mine, steps._ready, steps._aborted = ("", 0), None, ""
        if node.pending is None:
            member.observer.cas = None
        return self.keep(self._shape.freeze(member))

    def _member(self, boot: Boot) -> Member:
        member = Member(
            Identity(boot.node, boot, NOW),
            TIMING,
            self.policy,
            _Around(EMPTY, End()),
            nonce=lambda: "",
            wall=lambda: "",
            now=NOW,
        )
        for told in TOLD_TO:
            setattr(member, told, _Silent())
        return member

    def _thaw(self, frozen: Frozen, around: _Around) -> Member:
        member = self._shape.thaw(frozen)
        member._around = around
        return member

    def _step(self, life: int, scene: Scene, event: Event) -> Step:
        around = _Around(scene.copy, scene.end)
        member = self._thaw(self._frozen[life], around)
        run = _Run(member, around, scene)
        member._nonce = run.nonce
        run.told(event)
        self.rows.update(run.rows)
        return Step(
            self._keep(member),
            around.copy,
            run.gate,
            run.held,
            tuple(run.done),
            tuple(run.rows),
            run.opened,
            member.peer_counts,
        )


OPERATOR_SECONDS: Final = 3.0
# Counters that never go down, and what keeps a history readable.
TOLD_TO: Final = ("ledger", "_restraint")
# A member's counters, and above what it is all one to the rules: `fall` is 1, and a promise asks
# for less than two misses.
_CAPS: Final = {"_fails": 2, "answers": 1, "_self_test_fails": 1}


class _Run:
    """One event and the turns that it brings, as `server.watchdog` takes them."""

    def __init__(self, member: Member, around: _Around, scene: Scene) -> None:
        self.member, self.around, self.scene = member, around, scene
        self.gate = scene.gate
        self.held: bool | None = None
        self.done: list[tuple[Any, ...]] = []
        self.rows: list[str] = []
        self.opened = 0
        self._nonces = 0

    def nonce(self) -> str:
        """Never twice among those that are in use: what a boot tries on top of one revision is
        numbered, past what is still known of."""
        member = self.member
        boot = member.observer.identity.boot_id
        assert isinstance(boot, Boot)
        rev = member.record.rev if member.record is not None else 0
        taken = {
            nonce.attempt
            for nonce in self._known_nonces()
            if isinstance(nonce, Nonce) and nonce.boot == boot and nonce.rev == rev
        }
        count = next(n for n in range(1000) if n not in taken)
        return Nonce(boot, rev, count)

    def _known_nonces(self) -> list[str]:
        member, node = self.member, self.member.node
        known = [action[1].nonce for action in self.done if action[0] == "cas"]
        if node.pending is not None:
            known.append(node.pending.record.nonce)
        if member.observer.cas is not None:
            known.append(member.observer.cas.nonce)
        if node.drain is not None:
            known.append(node.drain.switch_id)
        known += [member._steps._mine[0], member._steps._aborted]
        return known

    def told(self, event: Event) -> None:
        member = self.member
        match event:
            case ("round", reading, answers, well):
                if reading is not None:
                    self._read(reading)
                self._withdraw()
                member.probed(dict(answers), begun=NOW, now=NOW)
                member.self_tested(well, "" if well else "loop_lag")
            case ("read", reading):
                self._read(reading)
            case ("tried", result, highest):
                member.tried(result, highest)
            case ("promise?", epoch):
                seconds = member.give_promise(epoch, NOW)
                self.done.append(("answer promise", seconds is not None))
                return
            case ("promised", epoch, asked_at):
                member.promised(epoch, asked_at)
            case ("compared", question, agrees):
                member.compared(question, agrees)
            case ("link", up):
                member.link_changed(up, NOW)
            case ("role",):
                pass
            case ("fenced", epoch):
                member.fenced(epoch)
            case ("switch", step):
                member.heard_step(step)
            case ("acked", seq):
                member.acked(seq)
            case ("ask", kind):
                member.ask(kind, "operator", NOW)
            case ("guard died",):
                member.guard_died()
            case ("nodes", nodes):
                member.nodes = nodes
            case ("leave",):
                self._leave()
                return
            case _:
                raise AssertionError(event)
        self._turns()

    def _withdraw(self) -> None:
        """An operator who gets no answer."""
        wish = self.member._wishes.current
        if wish is not None and wish.at <= NOW - OPERATOR_SECONDS:
            self.member.withdraw()

    def _read(self, reading: tuple[Any, ...]) -> None:
        """(sighting or None, whether it began just now)."""
        sighting, begins = reading
        if begins:
            self.member.read_began()
        if sighting is None:
            self.member.could_not_read()
        else:
            self.member.saw(sighting, NOW, nodes=("A", "B"))

    def _turns(self) -> None:
        member = self.member
        for _ in range(TURNS_AT_ONCE):
            former = member.node
            member.gate_is(self.gate)
            self._take(member.turn(NOW))
            if member.node == former:
                return

    def _leave(self) -> None:
        self._close()
        self.member.gate_is(self.gate)
        turn = self.member.leave(NOW)
        self._take(turn)
        if not turn.actions and self.member.node.pending is None:
            self.done.append(("left",))

    def _take(self, turn: Turn) -> None:
        if turn.row:
            self.rows.append(turn.row)
        for action in turn.actions:
            self._perform(action)
        self.member.gate_is(self.gate)

    def _perform(self, action: do.Action) -> None:
        member, done = self.member, self.done
        match action:
            case do.CloseGate():
                self._close()
            case do.Promote():
                self._promote(action)
            case do.Cas():
                done.append(("cas", attempt(action.record)))
            case do.AskPromise():
                done.append(("ask promise", action.epoch))
            case do.CompareDigests():
                done.append(("compare", action.question))
            case do.HoldWrites():
                self.held = action.on
            case do.Prepare():
                self.held = True
                head = self.around.copy.seq
                member.holding(action.switch_id, head)
                done.append(("switch", "prepare", action.switch_id, head))
            case do.Switchover():
                done.append(("switch", action.kind, action.switch_id, action.final_seq))
            case do.Repair():
                done.append(("repair",))
            case do.Demote() | do.Answer() | do.Happened():
                pass

    def _close(self) -> None:
        """The listener and the sessions at once; a filter may stand in the way."""
        self.gate = "unknown" if self.scene.stuck and self.gate != "closed" else "closed"

    def _promote(self, action: do.Promote) -> None:
        epoch, member, copy = action.record.epoch, self.member, self.around.copy
        if not member.may_open(epoch, NOW):
            return
        self.around.copy = Copy(Epoch(epoch), Seq(copy.seq + 1), copy.write)
        self.done.append(("gate", epoch))
        if self.scene.shut:
            member.gate_failed(epoch)
            self._close()
        else:
            self.gate, self.opened = "open", epoch
