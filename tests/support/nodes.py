"""Nodes that are origins as far as replication goes, and what their hooks heard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rtmp_sync.cluster.peer_status import PeerStatus, ReplicationHooks
from rtmp_sync.cluster.sink import DivergentTail
from rtmp_sync.cluster.timing import DEFAULT
from rtmp_sync.server.replication import Replication
from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.wire.records import Replay, Switchover

SCOPE = "text/_definst_"


@dataclass
class NodeLog:
    """What a node's hooks heard."""

    links: list[bool] = field(default_factory=list)
    roles: list[str] = field(default_factory=list)
    acked: int = 0
    applied: int = 0
    installed: int = 0
    divergent: list[list[int]] = field(default_factory=list)
    fences: list[tuple[int, str]] = field(default_factory=list)
    steps: list[Switchover] = field(default_factory=list)
    same_id: set[bool] = field(default_factory=set)
    events: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)  # of the refusals
    replays: list[Replay] = field(default_factory=list)
    nonces: list[tuple[str, bool]] = field(default_factory=list)
    promise_seconds: float | None = None


class Node:
    """One origin, as far as replication goes."""

    def __init__(self, node_id: str, state: ReplicatedState, boot_id: str = "boot") -> None:
        self.node_id = node_id
        self.state = state
        self.boot_id = boot_id
        self.log = NodeLog()
        self.replication: Replication

    def make(self, peer: tuple[str, int], *, dials: bool, **options: Any) -> Replication:
        """options: as Replication has them, instead of the usual ones."""
        usual: dict[str, Any] = {"pair_id": "A+B", "secret": b"secret", "timing": DEFAULT}
        return Replication(
            self.state,
            node_id=self.node_id,
            boot_id=self.boot_id,
            listen=("127.0.0.1", 0),
            peer=peer,
            dials=dials,
            hooks=self.hooks(),
            **(usual | options),
        )

    async def start(self, peer: tuple[str, int], *, dials: bool, **options: Any) -> None:
        self.replication = self.make(peer, dials=dials, **options)
        await self.replication.start()

    def hooks(self) -> ReplicationHooks:
        log = self.log

        def count(name: str) -> Callable[..., None]:
            return lambda *_: setattr(log, name, getattr(log, name) + 1)

        def role(peer: PeerStatus) -> None:
            log.roles.append(f"{peer.node_id}:{peer.state}")

        def divergent(tail: DivergentTail, let_go: Callable[[], None]) -> None:
            batches = tail.batches
            log.divergent.append([seq for b in batches for seq in (b.first_seq, b.last_seq)])
            let_go()

        def history(event: str, **fields: object) -> None:
            log.events.append(event)
            if event == "link_refused":
                log.refused.append(str(fields["reason"]))
                log.texts.append(str(fields["text"]))

        return ReplicationHooks(
            on_acked=lambda seq: setattr(log, "acked", seq),
            on_link=log.links.append,
            on_role=role,
            on_applied=count("applied"),
            on_installed=count("installed"),
            on_divergent=divergent,
            on_fence=lambda epoch, holder: log.fences.append((epoch, holder)),
            on_switchover=log.steps.append,
            on_store_nonce=lambda nonce, stale: log.nonces.append((nonce, stale)),
            on_replay=log.replays.append,
            give_promise=lambda epoch: log.promise_seconds,
            on_same_id=log.same_id.add,
            history=history,
        )

    def serve(self, epoch: int) -> None:
        self.replication.set_role(
            epoch=epoch, holder=self.node_id, gate_open=True, state="ACTIVE", serving=True
        )

    def stand_by(self, epoch: int, holder: str) -> None:
        self.replication.set_role(
            epoch=epoch, holder=holder, gate_open=False, state="SYNCING", serving=False
        )

    def turn(self) -> None:
        batch = self.state.journal.take_batch()
        if batch is not None:
            self.replication.send_batch(batch)

    def write(self, count: int = 1, value: bytes = b"\x05") -> None:
        """`count` slots, one turn."""
        obj = self.state.shared_object(SCOPE, "x", "T")
        for number in range(count):
            version = self.state.next_version(obj)
            self.state.set_slot(obj, f"k{number}", value, version)
        self.turn()


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - conditions of two nodes, not events
            await asyncio.sleep(0.005)


def same(one: Node, other: Node) -> bool:
    return (
        one.state.journal.head == other.state.journal.head
        and one.state.digest() == other.state.digest()
    )
