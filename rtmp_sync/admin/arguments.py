"""The arguments of a method, from an FMS query, from a path and query, or from a JSON body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rtmp_sync.admin.method import Argument, Method
from rtmp_sync.admin.refusal import bad_value

__all__ = ["from_fms", "from_json", "from_path", "from_query"]

MAX_VALUES: Final = 64  # of an argument that is a list
_FLAGS: Final = {"true": True, "1": True, "false": False, "0": False}

Arguments = dict[str, object]


def from_fms(method: Method, query: Mapping[str, str]) -> Arguments:
    """As FMS takes them: names in any case, values perhaps in quotes, what is unknown left out.
    Raises Refusal."""
    given = {name.casefold(): _unquoted(value) for name, value in query.items()}
    found: Arguments = {}
    for argument in method.arguments:
        if argument.kind is list:
            found[argument.name] = _numbered(given)
            continue
        names = (argument.name, *argument.also)
        text = next((given[name.casefold()] for name in names if name.casefold() in given), None)
        if text is not None:
            found[argument.name] = _read(argument, text)
    return _complete(method, found)


def from_path(parts: Mapping[str, str]) -> Arguments:
    """Those that stand in the path."""
    found: Arguments = dict(parts)
    if "app" in found and "instance" in found:
        found["appInst"] = f"{found.pop('app')}/{found.pop('instance')}"
    return found


def from_query(method: Method, in_path: Arguments, query: Mapping[str, str]) -> Arguments:
    """Of a read of the JSON API. Raises Refusal, also for a name that is not known."""
    found = dict(in_path)
    for name, text in query.items():
        found[name] = _read(_known(method, in_path, name), text)
    return _complete(method, found)


def from_json(method: Method, in_path: Arguments, body: object) -> Arguments:
    """Of a change of the JSON API: `body` is what came. Raises Refusal."""
    if not isinstance(body, dict):
        raise bad_value("the body must be a JSON object")
    found = dict(in_path)
    for name, value in body.items():
        argument = _known(method, in_path, name)
        if not isinstance(value, argument.kind):
            raise bad_value(f"{name}: give {_WORDS[argument.kind]}")
        if isinstance(value, str) and not _is_text(value):
            raise bad_value(f"{name}: half of a surrogate pair is no text")
        if isinstance(value, list) and len(value) > MAX_VALUES:
            raise bad_value(f"{name}: at most {MAX_VALUES} values")
        found[name] = value
    return _complete(method, found)


_WORDS: Final[dict[type, str]] = {str: "a string", bool: "true or false", list: "an array"}


def _is_text(value: str) -> bool:
    """JSON can say what UTF-8 cannot."""
    return not any("\ud800" <= sign <= "\udfff" for sign in value)


def _known(method: Method, in_path: Arguments, name: str) -> Argument:
    for argument in method.arguments:
        if argument.name == name and name not in in_path and not argument.ignored:
            return argument
    raise bad_value(f"{name}: there is no such argument")


def _complete(method: Method, found: Arguments) -> Arguments:
    for argument in method.arguments:
        if argument.name in found:
            continue
        if argument.required:
            raise bad_value(f"{argument.name} is missing")
        found[argument.name] = argument.default
    return found


def _read(argument: Argument, text: str) -> object:
    if argument.kind is bool:
        flag = _FLAGS.get(text.casefold())
        if flag is None:
            raise bad_value(f"{argument.name}: give true or false")
        return flag
    return text


def _numbered(given: Mapping[str, str]) -> list[str]:
    """arg0, arg1, …, up to the first that is missing."""
    values: list[str] = []
    while (name := f"arg{len(values)}") in given:
        values.append(given[name])
        if len(values) > MAX_VALUES:
            raise bad_value(f"at most {MAX_VALUES} arguments")
    return values


def _unquoted(text: str) -> str:
    """As in FMS's own documentation: `scope="App:chat"`."""
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if quoted else text
