"""The course of things from one happening until everything that follows at once has followed:
messages are delivered, compare-and-sets answered, urgent reads made. What takes time instead is
a fault, and is another happening.

The invariants are looked at after each step of a node on the way.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final, NamedTuple

from rtmp_sync.cluster.record import Record
from rtmp_sync.cluster.view import CasResult, Outcome
from tests.model.frozen import seen
from tests.model.life import EMPTY, NOW, Copy, End, Event, Facts, Lives, PeerFacts, Scene, Step
from tests.model.state import NODES, Host, Message, Pair, SlowCas, SlowRead, other
from tests.model.store import Store
from tests.model.tokens import Boot, Instant, Seq

__all__ = ["Course", "Violation"]

RESTLESS: Final = 400  # steps that follow from one happening; more would never end
# When a read begins that followed from something: after that, and within the tick.
LATER: Final = Instant(0.5)
SILENT: Final = 2  # ticks without a message that end a link


class Violation(Exception):
    """An invariant does not hold: its name, and how."""

    def __init__(self, invariant: str, text: str) -> None:
        super().__init__(f"{invariant}: {text}")
        self.invariant, self.text = invariant, text
        self.recovery: tuple[tuple[str, ...], ...] = ()  # what happened meanwhile, if that


class SwitchRecord(NamedTuple):
    """As it travels (`switch_steps.SwitchStep`)."""

    step: str
    switch_id: str
    final_seq: int


class Course:
    """twist: (node, what becomes of the first compare-and-set that it sends). journal: whether
    the disk keeps what a process had."""

    def __init__(
        self,
        lives: Lives,
        store: Store,
        pair: Pair,
        *,
        journal: bool = False,
        twist: tuple[str, str] | None = None,
    ) -> None:
        self.lives, self.store, self._pair, self._journal = lives, store, pair, journal
        self.hosts = {"A": pair.a, "B": pair.b}
        self.queues = {"A": list(pair.to_a), "B": list(pair.to_b)}
        self.cuts = {"A": pair.cut_a, "B": pair.cut_b}
        self.record, self.beats = pair.record, pair.beats
        self.leases, self.key = pair.leases, pair.key
        self.served, self.write, self.forced = pair.served, pair.write, pair.forced
        self.apart_for = pair.apart_for
        self.tried: list[str] = []  # who sent a compare-and-set
        self.rows: list[tuple[str, str]] = []
        self._twist = twist
        self._jobs: deque[tuple[str, Event]] = deque()

    def change(self, node: str, **changes: Any) -> None:
        self.hosts[node] = self.hosts[node]._replace(**changes)

    def facts(self, node: str) -> Facts:
        return self.lives.facts(self.hosts[node].life)

    def settle(self) -> Pair:
        """Everything that follows, and the state after it."""
        for _ in range(RESTLESS):
            if not self._one_more():
                return self._result()
        raise Violation("restless", "the nodes keep each other busy for ever")

    def _result(self) -> Pair:
        return Pair(
            self.hosts["A"],
            self.hosts["B"],
            tuple(self.queues["A"]),
            tuple(self.queues["B"]),
            self.cuts["A"],
            self.cuts["B"],
            self.record,
            self.beats,
            self.leases,
            self.key,
            self.served,
            self.write,
            self.forced,
            self.apart_for,
        )

    def _one_more(self) -> bool:
        if self._jobs:
            self.tell(*self._jobs.popleft())
            return True
        for node in NODES:
            host = self.hosts[node]
            if not host.runs:
                continue
            if self.queues[node] and not self.cuts[node]:
                self._receive(node, self.queues[node].pop(0))
                return True
            if host.read is None and not host.leaving and self.facts(node).wants_read:
                self.tell(node, ("read", self.read(node, LATER)))
                return True
        return self._connect()

    # -- a step of a node ----------------------------------------------------------------

    def tell(self, node: str, event: Event) -> Step | None:
        host = self.hosts[node]
        if host.life < 0:
            return None
        scene = Scene(host.copy, host.gate, host.end, host.shut, host.stuck)
        step = self.lives.step(host.life, scene, event)
        held = host.held if step.held is None else step.held
        self.hosts[node] = host._replace(life=step.life, copy=step.copy, gate=step.gate, held=held)
        self.rows += [(node, row) for row in step.rows]
        for action in step.done:
            self._do(node, action)
        if step.opened:
            self._opened(node, step.opened)
        if self.hosts[node].life >= 0:
            self._acknowledge(node, step)
            self._announce(node)
        self._never_two()
        return step

    def _do(self, node: str, action: tuple[Any, ...]) -> None:
        host = self.hosts[node]
        match action:
            case ("cas", record):
                self._cas(node, record)
            case ("gate", epoch):
                self.change(node, said=(epoch, host.boot))
            case ("ask promise", epoch):
                self.change(node, end=host.end._replace(asked=(epoch, NOW)))
                if not self._send(node, "promise?", epoch, NOW):
                    self._answered_promise(node, None)
            case ("compare", question):
                number = 1 if host.end.question is None or host.end.question[1] == 2 else 2
                self.change(node, end=host.end._replace(question=(question, number)))
                if not self._send(node, "compare", number, host.copy):
                    self._compared(node, number, False)
            case ("switch", step, switch_id, final_seq):
                epoch = self.facts(node).role.epoch
                self._send(node, "switch", SwitchRecord(step, switch_id, Seq(final_seq)), epoch)
            case ("repair",):
                self._send(node, "repair")
            case ("left",):
                self.dies(node, release=False)
            case _:  # the answer to a request for a promise: its asker gets it
                pass

    def _acknowledge(self, node: str, step: Step) -> None:
        """To the client that wrote, if the node may."""
        if self.write != "applied" or not self.serves(node) or not self.hosts[node].copy.write:
            return
        if not self.facts(node).require_peer:
            self.write = "alone"
        elif self.hosts[node].end.acked_write and step.counts:
            self.write = "acked"

    # -- invariants ----------------------------------------------------------------------

    def serves(self, node: str) -> bool:
        """Would apply a client's write now."""
        host = self.hosts[node]
        return host.runs and host.gate == "open" and self.facts(node).authority[1] > 0

    def _never_two(self) -> None:
        if self.serves("A") and self.serves("B"):
            epochs = " and ".join(str(self.facts(node).authority[0]) for node in NODES)
            raise Violation("I1", f"both serve, in epochs {epochs}")

    def _opened(self, node: str, epoch: int) -> None:
        if epoch <= self.served:
            raise Violation("I1", f"{node} opens epoch {epoch}, after epoch {self.served}")
        self.served = epoch
        peer = self.hosts[other(node)]
        there = peer.copy.write and (peer.life >= 0 or self._journal)
        if self.write == "acked" and not self.hosts[node].copy.write and there:
            if not self.forced:
                raise Violation("I5", f"{node} opens without a write that was acknowledged")
            self.write = "gone"

    def landed(self, record: Record) -> None:
        """A record is in the store."""
        former, self.record = self.record, seen(record)
        if record.released:
            self._is_closed(record.holder, record.boot_id, "released")
        elif former is not None and record.reason == "switchover" and record.epoch > former.epoch:
            self._is_closed(former.holder, former.boot_id, "handed over")

    def _is_closed(self, node: str, boot_id: str, what: str) -> None:
        host = self.hosts[node]
        if host.life >= 0 and host.boot == boot_id and host.gate != "closed":
            raise Violation("I7", f"{boot_id} is {what}, and its gate is {host.gate}")

    # -- the store -----------------------------------------------------------------------

    def read(self, node: str, started: Instant) -> tuple[Any, bool]:
        """At once."""
        host = self.hosts[node]
        if not host.reach:
            return None, True
        read = SlowRead(started, 0, self.facts(node).beats)
        for _ in range(self.store.stages):
            read = self.store.advance(self, node, read)
        return self.store.sighting(self, node, read), True

    def _cas(self, node: str, record: Record) -> None:
        self.tried.append(node)
        twist = ""
        if self._twist is not None and self._twist[0] == node:
            twist, self._twist = self._twist[1], None
        outcome = Outcome.UNKNOWN
        if twist in ("refused", "lost on the way", "late", "slow", "frozen before"):
            if twist == "refused":
                outcome = Outcome.REFUSED
            elif twist == "late":
                self._into_limbo(node, "cas", record)
            elif twist in ("slow", "frozen before"):
                self.change(node, cas=SlowCas(record, NOW))
        elif self.hosts[node].reach:
            outcome = self.store.cas(self, node, record)
        if twist == "unknown":
            outcome = Outcome.UNKNOWN
        if twist == "frozen after":
            self.change(node, cas=SlowCas(record, NOW, outcome.value, self.record))
        if twist.startswith("frozen"):
            self.freezes(node, "host")
        if twist == "crash after":
            self.dies(node)
        elif twist not in ("slow", "frozen before", "frozen after"):
            self.tried_cas(node, record, outcome, self.record)

    def tried_cas(self, node: str, record: Record, outcome: Outcome, there: Record | None) -> None:
        """The process hears what came of its attempt."""
        highest = there if outcome in (Outcome.LANDED, Outcome.LOST) else None
        self._jobs.append((node, ("tried", CasResult(record.nonce, outcome, NOW), highest)))

    def _into_limbo(self, node: str, kind: str, what: Any) -> None:
        self.change(node, limbo=(*self.hosts[node].limbo, (kind, what)))

    # -- life and death ------------------------------------------------------------------

    def starts(self, node: str) -> None:
        host = self.hosts[node]
        boot = Boot(node, host.boot.number + 1)
        self.hosts[node] = Host(
            life=self.lives.born(boot),
            boot=boot,
            copy=host.copy,
            limbo=host.limbo,
            reach=host.reach,
            sick=host.sick,
            shut=host.shut,
            stuck=host.stuck,
            ran=True,
        )
        self.tell(node, ("read", self.read(node, NOW)))

    def dies(self, node: str, *, release: bool = True, disk: bool = True) -> None:
        """release: by a guard that outlives it."""
        host = self.hosts[node]
        self.queues[node].clear()
        if host.end.connected:
            self.queues[other(node)].append(("eof",))
        limbo = list(host.limbo)
        if host.cas is not None and not host.cas.outcome:
            limbo.append(("cas", host.cas.record))
        copy = host.copy if self._journal and disk else EMPTY
        self.hosts[node] = Host(
            boot=host.boot,
            copy=copy,
            limbo=tuple(limbo),
            reach=host.reach,
            shut=host.shut,
            owed=host.said if release and host.guard else None,
        )

    def freezes(self, node: str, what: str) -> None:
        self.change(node, frozen=what, frozen_for=0)

    # -- the link ------------------------------------------------------------------------

    def _send(self, node: str, *message: Any) -> bool:
        if not self.hosts[node].end.connected:
            return False
        self.queues[other(node)].append(message)
        return True

    def _connect(self) -> bool:
        a, b = self.hosts["A"], self.hosts["B"]
        if not (a.runs and b.runs) or any(self.cuts.values()):
            return False
        if a.end.connected or b.end.connected or a.leaving or b.leaving:
            return False
        for node in NODES:
            boot = self.hosts[other(node)].boot
            peer = PeerFacts(boot, 0, False, False, "", (0, 0), None)
            self.change(node, end=End(connected=True, peer=peer), silent=0)
            self.queues[node].clear()
        for node in NODES:
            self.tell(node, ("link", True))
        return True

    def disconnects(self, node: str) -> None:
        """This end is gone."""
        end = self.hosts[node].end
        if not end.connected:
            return
        self.change(node, end=End(peer=end.peer), silent=0)
        if end.asked is not None:
            self._jobs.append((node, ("promised", end.asked[0], None)))
        if end.question is not None:
            self._jobs.append((node, ("compared", end.question[0], False)))
        self.tell(node, ("link", False))

    def hangs_up(self, node: str) -> None:
        """It heard nothing for too long."""
        self._send(node, "eof")
        self.disconnects(node)

    def says_heartbeat(self, node: str) -> None:
        host = self.hosts[node]
        if host.life >= 0:
            is_open = host.gate == "open"
            self._send(node, "heartbeat", is_open, host.copy.position, self.facts(node).role.epoch)

    def _announce(self, node: str) -> None:
        """Role, data and the wish for data, as far as they are news to the peer."""
        host, facts = self.hosts[node], self.facts(node)
        end, role = host.end, facts.role
        if not end.connected:
            return
        said = (role.epoch, role.holder, role.gate_open, role.serving, role.state)
        if end.said != said:
            self._send(node, "role", *said, host.copy.position)
            end = end._replace(said=said)
        if role.serving:
            end = end._replace(following=False, requested=0)
            if end.sent is not None and end.sent != host.copy:
                self._send(node, "data", role.epoch, host.copy)
                end = end._replace(sent=host.copy)
        else:
            end = end._replace(sent=None, peer_caught_up=False, acked=0, acked_write=False)
            peer = end.peer
            serves = peer is not None and peer.serving and peer.epoch >= role.epoch
            if peer is not None and serves and end.requested != peer.epoch:
                self._send(node, "request")
                end = end._replace(requested=peer.epoch, following=False)
        if end is not self.hosts[node].end:
            self.change(node, end=end)

    def _receive(self, node: str, message: Message) -> None:
        self.change(node, silent=0)
        if not self.hosts[node].end.connected and message[0] != "eof":
            return  # of a link that this end gave up
        match message:
            case ("eof",):
                self.disconnects(node)
            case ("role", epoch, _, is_open, serving, state, position):
                self._hear_role(node, epoch, is_open, serving, state, position)
            case ("heartbeat", is_open, position, epoch):
                self._hear(node, gate_open=is_open, position=position, heartbeat_at=NOW)
                if is_open:
                    self._fence(node, epoch)
            case ("request",):
                self._feed(node)
            case ("data", epoch, copy):
                self._follow(node, epoch, copy)
            case ("ack", seq, write):
                self._hear_ack(node, seq, write)
            case ("promise?", epoch, asked_at):
                self._asked_promise(node, epoch, asked_at)
            case ("promise", given, asked_at):
                self._answered_promise(node, asked_at if given else None)
            case ("fence", epoch):
                if epoch > self.facts(node).role.epoch:
                    self.tell(node, ("fenced", epoch))
            case ("switch", step, epoch):
                if step.step == "done" or not self._fence(node, epoch):
                    self.tell(node, ("switch", step))
            case ("compare", number, copy):
                self._send(node, "compared", number, copy == self.hosts[node].copy)
            case ("compared", number, agrees):
                self._compared(node, number, agrees)
            case ("repair",):
                end = self.hosts[node].end
                self.change(node, end=end._replace(following=False))
                self._send(node, "request")

    def _hear(self, node: str, **news: Any) -> None:
        end = self.hosts[node].end
        assert end.peer is not None
        self.change(node, end=end._replace(peer=end.peer._replace(**news)))

    def _hear_role(
        self,
        node: str,
        epoch: int,
        is_open: bool,
        serving: bool,
        state: str,
        position: tuple[int, int],
    ) -> None:
        end = self.hosts[node].end
        if serving and end.peer is not None and not end.peer.serving:
            self.change(node, end=end._replace(requested=0))  # it forgot what was asked
        self._hear(
            node,
            epoch=epoch,
            gate_open=is_open,
            serving=serving,
            state=state,
            position=position,
            heartbeat_at=NOW,
        )
        if serving or is_open:
            self._fence(node, epoch)
        self.tell(node, ("role",))

    def _fence(self, node: str, epoch: int) -> bool:
        """Whether it is an older one: its sender is told."""
        mine = self.facts(node).role.epoch
        if epoch >= mine:
            return False
        self._send(node, "fence", mine)
        return True

    def _feed(self, node: str) -> None:
        role, host = self.facts(node).role, self.hosts[node]
        if role.serving:
            self._send(node, "data", role.epoch, host.copy)
            self.change(node, end=host.end._replace(sent=host.copy))

    def _follow(self, node: str, epoch: int, copy: Copy) -> None:
        host, role = self.hosts[node], self.facts(node).role
        if role.serving or epoch < role.epoch or not host.end.requested:
            self._fence(node, epoch)
            return
        confirmed = role.epoch == epoch and role.holder == other(node)
        if copy.position < host.copy.position and not confirmed:
            return  # refused_regressing_snapshot
        self.change(node, copy=copy, end=host.end._replace(following=True))
        self._send(node, "ack", copy.seq, copy.write)
        self.tell(node, ("role",))

    def _hear_ack(self, node: str, seq: int, write: bool) -> None:
        host = self.hosts[node]
        if not self.facts(node).role.serving:
            return
        caught_up = host.end.peer_caught_up or seq >= host.copy.seq
        end = host.end._replace(acked=Seq(seq), acked_write=write, peer_caught_up=caught_up)
        self.change(node, end=end)
        self.tell(node, ("acked", seq))

    def _asked_promise(self, node: str, epoch: int, asked_at: Any) -> None:
        given = False
        if not self._fence(node, epoch):
            step = self.tell(node, ("promise?", epoch))
            given = step is not None and ("answer promise", True) in step.done
        self._send(node, "promise", given, asked_at)

    def _answered_promise(self, node: str, asked_at: Any) -> None:
        end = self.hosts[node].end
        if end.asked is None:
            return
        if asked_at is None:  # it would ask again at once: the link takes its time
            self.change(node, end=end._replace(asked=None), refused=end.asked[0])
        else:
            self.change(node, end=end._replace(asked=None))
            self._jobs.append((node, ("promised", end.asked[0], asked_at)))

    def _compared(self, node: str, number: int, agrees: bool) -> None:
        end = self.hosts[node].end
        if end.question is not None and end.question[1] == number:
            self.change(node, end=end._replace(question=None))
            self._jobs.append((node, ("compared", end.question[0], agrees)))
