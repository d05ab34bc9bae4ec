"""Strikes the pair by a schedule and waits, mostly, until it is whole again.

note: gets a sentence for each thing done, at the moment it is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.support.load import Load
from tests.support.pair import now

from .field import WHOLE_SECONDS, Field
from .schedule import Strike
from .tally import Tally


class Nemesis:
    """`strike` does the next thing. Overdue when the pair does not come back in time."""

    def __init__(
        self,
        field: Field,
        load: Load,
        strikes: Iterator[Strike],
        *,
        note: Callable[[str], None],
    ) -> None:
        self.tally = Tally()
        self.doing = ""
        self._field = field
        self._load = load
        self._strikes = strikes
        self._note = note
        self._whole = True

    async def strike(self) -> None:
        strike = next(self._strikes)
        self._field.link.delay_seconds = strike.delay_seconds
        await asyncio.sleep(strike.pause_seconds)
        if strike.needs_whole and not self._whole:
            self.doing = f"waits until the pair is whole, before: {strike.name}"
            await self._field.whole()
        self.doing = strike.name
        self._note(strike.name)
        began = now()
        self._load.history.fault(began, strike.name)
        await asyncio.gather(
            *(
                fault.strike(replace(self._field, moments=moments))
                for fault, moments in zip(strike.faults, strike.moments, strict=True)
            )
        )
        ended = now()
        self._note(f"{strike.name}: over")
        await self._load.everyone_served(ended, seconds=WHOLE_SECONDS)
        cost = self.tally.of(tuple(fault.name for fault in strike.faults))
        cost.served.append(self._load.history.longest_pause(began, after=1.0 + ended - began))
        self._whole = strike.waits
        if strike.waits:
            self.doing = f"waits until the pair is whole, after: {strike.name}"
            await self._field.whole()
            cost.whole.append(now() - began)
            self._note("whole again")
