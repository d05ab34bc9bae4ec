"""What a method takes of a client: the number and the types of its arguments, by its hints.

    hint                     taken                                       given to the method
    float                    a number                                    float
    int                      a number without a fraction                 int
    str  bool  None          just that; None also for undefined          as it is
    bytes                    a ByteArray                                 bytes
    list[X]  Sequence[X]     an array, also one that came as ECMA array  list
    tuple[X, ...]  tuple[X, Y]                                           tuple
    dict[str, X]  Mapping    an object                                   dict
    a TypedDict              an object with its keys                     dict
    X | Y  Optional[X]       what one of them takes, the first one       as that one says
    Literal["a", "b"]        one of these                                as it is
    any other class          its instances (as of a registered alias)    as it is
    Any, object, none, one that cannot be read: everything

The hints are read once; `bind` then costs a call for each argument that has one. Wrong arguments
are a sentence for the client, which names the argument.
"""

from __future__ import annotations

import collections.abc
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import pyamf
from pyamf.amf3 import ByteArray

__all__ = ["Arguments", "Fitting", "WrongArguments", "as_list"]

_MAX_NAME_CHARS: Final = 64  # of a key that the client chose, in what it is told

Fit = Callable[[object], object]
"""The value as the method gets it; raises _Misfit."""


class WrongArguments(Exception):
    """As text: what is wrong, for whoever called."""


class _Misfit(Exception):
    """where: the way into the value, "" for the value itself."""

    def __init__(self, expected: str, value: object, where: str = "") -> None:
        self.expected = expected
        self.value = value
        self.where = where


class _Kind(NamedTuple):
    """What a hint stands for. fit: None takes everything as it is."""

    expected: str
    fit: Fit | None


class Arguments:
    """Of one method: what follows `self` and the client."""

    __slots__ = ("_fits", "_names", "_rest", "least", "most", "shown")

    def __init__(self, function: Callable[..., object]) -> None:
        names, kinds, shown = [], [], []
        self.least = 0
        self.most: int | None = 0
        self._rest: Fit | None = None
        for parameter in _parameters(function):
            kind = _kind_of(_hint(function, parameter))
            if parameter.kind is parameter.VAR_POSITIONAL:
                self._rest, self.most = kind.fit, None
                shown.append(f"*{parameter.name}: {kind.expected}")
                continue
            needed = parameter.default is parameter.empty
            self.least += needed
            names.append(parameter.name)
            kinds.append(kind)
            shown.append(
                f"{parameter.name}: {kind.expected}{'' if needed else f' = {parameter.default!r}'}"
            )
        if self.most is not None:
            self.most = len(names)
        self._names = tuple(names)
        self._fits = tuple(kind.fit for kind in kinds)
        self.shown = tuple(shown)
        """One text for each parameter, for people."""

    def bind(self, values: Sequence[object]) -> list[object]:
        """The values as the method gets them. Raises WrongArguments."""
        count, fits = len(values), self._fits
        if count < self.least or (self.most is not None and count > self.most):
            raise WrongArguments(f"Wrong number of arguments: {count}, not {self._number()}")
        bound = list(values)
        for index, value in enumerate(values):
            fit = fits[index] if index < len(fits) else self._rest
            if fit is not None:
                try:
                    bound[index] = fit(value)
                except _Misfit as misfit:
                    raise WrongArguments(self._sentence(index, misfit)) from None
        return bound

    def _number(self) -> str:
        if self.most is None:
            return f"at least {self.least}"
        return f"{self.least}" if self.least == self.most else f"{self.least} to {self.most}"

    def _sentence(self, index: int, misfit: _Misfit) -> str:
        name = self._names[index] if index < len(self._names) else ""
        where = f" ({name}{misfit.where})" if name or misfit.where else ""
        actual = _named(misfit.value)
        return f"Argument {index + 1}{where} must be {misfit.expected}, not {actual}"


