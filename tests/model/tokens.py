"""Values that keep their kind through arithmetic, so that states can be told apart by what
matters: an instant by its distance from now, an epoch or a revision by its place among those
that anybody still knows.

`Names` renames what only has to be equal or in order, so that a pair that went through a
failover and recovered is the same state again. It walks tuples and frozen dataclasses, whatever
fields those have: the code under check may grow without this file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

__all__ = [
    "Beat",
    "Boot",
    "Epoch",
    "Instant",
    "Names",
    "Nonce",
    "Rev",
    "Seq",
    "field_names",
    "mapped",
    "rebuilt",
    "tokens",
]

T = TypeVar("T")

# Between two known numbers; that others lay between them is told from that none did.
GAP = 2


class Instant(float):
    """Seconds from now. The difference of two is a duration, a plain float."""

    def __add__(self, other: float) -> Instant:
        return Instant(float(self) + other)

    __radd__ = __add__

    def __sub__(self, other: float) -> float:
        difference = float(self) - float(other)
        return difference if isinstance(other, Instant) else Instant(difference)


class _Number(int):
    def __add__(self, other: int) -> Any:
        return type(self)(int(self) + other)

    __radd__ = __add__


class Epoch(_Number):
    """Of the service."""


class Rev(_Number):
    """Of the record."""


class Seq(_Number):
    """Of a Change."""


class Boot(str):
    """A life of a node: "A3"."""

    node: str
    number: int

    def __new__(cls, node: str, number: int) -> Boot:
        boot = super().__new__(cls, f"{node}{number}")
        boot.node, boot.number = node, number
        return boot

    def __reduce__(self) -> tuple[type[Boot], tuple[str, int]]:
        return Boot, (self.node, self.number)


class Nonce(str):
    """The attempt of that number of a boot on top of that revision."""

    boot: Boot
    rev: int
    attempt: int

    def __new__(cls, boot: Boot, rev: int, attempt: int) -> Nonce:
        nonce = super().__new__(cls, f"{boot}.{rev}.{attempt}")
        nonce.boot, nonce.rev, nonce.attempt = boot, rev, attempt
        return nonce


class Beat(str):
    """What a heartbeat file holds; that it changed is all that anybody sees."""

    node: str
    number: int

    def __new__(cls, node: str, number: int) -> Beat:
        beat = super().__new__(cls, f"{node}~{number}")
        beat.node, beat.number = node, number
        return beat


_FIELDS: dict[type, tuple[str, ...] | None] = {}


def field_names(kind: type) -> tuple[str, ...] | None:
    """Of a dataclass or a named tuple."""
    if kind not in _FIELDS:
        names = getattr(kind, "_fields", None)
        _FIELDS[kind] = tuple(f.name for f in fields(kind)) if is_dataclass(kind) else names
    return _FIELDS[kind]


def _children(value: Any) -> tuple[Any, ...] | None:
    if isinstance(value, tuple):
        return value
    names = field_names(type(value))
    return tuple(getattr(value, name) for name in names) if names is not None else None


def rebuilt(value: Any, children: list[Any]) -> Any:
    """The like of a tuple or dataclass, of these children."""
    kind = type(value)
    if kind is tuple:
        return tuple(children)
    return kind(*children)


def mapped(value: T, leaves: Mapping[type, Callable[[Any], Any]]) -> T:
    """The value with each leaf of these types replaced."""
    leaf = leaves.get(type(value))
    if leaf is not None:
        return leaf(value)  # type: ignore[no-any-return]  # a leaf is replaced by its like
    children = _children(value)
    if not children:
        return value
    mapped_children = [mapped(child, leaves) for child in children]
    same = all(new is old for new, old in zip(mapped_children, children, strict=True))
    return value if same else rebuilt(value, mapped_children)


def tokens(value: Any) -> Iterator[tuple[type, Any]]:
    """Every token in a value, with its kind: equal numbers of two kinds are not one."""
    kind = type(value)
    if kind in (Epoch, Rev, Seq, Boot, Beat):
        if value:
            yield kind, value
    elif kind is Nonce:
        yield Boot, value.boot
        if value.rev:
            yield Rev, value.rev
    else:
        for child in _children(value) or ():
            yield from tokens(child)


class Names:
    """New names for the tokens of a state, in the order of the old ones."""

    def __init__(self, known: Set[tuple[type, Any]]) -> None:
        numbers = {kind: _ranked(known, kind) for kind in (Epoch, Rev, Seq)}
        boots = _counted(known, Boot)
        beats = _counted(known, Beat)
        revs = numbers[Rev]
        self.same = all(new == old for names in numbers.values() for old, new in names.items())
        self.same &= all(new == old for names in (boots, beats) for old, new in names.items())
        # Equal numbers of different kinds are equal keys: one table for each kind.
        self._leaves: dict[type, Callable[[Any], Any]] = {
            Epoch: lambda epoch: Epoch(numbers[Epoch][epoch]) if epoch else epoch,
            Rev: lambda rev: Rev(revs[rev]) if rev else rev,
            Seq: lambda seq: Seq(numbers[Seq][seq]) if seq else seq,
            Boot: lambda boot: boots[boot],
            Beat: lambda beat: beats[beat],
            Nonce: lambda nonce: Nonce(
                boots[nonce.boot], revs[nonce.rev] if nonce.rev else 0, nonce.attempt
            ),
        }

    def renamed(self, value: T) -> T:
        return value if self.same else mapped(value, self._leaves)


def _ranked(known: Set[tuple[type, Any]], kind: type) -> dict[int, int]:
    names: dict[int, int] = {}
    last = new = 0
    for number in sorted(int(token) for of, token in known if of is kind):
        new += min(number - last, GAP) if last else 1
        names[number] = new
        last = number
    return names


def _counted(known: Set[tuple[type, Any]], kind: type) -> dict[Any, Any]:
    names: dict[Any, Any] = {}
    count: dict[str, int] = {}
    mine = (token for of, token in known if of is kind)
    for token in sorted(mine, key=lambda token: token.number):
        count[token.node] = count.get(token.node, 0) + 1
        names[token] = kind(token.node, count[token.node])
    return names
