"""Running a method for somebody; what changes anything is noted.

admin_change   in the history: it was done, or began and failed
admin_refused  the same of what was refused
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from rtmp_sync.admin.method import Answer, Call, Method
from rtmp_sync.admin.rates import Rates
from rtmp_sync.admin.refusal import Refusal
from rtmp_sync.admin.tokens import Caller

if TYPE_CHECKING:
    from rtmp_sync.server.origin import Origin

__all__ = ["carry_out", "note_refused"]

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
    event, outcome = "admin_change", "failed: see the log"
    try:
        answer = await method.run(call)
        outcome = "done"
    except Refusal as refusal:
        event, outcome = "admin_refused", refusal.text
        raise
    finally:
        _note(event, origin, method, caller, address, outcome, arguments)
    return answer


def note_refused(
    origin: Origin, method: Method, caller: Caller, address: str | None, why: str
) -> None:
    """Somebody may not do it at all."""
    _note("admin_refused", origin, method, caller, address, why, {})


def _note(
    event: str,
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
        event,
        method=method.name,
        user=caller.name,
        address=address,
        arguments=told,
        outcome=outcome,
    )


def _short(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= TOLD_CHARACTERS else text[:TOLD_CHARACTERS] + "…"
