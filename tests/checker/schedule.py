"""Which fault comes when: decks of all kinds, shuffled by the seed.

So every kind comes equally often, and a seed names one order. What a fault draws for itself
(how long it lasts, say) comes from the seed and its number in the run, whatever happened before.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .faults import Fault

TWO_AT_ONCE = 0.2
WITHOUT_WAITING = 0.2
# Of the link from then on, one way: as much is lost with a host that dies.
DELAYS_SECONDS = (0.002, 0.01, 0.05)


@dataclass(frozen=True, slots=True)
class Strike:
    """One or two faults. waits: the next strike comes when the pair is whole again."""

    faults: tuple[Fault, ...]
    pause_seconds: float
    delay_seconds: float
    waits: bool
    moments: tuple[random.Random, ...]

    @property
    def name(self) -> str:
        return " + ".join(fault.name for fault in self.faults)

    @property
    def needs_whole(self) -> bool:
        """It must not begin before the pair is whole."""
        return any(fault.alone for fault in self.faults)


def schedule(seed: int, faults: Sequence[Fault]) -> Iterator[Strike]:
    """Without end."""
    draw = random.Random(seed)
    together = [fault for fault in faults if not fault.alone]
    number = 0
    while True:
        for first in draw.sample(faults, len(faults)):
            struck: tuple[Fault, ...] = (first,)
            if not first.alone and draw.random() < TWO_AT_ONCE:
                struck = (first, draw.choice(together))
            yield Strike(
                struck,
                pause_seconds=draw.uniform(0.3, 1.5),
                delay_seconds=draw.choice(DELAYS_SECONDS),
                waits=draw.random() >= WITHOUT_WAITING,
                moments=tuple(random.Random(f"{seed}/{number}/{of}") for of in struck),
            )
            number += 1
