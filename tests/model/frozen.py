"""A member of the pair as a value, and back.

`freeze` takes whatever attributes a `Member` and the objects that it is made of have, so that a
new one of the code under check is part of the state by itself. Left out is what only tells
(ledger, sentence) and what never changes. `thaw` makes a member again, which may be used up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from math import floor
from typing import Any

from rtmp_sync.cluster.member import Member
from rtmp_sync.cluster.record import Record
from rtmp_sync.cluster.rows.start import ADOPTED
from rtmp_sync.cluster.timing import Timing
from rtmp_sync.cluster.view import Claim, Node, Pending, Policy
from tests.model.aging import aged
from tests.model.tokens import Epoch, Instant, Rev, field_names, mapped

__all__ = ["Frozen", "Shape", "attempt", "seen"]

Frozen = tuple[Any, ...]

# Of no consequence for what is decided: for people, or how often the store is read.
TOLD = frozenset(
    (
        *("ledger", "_restraint", "sentence", "took_part", "_around"),
        *("_peer_has", "_haste_until", "stale_reads", "_self_test_reason", "_store_trouble"),
    )
)
CONSTANT = (Timing, Policy)


# The only reasons of a record that a rule asks for.
REASONS = ADOPTED


def attempt(record: Record) -> Record:
    """Without what is for people, and with numbers of their kinds."""
    return replace(
        record,
        rev=Rev(record.rev),
        prev="",
        epoch=Epoch(record.epoch),
        history_id="",
        seq=0,
        reason=record.reason if record.reason in REASONS else "-",
        by="",
        at="",
    )


def seen(record: Record) -> Record:
    """The same once it is in the store: whose attempt it was is of no interest any more."""
    return replace(attempt(record), nonce="")


def _pending(pending: Pending) -> Pending:
    return replace(pending, record=attempt(pending.record))


def _claim(claim: Claim) -> Claim:
    """When it began is for the history."""
    return replace(claim, taken_from="", copy_ends=0, known_head=0, noticed_at=0.0, claimed_at=0.0)


def _tick(instant: Instant) -> Instant:
    return Instant(floor(instant))


def _node(node: Node) -> Node:
    """What was told already is of interest to the history alone."""
    told = {name: 0 for name in field_names(Node) or () if name.startswith("told_")}
    return mapped(replace(node, **told), _PARTS)  # type: ignore[arg-type]  # names of its fields


_PARTS: dict[type, Callable[[Any], Any]] = {
    Instant: _tick,
    Record: seen,
    Pending: _pending,
    Claim: _claim,
}
_DULL = {**_PARTS, Node: _node}


class Shape:
    """How members look, learned from one of them. caps: counters by attribute name, with the
    value above which no rule tells them apart."""

    def __init__(self, prototype: Member, caps: Mapping[str, int]) -> None:
        self._caps = caps
        self._names: dict[type, tuple[str, ...]] = {}
        self._constants: dict[type, dict[str, Any]] = {}
        self._learn(prototype)

    def freeze(self, member: Member) -> Frozen:
        return self._freeze_object(member)

    def thaw(self, frozen: Frozen) -> Member:
        member: Member = self._thaw(frozen)
        return member

    def aged(self, frozen: Frozen, seconds: float) -> Frozen:
        """The same member so much later."""
        older: Frozen = aged(frozen, seconds, self._names)
        return older

    def _learn(self, thing: Any) -> None:
        names, constants = [], {}
        for name in _attributes(thing):
            value = getattr(thing, name)
            if name in TOLD or isinstance(value, CONSTANT) or callable(value):
                constants[name] = value
            else:
                names.append(name)
                if _changes_in_place(value):
                    self._learn(value)
        self._names[type(thing)] = tuple(names)
        self._constants[type(thing)] = constants

    def _freeze_object(self, thing: Any) -> Frozen:
        kind = type(thing)
        return (kind, *(self._freeze(name, getattr(thing, name)) for name in self._names[kind]))

    def _freeze(self, name: str, value: Any) -> Any:
        if type(value) in self._names:
            return self._freeze_object(value)
        cap = self._caps.get(name)
        if isinstance(value, dict):
            items = ((key, min(n, cap) if cap is not None else n) for key, n in value.items())
            return (dict, *sorted(items))
        if isinstance(value, list):
            assert not value, f"{name} is not empty between two events: {value}"
            return (list,)
        if cap is not None:
            return min(value, cap)
        return mapped(value, _DULL)

    def _thaw(self, value: Any) -> Any:
        if type(value) is not tuple or not value or not isinstance(value[0], type):
            return value
        kind: Any = value[0]
        if kind is dict:
            return dict(value[1:])
        if kind is list:
            return []
        thing = kind.__new__(kind)
        for name, constant in self._constants[kind].items():
            setattr(thing, name, constant)
        for name, child in zip(self._names[kind], value[1:], strict=True):
            setattr(thing, name, self._thaw(child))
        return thing


def _attributes(thing: Any) -> tuple[str, ...]:
    if hasattr(thing, "__dict__"):
        return tuple(thing.__dict__)
    return tuple(field.name for field in fields(thing))


def _changes_in_place(value: Any) -> bool:
    if is_dataclass(value):
        parameters: Any = type(value).__dict__["__dataclass_params__"]
        return not bool(parameters.frozen)
    return hasattr(value, "__dict__") and not isinstance(value, (int, float, str, tuple))