class Fitting:
    """What a hint takes of one value."""

    __slots__ = ("_kind",)

    def __init__(self, hint: object) -> None:
        self._kind = _kind_of(hint)

    def fit(self, value: object) -> object:
        """The value as the hint says it. Raises WrongArguments."""
        try:
            return value if self._kind.fit is None else self._kind.fit(value)
        except _Misfit as misfit:
            where = f" ({misfit.where})" if misfit.where else ""
            actual = _named(misfit.value)
            raise WrongArguments(f"must be {misfit.expected}, not {actual}{where}") from None


def as_list(value: object) -> list[object] | None:
    """An array, whatever form it came in (some players write every array as ECMA array)."""
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, pyamf.MixedArray):
        numbered = {str(index): item for index, item in value.items()}
        if all(str(index) in numbered for index in range(len(numbered))):
            return [numbered[str(index)] for index in range(len(numbered))]
    return None


# -- hints -----------------------------------------------------------------------------------------


def _parameters(function: Callable[..., object]) -> list[inspect.Parameter]:
    taken = {
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.VAR_POSITIONAL,
    }
    parameters = list(inspect.signature(function).parameters.values())[2:]
    return [one for one in parameters if one.kind in taken]


def _hint(function: Callable[..., object], parameter: inspect.Parameter) -> object:
    """One at a time: that of the client may be there for type checkers only."""
    if parameter.annotation is parameter.empty:
        return Any
    holder = types.SimpleNamespace(__annotations__={"hint": parameter.annotation})
    return _evaluated(holder, getattr(inspect.unwrap(function), "__globals__", {})).get("hint", Any)


def _evaluated(holder: object, names: Mapping[str, Any] | None = None) -> Mapping[str, object]:
    try:
        return typing.get_type_hints(holder, globalns=dict(names) if names is not None else None)
    except Exception:  # whatever an expression of the application's author raises
        return {}


def _kind_of(hint: object) -> _Kind:
    known = _SIMPLE.get(hint) if isinstance(hint, collections.abc.Hashable) else None
    if known is not None:
        return known
    origin, of = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _union([_kind_of(one) for one in of])
    if origin is typing.Literal:
        return _literal(of)
    outer = origin or hint
    if outer is tuple:
        return _tuple(of)
    if outer in _ARRAYS:
        return _array(_kind_of(of[0]) if of else _ANY)
    if outer in _OBJECTS:
        return _object(_kind_of(of[1]) if len(of) == 2 else _ANY)
    if typing.is_typeddict(hint):
        return _typed_dict(hint)
    if isinstance(hint, typing.NewType):
        return _kind_of(hint.__supertype__)
    if isinstance(hint, type) and not getattr(hint, "_is_protocol", False):
        return _class(hint)
    return _ANY


# -- what each takes -------------------------------------------------------------------------------


