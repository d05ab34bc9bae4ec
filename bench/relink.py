"""Seconds from the end of what broke the link until the pair is in sync again.

    python -m bench.relink [--rounds 5]

Two real `Replication`s on one loop, over sockets, with a proxy between them that understands
the link. In sync: a Change written after the cause had ended is acknowledged, and the digests
of both copies are equal. The promise is 5 s.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import structlog

from bench.table import arguments, report
from rtmp_sync.cluster.link import Protocols
from rtmp_sync.cluster.timing import DEFAULT, Timing
from rtmp_sync.server.clock import now
from rtmp_sync.server.loop import run
from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.wire.chunk import Message
from rtmp_sync.wire.constants import AUDIO
from rtmp_sync.wire.records import LANE_DELTA, Ack
from tests.support.changes import new_state
from tests.support.envelopes import ACCEPTOR, EnvelopeProxy, as_it_is, flipped, missing, twice
from tests.support.nodes import Node, same, until

PROMISED_SECONDS = 5.0
# A peer that hears nothing because it is behind a full queue must not be the first to give up.
PATIENT = replace(DEFAULT, ack_timeout=60.0)


class Pair:
    """A dials B through the proxy, and serves 1,000 slots."""

    def __init__(self) -> None:
        self.a = Node("A", new_state())
        self.b = Node("B", ReplicatedState())
        self.proxy = EnvelopeProxy()

    async def start(self, timing: Timing) -> None:
        self.a.state.journal.take_batch()
        await self.b.start(("127.0.0.1", 1), dials=False, timing=timing)
        await self.proxy.start(("127.0.0.1", self.b.replication.port))
        await self.a.start(self.proxy.address, dials=True, timing=timing)
        self.a.write(1000, value=bytes(100))
        self.a.serve(1)
        self.b.stand_by(1, "A")
        await self.in_sync()

    async def restart_b(self, **options: Any) -> None:
        await self.b.replication.stop()
        self.b = Node(options.pop("node_id", "B"), self.b.state, boot_id=self.b.boot_id + "'")
        await self.b.start(("127.0.0.1", 1), dials=False, **options)
        self.proxy.aim(("127.0.0.1", self.b.replication.port))
        self.b.stand_by(1, "A")

    async def in_sync(self) -> None:
        await until(lambda: self.b.replication.in_sync and self.a.replication.peer_caught_up, 60.0)
        self.a.write(1)
        head = self.a.state.journal.head
        await until(lambda: self.a.replication.acked >= head and same(self.a, self.b), 60.0)

    async def stop(self) -> None:
        await self.a.replication.stop()
        await self.b.replication.stop()
        await self.proxy.stop()

    def refused(self, reason: str) -> bool:
        """Wrong secrets: often enough for the dialer to wait longer between its calls."""
        times = 6 if reason == "bad_secret" else 1
        counted = self.a.replication.refusals[reason] + self.b.replication.refusals[reason]
        return counted >= times


Step = Callable[[Pair], Awaitable[None]]


async def mend_proxy(pair: Pair) -> None:
    pair.proxy.fault[ACCEPTOR] = as_it_is
    pair.proxy.resume()


async def mend_b(pair: Pair) -> None:
    await pair.restart_b()


def envelopes(change: Callable[[Message], list[Message]]) -> Step:
    """Every message with Changes suffers it."""

    async def breaks(pair: Pair) -> None:
        pair.proxy.fault[ACCEPTOR] = lambda message: (
            change(message) if message.csid == LANE_DELTA else [message]
        )
        pair.a.write(2)
        pair.a.write(2)

    return breaks


def other_node(**options: Any) -> Step:
    async def breaks(pair: Pair) -> None:
        await pair.restart_b(**options)

    return breaks


async def falls_silent(pair: Pair) -> None:
    pair.proxy.pause()


async def stops_reading(pair: Pair) -> None:
    """More than the hard limit of the queue."""
    pair.proxy.pause(ACCEPTOR)
    while not pair.refused("too_slow"):
        for _ in range(16):
            pair.a.write(1, value=bytes(60_000))
        await asyncio.sleep(0)


async def acknowledges_too_much(pair: Pair) -> None:
    link = pair.b.replication._current
    assert link is not None
    link.link.send(Ack(pair.a.state.journal.head + 1))
    link.flush()


async def says_something_else(pair: Pair) -> None:
    pair.proxy.send(ACCEPTOR, Message(AUDIO, 1, 0, b"\xaf\x01", 6))


async def is_deposed(pair: Pair) -> None:
    pair.b.stand_by(2, "B")
    pair.a.write(2)


async def is_named_again(pair: Pair) -> None:
    pair.a.serve(3)
    pair.b.stand_by(3, "A")


CAUSES: tuple[tuple[str, str, Step, Step], ...] = (
    ("flipped bits", "bad_mac", envelopes(flipped), mend_proxy),
    ("replayed envelopes", "replayed", envelopes(twice), mend_proxy),
    ("missing envelopes", "gap", envelopes(missing), mend_proxy),
    ("a wrong secret", "bad_secret", other_node(secret=b"another secret"), mend_b),
    ("another pair's id", "other_pair", other_node(pair_id="A+C"), mend_b),
    ("the same node's id", "same_node", other_node(node_id="A"), mend_b),
    ("another protocol", "other_protocol", other_node(protocols=Protocols(7, 8)), mend_b),
    ("an older epoch", "older_epoch", is_deposed, is_named_again),
    ("an ACK beyond", "ack_beyond", acknowledges_too_much, mend_proxy),
    ("another message", "other_message", says_something_else, mend_proxy),
    ("silence", "silence", falls_silent, mend_proxy),
    ("a peer that stops reading", "too_slow", stops_reading, mend_proxy),
)


async def measure(reason: str, breaks: Step, mends: Step, rounds: int) -> list[float]:
    """Seconds of each round."""
    seconds = []
    for _ in range(rounds):
        pair = Pair()
        await pair.start(PATIENT if reason == "too_slow" else DEFAULT)
        await breaks(pair)
        await until(partial(pair.refused, reason), 60.0)
        await mends(pair)
        ended = now()
        await pair.in_sync()
        seconds.append(now() - ended)
        await pair.stop()
    return seconds


async def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    rows, figures = [], {}
    for cause, reason, breaks, mends in CAUSES:
        seconds = await measure(reason, breaks, mends, options.rounds)
        figures[reason] = {"median": statistics.median(seconds), "worst": max(seconds)}
        print(f"{cause}: {max(seconds):.2f} s", file=sys.stderr, flush=True)
        rows.append((cause, reason, f"{statistics.median(seconds):.2f}", f"{max(seconds):.2f}"))
    worst = max(figure["worst"] for figure in figures.values())
    report(
        "relink",
        "seconds",
        ("cause", "named", "median s", "worst s"),
        rows,
        figures=figures,
        peers={},
        notes=[f"worst of all: {worst:.2f} s; promised: {PROMISED_SECONDS:g} s"],
        json_file=options.json,
    )


if __name__ == "__main__":
    run(main())
