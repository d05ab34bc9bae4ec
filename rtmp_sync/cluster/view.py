"""What a node knows at one instant, as values: the only things that decisions look at.

`View` is what was observed, `Node` what the node itself decided before; `failover.decide`
turns the two into the next `Node` and what is to be done. Times are CLOCK_BOOTTIME seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from math import inf

from rtmp_sync.cluster.record import Author, InSync, Record
from rtmp_sync.cluster.timing import Timing

__all__ = [
    "HAND_EDIT",
    "SELF_TESTS",
    "SERVING",
    "STANDING_BY",
    "CasResult",
    "Claim",
    "Drain",
    "Gift",
    "Hold",
    "Identity",
    "Node",
    "Outcome",
    "Peer",
    "Pending",
    "Policy",
    "Position",
    "Request",
    "State",
    "Store",
    "View",
]

HAND_EDIT = "pair file"  # a request's `by` when an operator edited the line

# A node's own checks, as the reasons of what comes of them; the first when none is named.
SELF_TESTS = ("self_test", "loop_lag", "self_probe_rtmp", "disk")

Position = tuple[int, int]  # (epoch of the last Change, seq): positions of any lives compare


class State(StrEnum):
    """The states of failover.md section 2."""

    INIT = "INIT"
    HELD = "HELD"
    SYNCING = "SYNCING"
    READY = "READY"
    SUSPECT = "SUSPECT"
    CLAIMING = "CLAIMING"
    ACTIVE = "ACTIVE"
    DRAINING = "DRAINING"
    FENCED = "FENCED"


SERVING = (State.ACTIVE, State.DRAINING)
STANDING_BY = (State.SYNCING, State.READY, State.SUSPECT)


class Store(StrEnum):
    """What the last attempt to read the store gave."""

    UNREAD = "unread"
    OK = "ok"
    EMPTY = "empty"  # reachable, and nobody ever wrote a record
    INVALID = "invalid"  # reachable, and what is there is no record, or older than one we know
    UNREACHABLE = "unreachable"


class Outcome(Enum):
    """What came of a compare-and-set."""

    LANDED = "landed"
    LOST = "lost"  # another record took its place
    REFUSED = "refused"  # known not to have happened: no space, no permission
    UNKNOWN = "unknown"  # may have happened, or may yet


@dataclass(frozen=True, slots=True)
class CasResult:
    """The outcome of the attempt with this nonce; `at` is when it was known."""

    nonce: str
    outcome: Outcome
    at: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """`started_at` is when the process started: what an earlier one promised is forgotten."""

    node_id: str
    boot_id: str
    started_at: float


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator chose."""

    mode: str = "semi"
    promote_lag_max: int | None = None
    cold_start_alone: float = inf
    guard_lost: str = "alarm"
    drain_seconds: float = 0.0
    digest_seconds: float = 60.0  # between comparisons of the two copies
    failsafe: bool = False  # promises count although the store has leases
    lb_path: str = "alarm"


@dataclass(frozen=True, slots=True)
class Peer:
    """What the other node last said of itself over the link."""

    boot_id: str
    epoch: int
    gate_open: bool
    state: str
    position: Position
    lb_checks_age: float | None = None  # seconds since the load balancer looked at it


@dataclass(frozen=True, slots=True)
class Request:
    """An operator's wish; `by` tells its way in, `reason` is what he says.

    kind: "switchover", "pause", "resume", "force" (serve with what this copy has),
    "force_fenced" (the same, and the other node is powered off by the operator's word) or
    "resync" (the peer makes a whole new copy).
    """

    kind: str
    by: str
    at: float
    reason: str = ""
    drain_seconds: float | None = None  # for a switchover, instead of the policy's


