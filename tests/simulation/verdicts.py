"""The invariants of failover.md section 3, looked at from outside, after every step that can
break one.

What is known here and to no node: which records landed, what every copy of every life of a
node holds, and what clients were shown. From these:

I1, I2  nobody accepts, answers or is granted authority while another one serves; an epoch is
        opened once
I3      nothing is applied from a sender of an older epoch than the record that was read
I5      a copy that opens holds everything that was shown to anybody, unless every copy that
        the record trusted is gone
        the record counts on the other node's copies only, never twice on the holder's
I7      a record that lets go of the service is written by a node whose gate is closed
I8      a message leaves only when every copy that the record in the store trusts holds
        everything up to the message's making
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rtmp_sync.cluster.record import Record
from rtmp_sync.cluster.view import SELF_TESTS
from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.wire.refusals import LinkLost, LinkRefused, Reason
from tests.simulation.outcome import Broken
from tests.simulation.service import CALLS, MARK, SCOPE, Message, Write

if TYPE_CHECKING:
    from tests.simulation.process import Process

__all__ = ["Verdicts"]

# Claims in which an operator, or a rule that he chose, takes a loss upon himself.
ACCEPTED_LOSS = ("forced", "forced_fenced", "cold_start_alone")

CANNOT_SERVE = ("gate_failed", *SELF_TESTS)  # the reasons of a record that lets go for that

# Why one end may refuse the other though both are right.
NO_FAULT = (Reason.NOT_WANTED, Reason.REPLACED, Reason.SILENCE, Reason.NOT_PROVEN)


class Verdicts:
    """mode: of replication. In `async` only one copy is trusted, and any takeover may lose."""

    def __init__(self, mode: str, stats: Counter[str]) -> None:
        self.mode = mode
        self.boots: dict[str, Process] = {}
        self.records: dict[int, Record] = {}
        self.record: Record | None = None
        self.opened_by: dict[int, str] = {}
        self.shown: dict[tuple[str, str], Write] = {}
        self.rotten = False  # something changed a copy behind everybody's back
        self._by_word: dict[int, str] = {}
        self._stats = stats
        self._values: dict[tuple[str, str, int], bytes | None] = {}

    # -- who serves --------------------------------------------------------------------

    def granted(self, process: Process) -> None:
        if process.serving:
            self._alone(process)

    def accepted(self, process: Process) -> None:
        """A client's write is about to be applied."""
        self._alone(process)

    def _alone(self, process: Process) -> None:
        for node in process.world.nodes.values():
            other = node.process
            if other is not None and other is not process and other.serving:
                raise Broken("I1", f"{process.boot_id} serves, and so does {other.boot_id}")

    def opened(
        self, process: Process, record: Record, *, temporary_dropped: bool, empty: bool
    ) -> None:
        """A gate was opened under this record. empty: with a copy that never was part of any
        epoch."""
        self._alone(process)
        if process.member.node.word is not None:
            self._by_word[record.epoch] = process.boot_id  # no epoch of the pair's yet
            return
        by = self.opened_by.setdefault(record.epoch, process.boot_id)
        if by != process.boot_id:
            raise Broken("I1", f"epoch {record.epoch} opened by {by} and {process.boot_id}")
        if record.epoch < max(self.opened_by):
            raise Broken("I3", f"{process.boot_id} opens epoch {record.epoch} after a later one")
        if temporary_dropped:
            self._forget(name for name in self.shown if name[0][0] != "P")
        self._lost(process, record, empty=empty)

    # -- the records -------------------------------------------------------------------

    def landed(self, record: Record) -> None:
        before = self.record
        self.records[record.rev] = self.record = record
        if record.epoch in self._by_word and record.epoch not in self.opened_by:
            self.opened_by[record.epoch] = self._by_word[record.epoch]
            self._lost(self.boots[record.boot_id], record, empty=False)
        if any(copy.node == record.holder for copy in record.sync):
            raise Broken("I5", f"{record.boot_id} holds, and counts itself as in sync with it")
        let_go = record.released and (before is None or not before.released)
        handed_over = before is not None and record.boot_id != before.boot_id
        if before is None or not (let_go or (handed_over and record.reason == "switchover")):
            return
        holder = self.boots.get(before.boot_id)
        if holder is None or not holder.alive or holder.member.node.word is not None:
            return  # by the word that the other one is off: nobody reads what landed late
        if holder.gate != "closed":
            raise Broken("I7", f"{record.reason} in the record, {before.boot_id} is not closed")

    # -- what clients are shown --------------------------------------------------------

    def leaves(self, process: Process, message: Message) -> None:
        self._alone(process)
        for copy in self._must_hold(process):
            self._holds(process, copy, message)
        if process.member.node.word is None:  # else it may be lost until the store has the word
            for write in message.writes:
                self._show(process, write)

    def _must_hold(self, process: Process) -> list[Process]:
        """The copies that a client may rely on, as the store has it."""
        record = self.record
        if record is None or self.mode == "async" or process.member.node.word is not None:
            return []
        trusted = {copy.boot_id for copy in record.sync}
        if self._claim(record.epoch).reason not in ACCEPTED_LOSS:
            trusted.add(record.boot_id)
        trusted.discard(process.boot_id)
        return [self.boots[boot_id] for boot_id in sorted(trusted)]

    def _holds(self, process: Process, copy: Process, message: Message) -> None:
        short = copy.state.journal.head < message.head
        missing = [write for write in message.writes if not _contains(copy.state, write)]
        if short or missing:
            raise Broken(
                "I8",
                f"{process.boot_id} tells a client {message.kind} {missing or message.writes} at"
                f" {message.head}; {copy.boot_id}, which counts, is at {copy.state.journal.head}",
            )

    def _show(self, process: Process, write: Write) -> None:
        obj = process.state.find(SCOPE, write.name[2:], write.name[0])
        # Below the floor a version tells a client nothing: it gets `clear` and every slot.
        if obj is None or write.version >= obj.floor:
            version = (write.name, write.key, write.version)
            value = self._values.setdefault(version, write.value)
            if value != write.value:
                raise Broken("version", f"{write} was {value!r} in that version before")
        place = (write.name, write.key)
        known = self.shown.get(place)
        if known is None or known.version < write.version:
            self.shown[place] = write

    # -- what is lost ------------------------------------------------------------------

    def _lost(self, process: Process, record: Record, *, empty: bool) -> None:
        missing = [write for write in self.shown.values() if not _contains(process.state, write)]
        if not missing:
            return
        claim = self._claim(record.epoch)
        claims = self._claims(claim)
        accepted = process.node.forced_copy or self.mode == "async"
        accepted = accepted or any(one.reason in ACCEPTED_LOSS for one in claims)
        # A node that let go because it cannot serve counts less than any copy but an empty. That
        # is decided by the claim, however many it then takes the same node to open.
        chosen = [
            self._before(one)
            for one in claims
            if one.reason == "cold_start" and one.holder == record.holder and not empty
        ]
        accepted = accepted or any(last and last.reason in CANNOT_SERVE for last in chosen)
        trusted, boots = self._trusted(claim)
        for write in missing:
            holding = [copy for copy in trusted if _contains(copy.state, write)]
            unfit = bool(chosen and holding) and all(copy.node.unfit for copy in holding)
            if not (accepted or unfit) and (holding or process.boot_id in boots):
                holders = ", ".join(copy.boot_id for copy in holding) or "it"
                raise Broken(
                    "lost",
                    f"{process.boot_id} opens epoch {record.epoch} ({claim.reason}) without"
                    f" {write}, which was shown and which {holders} held",
                )
            self._stats["excused"] += 1
        self._forget([(write.name, write.key) for write in missing])

    def _trusted(self, claim: Record) -> tuple[list[Process], set[str]]:
        """The living copies that the last record of an epoch that opened counted on, and the
        boots that it named; a node's later life stands for what its disk held."""
        boots: set[str] = set()
        base = self._before(self._claims(claim)[-1])
        if base is not None:
            boots.add(base.boot_id)
            boots.update(copy.boot_id for copy in base.sync)
        living = [self.boots[boot] for boot in sorted(boots) if self.boots[boot].alive]
        last = self._before(claim)
        served = last is not None and last.epoch in self.opened_by
        if claim.reason == "cold_start" or (claim.reason == "restarted_alone" and not served):
            names = {self.boots[boot].name for boot in boots}
            living += [copy for copy in self.boots.values() if copy.alive and copy.name in names]
        return living, boots

    def _claims(self, claim: Record) -> list[Record]:
        """This claim, and those before it that never opened."""
        claims, base = [claim], self._before(claim)
        while base is not None and base.epoch not in self.opened_by:
            claims.append(self._claim(base.epoch))
            base = self._before(claims[-1])
        return claims

    def _claim(self, epoch: int) -> Record:
        """The record in which an epoch began."""
        return next(record for record in self.records.values() if record.epoch == epoch)

    def _before(self, record: Record) -> Record | None:
        return self.records.get(record.rev - 1)

    def _forget(self, places: object) -> None:
        for place in list(places):  # type: ignore[call-overload]  # any iterable of keys
            del self.shown[place]

    # -- what is applied ---------------------------------------------------------------

    def applied(self, process: Process, epoch: int) -> None:
        """A standby applied something that its sender sent while it served in `epoch`."""
        if epoch < process.member.epoch:
            raise Broken(
                "I3",
                f"{process.boot_id}, which has read epoch {process.member.epoch}, applied what"
                f" was sent in epoch {epoch}",
            )
        for node in process.world.nodes.values():
            if node.process is not None and node.process is not process:
                self._same(process.state, node.process.state)

    def _same(self, one: ReplicatedState, other: ReplicatedState) -> None:
        """What stands at the same point of the same history is the same."""
        mine, theirs = one.journal, other.journal
        at_one_point = (mine.history_id, mine.head) == (theirs.history_id, theirs.head)
        if at_one_point and not self.rotten and one.digest() != other.digest():
            raise Broken("digest", f"the copies differ at {mine.position}")

    def refused(self, process: Process, error: Exception) -> None:
        """A node ended a link on which nothing was spoiled."""
        if isinstance(error, LinkLost) or self.rotten:
            return
        if not isinstance(error, LinkRefused) or error.reason not in NO_FAULT:
            raise Broken("link", f"{process.boot_id} refuses what was not spoiled: {error}")

    def tried(self, process: Process, nonce: str) -> None:
        """A node was told that its record landed."""
        if all(record.nonce != nonce for record in self.records.values()):
            raise Broken("register", f"{process.boot_id} was told so of {nonce}, which never did")

    # -- the end -----------------------------------------------------------------------

    def agree(self, copies: list[Process]) -> bool:
        return len({copy.state.digest() for copy in copies}) == 1

    def ended(self, copies: list[Process]) -> None:
        """Everything is repaired and quiet."""
        first = copies[0]
        for copy in copies:
            for write in self.shown.values():
                if not _contains(copy.state, write):
                    raise Broken("phantom", f"{write} was shown; {copy.boot_id} has it not")
            if copy.state.journal.position != first.state.journal.position:
                raise Broken("digest", f"{copy.boot_id} is at {copy.state.journal.position}")
            if copy.state.digest() != first.state.digest():
                raise Broken("digest", f"{copy.boot_id} and {first.boot_id} differ")
            if copy.state.recompute_digest() != copy.state.digest():
                raise Broken("digest", f"{copy.boot_id}: the running digest is wrong")
        calls = first.state.find(SCOPE, CALLS[2:], CALLS[0])
        for key, value in calls.slots.items() if calls is not None else ():
            if int(value.split()[0]) != 1:
                raise Broken("duplicate", f"call {key} ran {value.split()[0].decode()} times")


def _contains(state: ReplicatedState, write: Write) -> bool:
    """The copy has this write, or a later one of the same slot."""
    obj = state.find(SCOPE, write.name[2:], write.name[0])
    if obj is None:
        return False
    value = obj.slots.get(write.key)
    if value is None and obj.versions.get(MARK, -1) >= write.version:
        return True  # cleared since
    if value is None:
        gone_at = obj.tombstones.get(write.key, -1)
        return max(gone_at, obj.version if write.value is None else -1) >= write.version
    version = obj.versions[write.key]
    return version > write.version or (version == write.version and value == write.value)
