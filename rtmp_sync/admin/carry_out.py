"""Running a method for somebody; what changes anything is noted, done or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from rtmp_sync.admin.method import Answer, Call, Method
from rtmp_sync.admin.rates import Rates
from rtmp_sync.admin.refusal import Refusal
from rtmp_sync.admin.tokens import Caller

if TYPE_CHECKING:
    from rtmp_sync.server.origin import Origin

__all__ = ["carry_out", "note_change"]

TOLD_CHARACTERS: Final = 200  # of one argument: the history is for people


async def carry_out(
    origin: Origin,
    rates: Rates,
    method: Method,
    arguments: Mapping[str, Any],
    caller: Caller,
    address: str | None,
) -> Answer:
    """Raises Refusal."""
    call = Call(origin, rates, arguments)
    if not method.changes:
        return await method.run(call)
    outcome = "failed: see the log"
    try:
        answer = await method.run(call)
        outcome = "done"
    except Refusal as refusal:
        outcome = f"refused: {refusal.text}"
        raise
    finally:
        note_change(origin, method, caller, address, outcome, arguments)
    return answer


def note_change(
    origin: Origin,
    method: Method,
    caller: Caller,
    address: str | None,
    outcome: str,
    arguments: Mapping[str, Any],
) -> None:
    """Into the history and the log. Credentials are no arguments, so none are told."""
    told = {name: _short(value) for name, value in arguments.items()}
    origin.history.record(
        "admin_change",
        method=method.name,
        user=caller.name,
        address=address,
        arguments=told,
        outcome=outcome,
    )


def _short(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= TOLD_CHARACTERS else text[:TOLD_CHARACTERS] + "…"
