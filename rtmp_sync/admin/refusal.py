"""Why an administration call was not done: for FMS's XML a code, for JSON an HTTP status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = [
    "BAD_VALUE",
    "CALL_FAILED",
    "COMMAND_FAILED",
    "REJECTED",
    "SUCCESS",
    "Refusal",
    "bad_value",
    "not_done",
    "not_there",
]

SUCCESS: Final = "NetConnection.Call.Success"
CALL_FAILED: Final = "NetConnection.Call.Failed"
BAD_VALUE: Final = "NetConnection.Call.BadValue"
REJECTED: Final = "NetConnection.Connect.Rejected"
COMMAND_FAILED: Final = "NetConnection.Admin.CommandFailed"


@dataclass(frozen=True, slots=True)
class Refusal(Exception):
    """status: of HTTP, for JSON. code: FMS's. ask: the node that could do it, "" for none."""

    status: int
    code: str
    text: str
    ask: str = ""


def bad_value(text: str) -> Refusal:
    """An argument is missing or cannot be read, or there is no such method."""
    return Refusal(400, BAD_VALUE, text)


def not_there(text: str) -> Refusal:
    """What the call is about does not exist here now."""
    return Refusal(404, CALL_FAILED, text)


def not_done(text: str, ask: str = "") -> Refusal:
    """A change that is not possible here now."""
    return Refusal(409, COMMAND_FAILED, text, ask)
