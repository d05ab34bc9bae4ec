"""What the two nodes tell each other about themselves over the link."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from rtmp_sync.cluster.sink import DivergentTail
from rtmp_sync.state.journal import Batch
from rtmp_sync.wire.records import Media, Replay, Switchover
from rtmp_sync.wire.refusals import Reason

__all__ = ["OwnHealth", "OwnRole", "PeerStatus", "ReplicationHooks"]


@dataclass(frozen=True, slots=True)
class OwnRole:
    """This node, as its watchdog sees it. `holder` and `epoch` are those of the record read."""

    epoch: int = 0
    holder: str = ""
    gate_open: bool = False
    serving: bool = False
    state: str = "INIT"


@dataclass(frozen=True, slots=True)
class OwnHealth:
    """Goes out with each heartbeat. lb_checks_age: seconds, -1 when no check was ever seen."""

    healthy: bool = True
    lb_checks_age: float = -1.0
    loop_lag: float = 0.0


@dataclass(slots=True)
class PeerStatus:
    """The other node, as it last described itself. Times are this node's clock."""

    node_id: str
    boot_id: str
    protocol: int = 0  # the version of the link that was agreed on
    epoch: int = 0
    holder: str = ""
    gate_open: bool = False
    serving: bool = False
    state: str = ""
    position: tuple[int, int] = (0, 0)
    head_seq: int = 0
    health: OwnHealth = field(default_factory=OwnHealth)
    heartbeat_at: float | None = None

    @property
    def ready(self) -> bool:
        return self.state == "READY"

    def hb_age(self, now: float) -> float | None:
        """Seconds since its last heartbeat; None: there was none yet."""
        return now - self.heartbeat_at if self.heartbeat_at is not None else None


def _nothing(*_: object, **__: object) -> None:
    """A hook that nobody is interested in."""


def _save_nothing(_: object, let_go: Callable[[], None]) -> None:
    let_go()


def _refuse(_: int) -> float | None:
    return None


@dataclass(slots=True)
class ReplicationHooks:
    """What the link tells its node; every one may be left out.

    on_acked(seq)           the peer has applied everything up to seq
    on_link(up)             the link works, or has just ended
    on_role(peer)           the peer described itself anew
    on_applied()            a turn of the peer was applied, or a copy installed
    on_batch(batch)         one applied batch, for the journal file
    on_installed()          a whole copy took the place of this one: the journal file begins anew
    on_divergent(tail, let_go) what this copy has and the pair never will: save it, then call
                            let_go(), also when it could not be saved; the copy of the active
                            waits for that
    on_caught_up()          [source] the peer now follows turn by turn
    on_fence(epoch, holder) the peer knows a higher epoch
    on_switchover(record)   a step of a planned switchover
    on_store_nonce(nonce, stale) the peer has put this into the store; whether it sees late
                            what this node puts there
    on_replay(record)       a call that the active ran: its Changes are applied and acknowledged
    on_media(record)        a message of a live stream that the active serves
    give_promise(epoch)     seconds for which this node will not claim, None: refused
    on_refused(reason, text) the peer sent something that counts for nothing; the link goes on
    on_same_id(dialled)     the peer has this node's id; whether this node dialled it
    history(event, fields)  something an operator wants to find later
    """

    on_acked: Callable[[int], None] = _nothing
    on_link: Callable[[bool], None] = _nothing
    on_role: Callable[[PeerStatus], None] = _nothing
    on_applied: Callable[[], None] = _nothing
    on_batch: Callable[[Batch], None] = _nothing
    on_installed: Callable[[], None] = _nothing
    on_divergent: Callable[[DivergentTail, Callable[[], None]], None] = _save_nothing
    on_caught_up: Callable[[], None] = _nothing
    on_fence: Callable[[int, str], None] = _nothing
    on_switchover: Callable[[Switchover], None] = _nothing
    on_store_nonce: Callable[[str, bool], None] = _nothing
    on_replay: Callable[[Replay], None] = _nothing
    on_media: Callable[[Media], None] = _nothing
    give_promise: Callable[[int], float | None] = _refuse
    on_refused: Callable[[Reason, str], None] = _nothing
    on_same_id: Callable[[bool], None] = _nothing
    history: Callable[..., None] = _nothing