def _float(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise _Misfit("a number", value)


def _int(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise _Misfit("a whole number", value)


def _str(value: object) -> object:
    if isinstance(value, str):
        return value
    raise _Misfit("a string", value)


def _bool(value: object) -> object:
    if isinstance(value, bool):
        return value
    raise _Misfit("true or false", value)


def _none(value: object) -> object:
    if value is None or value is pyamf.Undefined:
        return None
    raise _Misfit("null", value)


def _bytes(value: object) -> object:
    if isinstance(value, ByteArray):
        return value.getvalue()
    raise _Misfit("a ByteArray", value)


def _array(item: _Kind) -> _Kind:
    def fit(value: object) -> object:
        items = as_list(value)
        if items is None:
            raise _Misfit("an array", value)
        return [_inside(item, one, f"[{at}]") for at, one in enumerate(items)]

    return _Kind(f"an array ({item.expected} each)" if item.fit else "an array", fit)


def _tuple(of: tuple[object, ...]) -> _Kind:
    if not of or of[-1] is Ellipsis:
        array = _array(_kind_of(of[0]) if of else _ANY)
        as_array = typing.cast(Fit, array.fit)
        return _Kind(array.expected, lambda value: tuple(typing.cast(Any, as_array(value))))
    kinds = [_kind_of(one) for one in of]
    expected = f"an array of {len(kinds)}"

    def fit(value: object) -> object:
        items = as_list(value)
        if items is None or len(items) != len(kinds):
            raise _Misfit(expected, value)
        pairs = zip(kinds, items, strict=True)
        return tuple(_inside(kind, one, f"[{at}]") for at, (kind, one) in enumerate(pairs))

    return _Kind(expected, fit)


def _object(item: _Kind) -> _Kind:
    def fit(value: object) -> object:
        if not isinstance(value, dict):
            raise _Misfit("an object", value)
        if item.fit is None:
            return value
        return {key: _inside(item, one, _member(key)) for key, one in value.items()}

    return _Kind("an object", fit)


def _typed_dict(hint: Any) -> _Kind:
    hints = _evaluated(hint)
    keys = tuple(hint.__annotations__)
    kinds: dict[str, _Kind] = {}  # from the first object on: it may be one of its own members
    required: frozenset[str] = hint.__required_keys__

    def fit(value: object) -> object:
        if not isinstance(value, dict):
            raise _Misfit("an object", value)
        if not kinds:
            kinds.update((key, _kind_of(hints.get(key, Any))) for key in keys)
        for key in required:
            if key not in value:
                raise _Misfit("given", pyamf.Undefined, _member(key))
        known = ((key, kinds.get(key, _ANY), one) for key, one in value.items())
        return {key: _inside(kind, one, _member(key)) for key, kind, one in known}

    return _Kind(f"an object ({', '.join(keys)})", fit)


def _union(kinds: list[_Kind]) -> _Kind:
    fits = [kind.fit for kind in kinds if kind.fit is not None]
    if len(fits) < len(kinds):
        return _ANY
    expected = " or ".join(kind.expected for kind in kinds)

    def fit(value: object) -> object:
        inside: _Misfit | None = None
        for one in fits:
            try:
                return one(value)
            except _Misfit as misfit:
                if misfit.where:  # the right kind, with something wrong in it
                    inside = misfit
        raise inside or _Misfit(expected, value)

    return _Kind(expected, fit)


def _literal(choices: tuple[object, ...]) -> _Kind:
    expected = "one of " + ", ".join(repr(choice) for choice in choices)

    def fit(value: object) -> object:
        for choice in choices:
            if isinstance(choice, bool) is isinstance(value, bool) and choice == value:
                return choice
        raise _Misfit(expected, value)

    return _Kind(expected, fit)


def _class(hint: type) -> _Kind:
    def fit(value: object) -> object:
        if isinstance(value, hint):
            return value
        raise _Misfit(hint.__name__, value)

    return _Kind(hint.__name__, fit)


def _inside(kind: _Kind, value: object, where: str) -> object:
    if kind.fit is None:
        return value
    try:
        return kind.fit(value)
    except _Misfit as misfit:
        raise _Misfit(misfit.expected, misfit.value, where + misfit.where) from None


def _member(key: object) -> str:
    return f".{str(key)[:_MAX_NAME_CHARS]}"


def _named(value: object) -> str:
    """In the words of who sent it."""
    for kind, name in _NAMES:
        if isinstance(value, kind):
            return name
    return "undefined" if value is pyamf.Undefined else type(value).__name__


_NAMES: Final[tuple[tuple[type | types.UnionType, str], ...]] = (
    (bool, "true or false"),
    (int | float, "a number"),
    (str, "a string"),
    (types.NoneType, "null"),
    (list | tuple | pyamf.MixedArray, "an array"),
    (dict, "an object"),
)
_ANY: Final = _Kind("anything", None)
_SIMPLE: Final[dict[object, _Kind]] = {
    Any: _ANY,
    object: _ANY,
    float: _Kind("a number", _float),
    int: _Kind("a whole number", _int),
    str: _Kind("a string", _str),
    bool: _Kind("true or false", _bool),
    None: _Kind("null", _none),
    types.NoneType: _Kind("null", _none),
    bytes: _Kind("a ByteArray", _bytes),
}
_ARRAYS: Final = (
    list,
    collections.abc.Sequence,
    collections.abc.MutableSequence,
    collections.abc.Iterable,
    collections.abc.Collection,
)
_OBJECTS: Final = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