@dataclass(slots=True)
class View:
    """Observed facts. `author` signs the record that this turn may write.

    Never changed once made; not frozen because one is made at each turn, and frozen ones take
    half as long again.
    """

    identity: Identity
    timing: Timing
    policy: Policy
    author: Author
    # the store
    store: Store = Store.UNREAD
    record: Record | None = None
    nodes: tuple[str, str] | None = None
    read_started: float = -inf  # of the last good read
    beat_changed_at: float = -inf  # end of the read that last showed the peer's heartbeat changed
    leases: bool = False  # the store binds the holder to a lease: its key says who lives
    holder_key: bool | None = None  # by the read that showed the record; None: not read since
    authority_epoch: int = 0
    authority_until: float = -inf
    cas: CasResult | None = None
    # the peer
    link_up: bool = False
    link_fell_silent: bool = False  # it is down because nothing was heard, not because it ended
    peer: Peer | None = None
    peer_heard_at: float = -inf  # its last sign of life on any link
    peer_seen_at: float = -inf  # the same, or a probe that was answered
    noticed_at: float = -inf  # since when nothing is seen of it; now, while something is
    misses: int = 0  # failed probes in a row, on the path with most
    dead: bool = False  # no path has answered for `fall` probes in a row
    answers: int = 0  # probes in a row that every path answered
    # this node
    gate: str = "closed"  # as read back: "open", "closed" or "unknown"
    open_failed: int = 0  # the epoch whose gate did not open
    position: Position = (0, 0)
    copy_in_sync: bool = False
    lag: int | None = None  # Changes behind the active one, by the last head heard
    self_test_fails: int = 0  # in a row
    self_test_reason: str = ""  # what fails: "loop_lag", "self_probe_rtmp", "disk"
    lb_checks_age: float | None = None  # seconds since the load balancer looked; None: never
    guard_lost: bool = False
    clients: int | None = None  # that have not left yet, as they were asked to
    # as the active one
    acked: int = 0
    ack_late: bool = False
    peer_caught_up: bool = False
    digest_agrees: bool | None = None  # None: not compared since it was asked
    switch_ready: bool = False  # the peer holds everything up to the held writes
    switch_aborted: bool = False
    fenced_by: int = 0  # a higher epoch that somebody named
    late_by: float = 0.0  # this node has just woken up from a stall of so many seconds
    request: Request | None = None

    @property
    def slot(self) -> int | None:
        """0 or 1, as the pair names me; None while it does not."""
        if self.nodes is None or self.identity.node_id not in self.nodes:
            return None
        return self.nodes.index(self.identity.node_id)


@dataclass(frozen=True, slots=True)
class Pending:
    """A compare-and-set that was sent and is not settled."""

    record: Record
    unknown_since: float | None = None
    retry_at: float = -inf


@dataclass(frozen=True, slots=True)
class Claim:
    """The epoch that this node is about to serve in."""

    epoch: int
    back: State  # where to return when the claim comes to nothing
    waits: bool
    lossy: bool = False
    taken_from: str = ""  # the holder before
    copy_ends: int = 0  # seq of my last Change
    known_head: int = 0  # the highest seq that the holder before is known to have had
    heard_at: float = 0.0  # the last sign of life of the holder before
    noticed_at: float = 0.0  # when the holder before was last seen, or something wished for this
    claimed_at: float = 0.0
    landed_at: float | None = None  # when it was known to have landed
    open_at: float | None = None


@dataclass(frozen=True, slots=True)
class Drain:
    """A planned switchover under way."""

    reason: str
    switch_id: str
    to: InSync
    started: float
    prepared_at: float | None = None  # when writes were held
    closing_at: float | None = None  # when the peer had everything
    sent_at: float | None = None  # when the record that names the peer was tried, once
    releasing: bool = False  # the peer did not answer: the service is let go, not handed over

    @property
    def closing(self) -> bool:
        return self.closing_at is not None

    @property
    def sent(self) -> bool:
        return self.sent_at is not None

    seconds: float | None = None  # that clients get to leave, if not the policy's


@dataclass(frozen=True, slots=True)
class Hold:
    """Acknowledgements wait for the peer again, to take it back in sync."""

    head: int
    boot_id: str
    since: float


@dataclass(frozen=True, slots=True)
class Gift:
    """The service was given to that boot of the peer, unasked."""

    reason: str
    boot_id: str
    at: float


@dataclass(frozen=True, slots=True)
class Node:
    """What a node has decided so far."""

    state: State = State.INIT
    since: float = -inf
    epoch: int = 0  # the epoch that I serve or served in
    ready_epoch: int = 0
    pending: Pending | None = None
    claim: Claim | None = None
    drain: Drain | None = None
    hold: Hold | None = None
    hold_again_at: float = -inf
    switch_again_at: float = -inf  # after an aborted switchover that nobody commanded
    write_again_at: float = -inf  # after the store refused
    promised_until: float = -inf
    word: Record | None = None  # what I serve by the operator's word, until the store has it
    alone_since: float | None = None
    gifts: tuple[Gift, ...] = ()  # the last one for each reason
    # what goes on for hours is told once: the revision of
    told_paused: int = 0  # the paused record that kept me from a takeover
    told_alone: int = 0  # the record from which I want to go on alone
    told_refused: int = 0  # an attempt that the store refused
