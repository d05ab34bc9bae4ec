"""What can happen next to a pair, and what each costs: 0 for what happens by itself and for
repairs, 1 for a fault or an operator's command.

A happening is a tuple of words: ("round", "A"), ("crash", "B"), …
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from rtmp_sync.cluster.record import Author
from rtmp_sync.cluster.view import Outcome, State
from tests.model.aging import aged
from tests.model.course import SILENT, Course
from tests.model.frozen import attempt
from tests.model.life import NOW, TIMING, Lives
from tests.model.state import NODES, Host, Pair, SlowRead, beginning, other
from tests.model.store import Store
from tests.model.tokens import Nonce, Seq

__all__ = ["Happening", "World"]

Happening = tuple[str, ...]

# What may become of a compare-and-set besides its landing or losing at once.
TWISTS: Final = (
    "unknown",  # it landed, and nobody says so
    "lost on the way",
    "late",  # given up, and may land yet
    "slow",
    "refused",
    "frozen before",
    "frozen after",
    "crash after",
)
GUARD_SECONDS: Final = int(TIMING.guard_deadline)
# How long a guard tries to release, and how long a clock that ran ahead is the last one to.
PATIENCE: Final = int(TIMING.t_conf)
SETTLED_TICKS: Final = 12  # longer than anybody remembers
APART_FOR: Final = int(TIMING.binding)


@dataclass(frozen=True)
class World:
    """A pair's surroundings: its store, what its disks keep, and what may go wrong."""

    lives: Lives
    store: Store
    journal: bool = False
    kinds: frozenset[str] | None = None  # of faults; None: all of them
    writes: bool = False

    def course(self, pair: Pair, twist: tuple[str, str] | None = None) -> Course:
        return Course(self.lives, self.store, pair, journal=self.journal, twist=twist)

    def settled(self) -> Pair:
        """A pair that was started and left alone: A serves, B is READY."""
        pair = beginning()
        for node in NODES:
            pair, _ = self.after(pair, ("start", node))
        for _ in range(SETTLED_TICKS):
            for happening in (("round", "A"), ("round", "B"), ("tick",)):
                pair, _ = self.after(pair, happening)
        return pair

    # -- what happens by itself ----------------------------------------------------------

    def by_itself(self, pair: Pair) -> Iterator[Happening]:
        """Without a fault. Time passes when everybody who runs has had a turn in this tick."""
        hosts = [(node, pair.host(node)) for node in NODES]
        may_pass = True
        for node, host in hosts:
            if host.runs and not host.ran:
                may_pass = False
                yield ("round", node)
            if host.owed is not None:
                may_pass &= not host.reach or bool(host.limbo)
                if host.reach and not host.limbo:
                    yield ("guard releases", node)
            if host.frozen == "origin" and host.guard and host.frozen_for >= GUARD_SECONDS:
                may_pass = False
                yield ("guard kills", node)
        if may_pass:
            yield ("tick",)

    def repairs(self, pair: Pair) -> Iterator[Happening]:
        """What can end at any time, and costs nothing either."""
        for node in NODES:
            host = pair.host(node)
            if host.life < 0 and host.owed is None:
                yield ("start", node)
            if host.frozen:
                yield ("thaw", node)
            if host.read is not None and (host.runs or host.read.stage == 0):
                yield ("read goes on", node)
            if host.cas is not None and (host.runs or not host.cas.outcome):
                yield ("cas goes on", node)
            for index in range(len(host.limbo)):
                yield ("lands late", node, str(index))
                yield ("is lost", node, str(index))
            if not host.reach:
                yield ("store is back", node)
            may_write = self.writes and pair.write == "no" and not host.held
            if may_write and self.course(pair).serves(node):
                yield ("write", node)
            for trouble in ("sick", "shut", "stuck"):
                if getattr(host, trouble):
                    yield ("mended", node, trouble)
        if pair.cut_a or pair.cut_b:
            yield ("link is back",)

    # -- faults --------------------------------------------------------------------------

    def troubles(self, pair: Pair) -> Iterator[Happening]:
        """One fault, or one command."""
        for happening in self._troubles(pair):
            if self.kinds is None or happening[0] in self.kinds:
                yield happening

    def _troubles(self, pair: Pair) -> Iterator[Happening]:
        for node in NODES:
            yield from self._troubles_of(pair, node)
        connected = pair.a.end.connected and pair.b.end.connected
        if connected:
            yield ("reset",)
        if not pair.cut_a and not pair.cut_b:
            yield ("cut", "A")
            yield ("cut", "B")
            yield ("cut", "both")
            for node in NODES:
                if pair.host(node).reach:
                    yield ("isolate", node)
        if pair.a.reach and pair.b.reach:
            yield ("store is away",)
        if not pair.apart_for:
            yield ("clock runs ahead", "A")
            yield ("clock runs ahead", "B")

    def _troubles_of(self, pair: Pair, node: str) -> Iterator[Happening]:
        host = pair.host(node)
        if host.reach:
            yield ("store is away", node)
        if host.life < 0:
            return
        yield ("crash", node)
        yield ("power", node)
        if not host.shut:
            yield ("shut", node)
        if not host.sick:
            yield ("sick", node)
        if not host.stuck:
            yield ("stuck", node)
        if host.frozen:
            return
        yield ("freeze", node)
        yield ("pause", node)
        facts = self.lives.facts(host.life)
        if host.read is None and host.reach:
            for stage in range(self.store.stages + 1):
                yield ("pause reading", node, str(stage))
            yield ("slow read", node)
        if host.guard:
            yield ("guard dies", node)
        if not host.leaving:
            yield ("stop", node)
        if facts.state is State.ACTIVE:
            yield ("ask", node, "switchover")
        elif host.gate == "closed":
            yield ("ask", node, "force")
        if pair.record is not None:
            yield ("ask", node, "resume" if pair.record.paused else "pause")

    def may_twist(self, twist: str) -> bool:
        return self.kinds is None or twist in self.kinds

    # -- one step ------------------------------------------------------------------------

    def after(
        self, pair: Pair, happening: Happening, twist: tuple[str, str] | None = None
    ) -> tuple[Pair, Course]:
        """Raises Violation."""
        course = self.course(pair, twist)
        if happening == ("tick",):
            return self._tick(pair), course
        self._happens(course, happening)
        return course.settle(), course

    def _happens(self, course: Course, happening: Happening) -> None:
        kind, node, detail = (*happening, "", "")[:3]
        host = course.hosts[node] if node in course.hosts else course.hosts["A"]
        match kind:
            case "round":
                self._round(course, node)
            case "start":
                course.starts(node)
            case "guard releases":
                self._guard_releases(course, node)
            case "guard kills" | "crash":
                course.dies(node)
            case "power":
                course.dies(node, release=False)
            case "freeze":
                course.freezes(node, "origin")
            case "pause":
                course.freezes(node, "host")
            case "pause reading":
                self._slow_read(course, node, int(detail))
                course.freezes(node, "host")
            case "slow read":
                self._slow_read(course, node, 0)
            case "thaw":
                self._thaw(course, node)
            case "read goes on":
                self._read_goes_on(course, node)
            case "cas goes on":
                self._cas_goes_on(course, node)
            case "lands late" | "is lost":
                self._out_of_limbo(course, node, int(detail), lands=kind == "lands late")
            case "store is away":
                for name in (node,) if node else NODES:
                    course.change(name, reach=False)
            case "store is back":
                course.change(node, reach=True)
            case "sick" | "shut" | "stuck":
                course.change(node, **{kind: True})
            case "mended":
                course.change(node, **{detail: False})
            case "reset":
                for name in NODES:
                    course.queues[name].clear()
                for name in NODES:
                    course.disconnects(name)
            case "cut":
                for name in NODES if node == "both" else (node,):
                    course.cuts[name] = True
            case "isolate":
                course.cuts.update(dict.fromkeys(NODES, True))
                course.change(node, reach=False)
            case "link is back":
                course.cuts.update(dict.fromkeys(NODES, False))
            case "guard dies":
                course.change(node, guard=False)
                course.tell(node, ("guard died",))
            case "stop":
                course.change(node, leaving=True)
                self._leaves(course, node)
            case "ask":
                course.forced |= detail == "force"
                course.tell(node, ("ask", detail))
            case "write":
                course.write = "applied"
                copy = host.copy
                course.change(node, copy=copy._replace(seq=Seq(copy.seq + 1), write=True))
                course.tell(node, ("role",))
            case "clock runs ahead":
                course.apart_for = APART_FOR
                course.hosts[node] = self._later(host, ticks=False)
            case _:
                raise AssertionError(happening)

    def _round(self, course: Course, node: str) -> None:
        host = course.hosts[node]
        course.change(node, ran=True)
        if host.leaving:
            self._leaves(course, node)
            return
        if host.end.connected and host.silent >= SILENT:
            course.hangs_up(node)
        if refused := course.hosts[node].refused:
            course.change(node, refused=0)
            course.tell(node, ("promised", refused, None))
        host, peer = course.hosts[node], course.hosts[other(node)]
        reading = course.read(node, NOW) if host.read is None else None
        answers = (
            ("admin", peer.runs and not any(course.cuts.values())),
            ("link", host.end.connected),
        )
        course.tell(node, ("round", reading, answers, not host.sick))
        course.says_heartbeat(node)

    def _leaves(self, course: Course, node: str) -> None:
        host = course.hosts[node]
        if host.reach and host.read is None:
            course.tell(node, ("read", course.read(node, NOW)))
        course.tell(node, ("leave",))

    def _guard_releases(self, course: Course, node: str) -> None:
        host, record = course.hosts[node], course.record
        assert host.owed is not None
        epoch, boot = host.owed
        course.change(node, owed=None, owed_for=0)
        if record is None or not record.held_by(node, boot):
            return
        if record.epoch != epoch or record.released:
            return
        author = Author(node, boot, Nonce(boot, record.rev, 9), "")
        released = attempt(record.let_go(author, record.seq, "process_exit"))
        self.store.cas(course, node, released, guard=True)

    # -- what takes its time -------------------------------------------------------------

    def _slow_read(self, course: Course, node: str, stage: int) -> None:
        read = SlowRead(NOW, 0, course.facts(node).beats)
        for _ in range(stage):
            read = self.store.advance(course, node, read)
        course.change(node, read=read)

    def _read_goes_on(self, course: Course, node: str) -> None:
        read = course.hosts[node].read
        assert read is not None
        if read.stage < self.store.stages:
            course.change(node, read=self.store.advance(course, node, read))
            return
        course.change(node, read=None)
        course.tell(node, ("read", (self.store.sighting(course, node, read), True)))

    def _cas_goes_on(self, course: Course, node: str) -> None:
        cas = course.hosts[node].cas
        assert cas is not None
        if not cas.outcome:
            outcome = self.store.cas(course, node, cas.record)
            course.change(node, cas=cas._replace(outcome=outcome.value, highest=course.record))
            return
        course.change(node, cas=None)
        course.tried_cas(node, cas.record, Outcome(cas.outcome), cas.highest)

    def _out_of_limbo(self, course: Course, node: str, index: int, *, lands: bool) -> None:
        limbo = list(course.hosts[node].limbo)
        kind, what = limbo.pop(index)
        course.change(node, limbo=tuple(limbo))
        if lands and kind == "cas":
            self.store.cas(course, node, what, guard=True)
        elif lands:
            self.store.late(course, node, what)

    def _thaw(self, course: Course, node: str) -> None:
        """It goes on; what timed out while it slept is noticed."""
        course.change(node, frozen="", frozen_for=0, ran=False)
        self._time_out(course, node)

    def _time_out(self, course: Course, node: str) -> None:
        host = course.hosts[node]
        if host.read is not None and host.read.started < -1.0 and host.read.stage < 3:
            course.change(node, read=None)
            course.tell(node, ("read", (None, False)))
        if host.cas is not None and host.cas.sent_at < -1.0 and not host.cas.outcome:
            course.change(node, cas=None, limbo=(*host.limbo, ("cas", host.cas.record)))
            course.tried_cas(node, host.cas.record, Outcome.UNKNOWN, None)

    # -- time ----------------------------------------------------------------------------

    def _tick(self, pair: Pair) -> Pair:
        pair = pair._replace(
            a=self._later(pair.a),
            b=self._later(pair.b),
            to_a=aged(pair.to_a, 1.0, {}) if pair.to_a else (),
            to_b=aged(pair.to_b, 1.0, {}) if pair.to_b else (),
            leases=aged(pair.leases, 1.0, {}) if pair.leases else (),
            apart_for=max(0, pair.apart_for - 1),
        )
        course = self.course(pair)
        self.store.tick(course)
        for node in NODES:
            host = course.hosts[node]
            if host.runs:
                self._time_out(course, node)
            if host.owed is not None and host.owed_for >= PATIENCE:
                course.change(node, owed=None, owed_for=0)
        if course.write == "applied" and not any(
            course.serves(node) and course.hosts[node].copy.write for node in NODES
        ):
            course.write = "gone"  # who wrote it never heard
        return course.settle()

    def _later(self, host: Host, *, ticks: bool = True) -> Host:
        later = self.lives.later(host.life)
        end = host.end
        if end.peer is not None or end.asked is not None:
            end = aged(end, 1.0, {})
        host = host._replace(life=later, end=end)
        if host.read is not None:
            host = host._replace(read=aged(host.read, 1.0, {}))
        if host.cas is not None:
            host = host._replace(cas=aged(host.cas, 1.0, {}))
        if host.lease is not None:
            host = host._replace(lease=aged(host.lease, 1.0, {}))
        if not ticks:
            return host
        return host._replace(
            ran=False,
            silent=min(host.silent + 1, SILENT) if host.end.connected else 0,
            frozen_for=min(host.frozen_for + 1, GUARD_SECONDS) if host.frozen else 0,
            owed_for=host.owed_for + 1 if host.owed is not None else 0,
        )
