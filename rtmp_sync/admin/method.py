"""What an administration method is: the one description from which FMS's XML, the JSON API, the
OpenAPI document and the table in docs/admin_api.md are made. The methods are in admin/methods.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict

from rtmp_sync.admin import methods

if TYPE_CHECKING:
    from rtmp_sync.admin.rates import Rates
    from rtmp_sync.server.origin import Origin

__all__ = ["REQUIRED", "SPREAD", "Answer", "Argument", "Call", "Done", "Method", "found_methods"]

REQUIRED: Final = object()
SPREAD: Final = object()
"""Marks the field of an Answer whose items FMS has beside the others, not in an element."""


class Answer(BaseModel):
    """What a method says. The names are FMS's where FMS has them, in XML and in JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Done(Answer):
    """It was done; there is nothing more to say."""


@dataclass(frozen=True, slots=True)
class Argument:
    """kind: str, bool, or list (FMS: `arg0`, `arg1`, …; JSON: any values). default: what it is
    when it is not given. also: other names that FMS or its tools use. ignored: taken for FMS's
    sake, and without effect here."""

    name: str
    meaning: str
    kind: type = str
    default: object = REQUIRED
    also: tuple[str, ...] = ()
    ignored: bool = False

    @property
    def required(self) -> bool:
        return self.default is REQUIRED


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a method, with all its arguments."""

    origin: Origin
    rates: Rates
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def text(self, name: str) -> str:
        return str(self.arguments[name])

    def flag(self, name: str) -> bool:
        return bool(self.arguments[name])

    def values(self, name: str) -> list[object]:
        return list(self.arguments[name])


@dataclass(frozen=True, slots=True)
class Method:
    """path: below /api/v1, with the names of arguments in braces; `{app}/{instance}` is the
    argument `appInst`. run: raises Refusal. changes: whether it does anything but tell."""

    name: str
    path: str
    meaning: str
    answer: type[Answer]
    run: Callable[[Call], Awaitable[Answer]]
    arguments: tuple[Argument, ...] = ()
    changes: bool = False


@cache
def found_methods() -> Mapping[str, Method]:
    """By name: every method of every module in rtmp_sync/admin/methods."""
    return {method.name: method for method in sorted(_found(), key=lambda method: method.name)}


def _found() -> Iterator[Method]:
    for module in pkgutil.iter_modules(methods.__path__):
        yield from importlib.import_module(f"{methods.__name__}.{module.name}").METHODS
