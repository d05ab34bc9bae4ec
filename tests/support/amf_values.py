"""Values for AMF made from a seed, and a form in which values of two codecs can be compared."""

from __future__ import annotations

import math
import random
from datetime import datetime, timedelta
from typing import Any

import pyamf
from pyamf.amf3 import ByteArray
from pyamf.flex import ArrayCollection, ObjectProxy

_LETTERS = "abcdefgh ABC_.-/09éßøΩж語日🙂\n\x00"
_NAMES = ["x", "name", "id", "score", "room", "online", "Größe", "état", "level", "code"]
_CLASSES = ["no.such.Thing", "not.here.Player"]
_EPOCH = datetime(1970, 1, 1)


class ValueMaker:
    """Makes values that both pyamf and we can write in this encoding (0 or 3).

    References are made in most messages by giving a container to two places. In AMF0 a message
    has either dates or references: pyamf gives dates a slot there, against the format.
    """

    def __init__(self, seed: int, encoding: int) -> None:
        self.random = random.Random(seed)
        self.encoding = encoding
        self.made: list[Any] = []
        self.dates = True

    def message(self) -> list[Any]:
        """One to three values of one message."""
        self.made = []
        self.dates = self.encoding == 3 or self.random.random() < 0.5
        return [self.value(3) for _ in range(self.random.choice((1, 1, 1, 2, 3)))]

    def value(self, depth: int) -> Any:
        kind = self.random.random()
        if depth == 0 or kind < 0.65:
            return self.scalar()
        shares = self.encoding == 3 or not self.dates
        if shares and self.made and kind < 0.70:
            return self.random.choice(self.made)
        container = self.container(kind, depth - 1)
        self.made.append(container)
        return container

    def container(self, kind: float, depth: int) -> Any:
        values = [self.value(depth) for _ in range(self.random.randint(0, 4))]
        names = self.random.sample(_NAMES, len(values))
        pairs = dict(zip(names, values, strict=True))
        if kind < 0.80:
            return values
        if kind < 0.90:
            return pyamf.ASObject(pairs)
        if kind < 0.94 and pairs:
            return pyamf.MixedArray(pairs)
        if kind < 0.97 or self.encoding == 0:
            typed = pyamf.TypedObject(self.random.choice(_CLASSES))
            typed.update(pairs)
            return typed
        if kind < 0.98:
            return ArrayCollection(values)
        if kind < 0.99:
            return ObjectProxy(pyamf.ASObject(pairs))
        return ByteArray(self.random.randbytes(self.random.randint(0, 20)))

    def scalar(self) -> Any:
        kind = self.random.randrange(10)
        if kind < 3:
            return self.text()
        if kind < 5:
            return self.number()
        if kind == 5:
            return self.integer()
        if kind == 6 and self.dates:
            # pyamf rounds milliseconds and mirrors those before 1970
            return _EPOCH + timedelta(seconds=self.random.randint(0, 4 * 10**9))
        return self.random.choice((None, True, False, pyamf.Undefined))

    def text(self) -> str:
        if self.random.random() < 0.5:
            return self.random.choice(_NAMES)
        length = self.random.choice((0, 1, 5, 20, 70, 200))
        return "".join(self.random.choices(_LETTERS, k=length))

    def number(self) -> float:
        return self.random.choice(
            (
                self.random.uniform(-1e6, 1e6),
                float(self.random.randint(-(2**53), 2**53)),
                self.random.uniform(-1, 1) * 10.0 ** self.random.randint(-300, 300),
                math.inf,
                -math.inf,
                math.nan,
                -0.0,
                5e-324,
            )
        )

    def integer(self) -> int:
        bits = self.random.randint(0, 40)
        return self.random.randint(-(2**bits), 2**bits)


def comparable(value: Any, encoding: int, *, named: bool = True) -> Any:
    """The value as tuples and strings; a container that comes again is a number.

    Members are taken by name, since pyamf reorders those of a MixedArray. AMF0 has doubles
    only, so there int and float are one (and so are both zeros, since pyamf reads ints); in
    AMF3 they are not. named: whether class names count; pyamf writes a TypedObject without.
    """
    return _comparable(value, encoding, named, {})


def _comparable(value: Any, encoding: int, named: bool, seen: dict[int, int]) -> Any:
    if isinstance(value, bool) or value is None or isinstance(value, str | datetime):
        return value
    if isinstance(value, int | float):
        if encoding == 0:
            return ("double", (float(value) + 0.0).hex())
        integer = isinstance(value, int) and -(2**28) <= value < 2**28
        return ("int", value) if integer else ("double", float(value).hex())
    if value is pyamf.Undefined:
        return "<undefined>"
    if id(value) in seen:
        return ("again", seen[id(value)])
    seen[id(value)] = len(seen)
    name = type(value).__name__
    if isinstance(value, dict):
        if type(value) is pyamf.TypedObject:
            name = value.alias if named else "ASObject"
        elif type(value) is dict:  # pyamf's ObjectProxy makes one out of any other
            name = "ASObject"
        items = [(key, _comparable(value[key], encoding, named, seen)) for key in sorted(value)]
        return (name, tuple(items))
    if isinstance(value, list):
        return (name, tuple(_comparable(item, encoding, named, seen) for item in value))
    if isinstance(value, ObjectProxy):
        return (name, _comparable(value._amf_object, encoding, named, seen))
    if isinstance(value, ByteArray):
        return (name, value.getvalue())
    raise AssertionError(f"no comparable form for {value!r}")
