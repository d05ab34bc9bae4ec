"""How often clients may call: the limits of a whitelist, kept on this origin.

Each limit is one number per client (or one for all clients together): the time at which the calls
made so far would be over if they had come at its rate. A call may come `burst - 1` intervals
before that. Nothing is replicated: after a takeover everybody begins anew.
"""

from __future__ import annotations

from rtmp_sync.state.access import Limit

__all__ = ["CallRates"]

_FOR_ALL = ""  # no client has this id


class CallRates:
    """Of one application."""

    def __init__(self) -> None:
        self._until: dict[str, dict[Limit, float]] = {}  # by client id

    def admit(self, client_id: str, limits: tuple[Limit, ...], now: float) -> bool:
        """Whether one more call is within all of them; then it counts. now: in seconds."""
        moved: list[tuple[dict[Limit, float], Limit, float]] = []
        for limit in limits:
            whose = client_id if limit.each_client else _FOR_ALL
            until = self._until.get(whose)
            if until is None:
                until = self._until[whose] = {}
            interval = 1.0 / limit.rate.per_second
            begins = max(until.get(limit, now), now)
            # a hair more, so that rounding refuses nobody who keeps to the rate
            if begins - now > interval * (limit.rate.burst - 1 + 1e-6):
                return False
            moved.append((until, limit, begins + interval))
        for until, limit, ends in moved:
            until[limit] = ends
        return True

    def forget(self, client_id: str) -> None:
        """A client is gone."""
        self._until.pop(client_id, None)

    def clear(self) -> None:
        """The limits are others from now on."""
        self._until.clear()
