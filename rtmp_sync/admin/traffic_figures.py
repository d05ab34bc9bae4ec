"""Figures of connections, with FMS's names, for the answers that have them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rtmp_sync.admin.method import Answer, Call
from rtmp_sync.server.clock import now
from rtmp_sync.server.traffic import Tally, Traffic

if TYPE_CHECKING:
    from rtmp_sync.app import Client
    from rtmp_sync.server.session import Session

__all__ = ["Bandwidth", "Connections", "Moved", "bandwidth", "connections", "moved"]


class Moved(Answer):
    """What went over connections."""

    msg_in: int
    """RTMP messages received."""
    msg_out: int
    """Messages sent; what is sent to a client in one piece counts once."""
    msg_dropped: int
    """Frames that slow clients did not get."""
    bytes_in: int
    """Bytes received, with handshake and chunk headers."""
    bytes_out: int
    """Bytes sent."""


class Bandwidth(Moved):
    """The same, and how fast."""

    bw_in: int
    """Bytes a second received: since the last look that is a second old or more."""
    bw_out: int
    """Bytes a second sent."""


class Connections(Bandwidth):
    """The same, and who was there."""

    total_connects: int
    """Connections made since it began here."""
    total_disconnects: int
    """Of these, ended."""
    connected: int
    """Of these, there now."""
    accepted: int
    """Connects accepted."""
    rejected: int
    """Connects refused."""


def moved(traffic: Traffic) -> dict[str, int]:
    """The members of `Moved`."""
    return {
        "msg_in": traffic.messages_in,
        "msg_out": traffic.messages_out,
        "msg_dropped": traffic.dropped,
        "bytes_in": traffic.bytes_in,
        "bytes_out": traffic.bytes_out,
    }


def bandwidth(call: Call, whose: str, traffic: Traffic) -> dict[str, int]:
    """The members of `Bandwidth`. whose: tells its counters from others."""
    rates, at = call.rates, now()
    return {
        **moved(traffic),
        "bw_in": round(rates.per_second(f"in {whose}", traffic.bytes_in, at)),
        "bw_out": round(rates.per_second(f"out {whose}", traffic.bytes_out, at)),
    }


def connections(
    call: Call, whose: str, tallies: Iterable[Tally], here: Iterable[Session | Client]
) -> dict[str, int]:
    """The members of `Connections`, of some tallies and who is still there."""
    traffic, total = Traffic(), Tally()
    for tally in tallies:
        traffic.add(tally.ended)
        total.connects += tally.connects
        total.disconnects += tally.disconnects
        total.rejected += tally.rejected
    for one in here:
        traffic.add(one.traffic)
    return {
        **bandwidth(call, whose, traffic),
        "total_connects": total.connects,
        "total_disconnects": total.disconnects,
        "connected": total.connects - total.disconnects,
        "accepted": total.connects,
        "rejected": total.rejected,
    }
