"""Which origin of the pair can do what is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtmp_sync.admin import facts
from rtmp_sync.admin.refusal import not_done

if TYPE_CHECKING:
    from rtmp_sync.server.origin import Origin

__all__ = ["holder", "must_serve", "names"]


def must_serve(origin: Origin) -> None:
    """Only the active origin can do it. Raises Refusal, with the origin to ask instead."""
    if facts.role(origin) == "active":
        return
    serving, state = holder(origin), origin.watchdog.state
    if serving and serving != origin.node_id:
        text = f"this origin is {state}; {serving} holds the service: ask it"
        raise not_done(text, serving)
    raise not_done(f"this origin is {state}, and nobody serves")


def holder(origin: Origin) -> str:
    """Who holds the service by the record; "" when that is not known."""
    record = origin.watchdog.record
    return record.holder if record is not None else ""


def names(origin: Origin) -> tuple[str, ...]:
    """The two nodes, in slot order; () when that is not known."""
    record = origin.watchdog.record
    return tuple(record.nodes) if record is not None else ()
