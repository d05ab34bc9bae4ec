"""A mapping of slots as an instance of a dataclass: reading a field reads its slot, and so on."""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import MutableMapping
from typing import Any, Final, TypeVar

from rtmp_sync.arguments import Fitting, WrongArguments

__all__ = ["slots_of"]

T = TypeVar("T")
_MAPPING: Final = "_rtmp_sync_slots"


def slots_of(mapping: MutableMapping[str, Any], kind: type[T]) -> T:
    """`mapping` as a `kind`, a dataclass. TypeError for another class."""
    view: Any = object.__new__(_view(typing.cast(Any, kind)))
    vars(view)[_MAPPING] = mapping
    return typing.cast(T, view)


class _Slot:
    """One field. A data descriptor, so it goes before the instance's own attributes."""

    def __init__(self, field: dataclasses.Field[Any], hint: object) -> None:
        self._name = field.name
        self._field = field
        self._fitting = Fitting(hint)

    def __get__(self, view: object, owner: type) -> Any:
        if view is None:
            return self
        mapping = vars(view)[_MAPPING]
        if self._name in mapping:
            return self._fit(mapping[self._name])
        if self._field.default is not dataclasses.MISSING:
            return self._field.default
        if self._field.default_factory is not dataclasses.MISSING:
            return self._field.default_factory()
        raise AttributeError(f"there is no slot {self._name}, and its field has no default")

    def __set__(self, view: object, value: object) -> None:
        vars(view)[_MAPPING][self._name] = self._fit(value)

    def __delete__(self, view: object) -> None:
        vars(view)[_MAPPING].pop(self._name, None)

    def _fit(self, value: object) -> object:
        try:
            return self._fitting.fit(value)
        except WrongArguments as wrong:
            raise ValueError(f"slot {self._name}: {wrong}") from None


@functools.cache
def _view(kind: type) -> type:
    if not dataclasses.is_dataclass(kind):
        raise TypeError(f"{kind.__name__} is no dataclass")
    hints = typing.get_type_hints(kind)
    slots = {field.name: _Slot(field, hints[field.name]) for field in dataclasses.fields(kind)}
    return type(kind.__name__, (kind,), {**slots, "__doc__": kind.__doc__})
