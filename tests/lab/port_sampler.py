"""Connects to the public port of both nodes, over and over, as the load balancer would.

A node's gate was open from the end of the first of some answered connects in a row until the
begin of the last one: two nodes must not share such a time.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from dataclasses import dataclass

from tests.support.history import Interval, overlaps
from tests.support.namespaces import Host
from tests.support.pair import now

EVERY_SECONDS = 0.05
TIMEOUT_SECONDS = 0.3
ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: leave by a reset, nothing lingers


@dataclass(frozen=True, slots=True)
class Sample:
    """One connect: when it began and ended, and whether it was answered."""

    began: float
    ended: float
    is_open: bool


class PortSampler:
    """`with` it; `problems` afterwards. targets: by node, as seen from `host`."""

    def __init__(self, host: Host, targets: dict[str, tuple[str, int]]) -> None:
        self.samples: dict[str, list[Sample]] = {node: [] for node in targets}
        self._host = host
        self._targets = targets
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._ignored: list[tuple[str, float, float]] = []

    def __enter__(self) -> PortSampler:
        with self._host.entered():
            for node in self._targets:
                thread = threading.Thread(target=self._run, args=(node,), daemon=True)
                thread.start()
                self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def ignore(self, node: str, since: float, until: float) -> None:
        """The node stood still then, and without a packet filter its kernel answers for it."""
        self._ignored.append((node, since, until))

    def opened(self, node: str, since: float) -> float | None:
        """When a connect that began after `since` was first answered."""
        times = (s.ended for s in self.samples[node] if s.is_open and s.began >= since)
        return next(times, None)

    def closed(self, node: str, since: float) -> float | None:
        """When a connect that began after `since` was first not answered."""
        times = (s.began for s in self.samples[node] if not s.is_open and s.began >= since)
        return next(times, None)

    def is_open(self, node: str) -> bool:
        """By the last connect."""
        return bool(self.samples[node]) and self.samples[node][-1].is_open

    def problems(self) -> list[str]:
        """A sentence for each moment at which both ports were open."""
        found = [one for node in self.samples for one in self._intervals(node)]
        return [f"both ports open: {text}" for text in overlaps(found)]

    def _intervals(self, node: str) -> list[Interval]:
        found: list[Interval] = []
        first: Sample | None = None
        last: Sample | None = None
        for sample in [*self.samples[node], Sample(0.0, 0.0, False)]:
            if sample.is_open and not self._is_ignored(node, sample):
                first, last = first or sample, sample
            elif first is not None and last is not None:
                if last.began > first.ended:
                    found.append(Interval(node, first.ended, last.began))
                first = last = None
        return found

    def _is_ignored(self, node: str, sample: Sample) -> bool:
        return any(
            node == who and since <= sample.began <= until for who, since, until in self._ignored
        )

    def _run(self, node: str) -> None:
        while not self._over.is_set():
            began = now()
            is_open = False
            with contextlib.suppress(OSError), socket.socket() as probe:
                probe.settimeout(TIMEOUT_SECONDS)
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
                probe.connect(self._targets[node])
                is_open = True
            self.samples[node].append(Sample(began, now(), is_open))
            time.sleep(max(0.0, began + EVERY_SECONDS - now()))
