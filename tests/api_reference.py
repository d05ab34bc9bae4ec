"""docs/api.md: what `from rtmp_sync import …` offers, from its docstrings.

    python -m tests.api_reference > docs/api.md

A member is a function, property or class variable of the class itself; the attributes that its
`__init__` makes, slots and fields are described in the docstring of the class.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from typing import Any, NamedTuple

import rtmp_sync
from rtmp_sync import errors
from rtmp_sync.bandwidth_limit import BandwidthLimit
from rtmp_sync.server.remote_object import RemoteSharedObject
from rtmp_sync.server.remote_stream import RemoteStream
from rtmp_sync.server.traffic import Traffic

__all__ = ["GROUPS", "Member", "attributes", "members", "named", "page"]

GROUPS = {
    "Writing an application": (
        *("Application", "allow", "Client", "Traffic", "BandwidthLimit", "SharedObject"),
        *("ServerStream", "StreamRequest"),
    ),
    "A client": ("NetConnection", "RemoteSharedObject", "RemoteStream"),
    "Running an origin": ("Config", "Origin"),
    "Errors": tuple(errors.__all__),
}

_RETURNED = (BandwidthLimit, RemoteSharedObject, RemoteStream, Traffic)  # not imported
_GIVEN = {one.__name__: one for one in _RETURNED}

# What the server's own modules call; no part of the promise.
_OWN = {
    *("Client.granted", "Client.unlink", "Traffic.add", "ServerStream.at_work"),
    *("StreamRequest.parse", "RemoteSharedObject.link_lost", "RemoteSharedObject.receive"),
    *("RemoteSharedObject.use", "RemoteSharedObject.used", "RemoteStream.end"),
    *("RemoteSharedObject.follower", "RemoteSharedObject.synced", "RemoteSharedObject.slots"),
    *("RemoteSharedObject.writes", "RemoteSharedObject.write", "RemoteSharedObject.clear_by"),
    *("RemoteSharedObject.say", "RemoteSharedObject.give_up", "RemoteSharedObject.abandon"),
    *("RemoteStream.receive_media", "RemoteStream.receive_signal", "RemoteStream.receive_status"),
    "NetConnection.begin_use",
}
# Of `Origin` and `Config` only these: their other names are for the package.
_OF = {
    "Origin": {"start", "stop", "run", "rtmp_port"},
    "Config": {"check", "is_pair", "coordinator", "timing"},
}

_PREFIXES: dict[Any, str] = {
    inspect.Parameter.VAR_POSITIONAL: "*",
    inspect.Parameter.VAR_KEYWORD: "**",
}

_INTRODUCTION = """\
# API

<!-- Generated from docstrings: change those; `python -m tests.api_reference > docs/api.md`. -->

What `from rtmp_sync import …` offers, and the classes of what that hands out. How they are used
is in [applications](applications.md); what the same is called elsewhere in
[from server-side ActionScript](from_ssas.md) and [from Red5](from_red5.md). A name that is not here
may change any time.
"""


class Member(NamedTuple):
    """One name of a class. signature: as one reads it, without the class."""

    name: str
    signature: str
    doc: str
    function: Any = None


def named(name: str) -> Any:
    """The class or function of that name."""
    return _GIVEN.get(name) or getattr(rtmp_sync, name)


def members(cls: type) -> Iterator[Member]:
    """The public ones, in the order of the code."""
    texts = _texts_below(cls)
    for name, value in vars(cls).items():
        if name.startswith("_") or not _promised(cls, name):
            continue
        function = getattr(value, "fget", getattr(value, "__func__", value))
        if isinstance(value, property):
            returns = inspect.signature(function).return_annotation
            written = "" if value.fset is None else ", may be set"
            doc = inspect.getdoc(value) or ""
            yield Member(name, f"{name}: {_plain(returns)}{written}", doc, function)
        elif inspect.isfunction(function):
            yield Member(name, _signature(name, function), inspect.getdoc(function) or "", function)
        elif name in texts:
            yield Member(name, name, texts[name])


def attributes(cls: type) -> set[str]:
    """Public attributes that objects of a class have besides."""
    if cls.__name__ in _OF:
        return set()
    found = {*getattr(cls, "__slots__", ()), *getattr(cls, "__dataclass_fields__", ())}
    made = inspect.getattr_static(cls, "__init__")
    if inspect.isfunction(made) and not hasattr(cls, "__dataclass_fields__"):
        found |= set(re.findall(r"self\.(\w+)\b[^=\n]*=", inspect.getsource(made)))
    return {one for one in found if not one.startswith("_") and _promised(cls, one)}


def page() -> str:
    """The whole page."""
    parts = [_INTRODUCTION]
    for title, names in GROUPS.items():
        parts.append(f"## {title}\n")
        for name in names:
            parts += _entry(name)
    return "\n".join(parts)


def _entry(name: str) -> Iterator[str]:
    thing = named(name)
    if not inspect.isclass(thing):
        yield f"### `@{_signature(name, thing)}`\n\n{inspect.getdoc(thing)}\n"
        return
    yield f"### `{name}`\n\n{_heading(thing)}{inspect.getdoc(thing)}\n"
    for member in members(thing):
        yield f"#### `{member.signature}`\n\n{member.doc}\n"


def _heading(cls: type) -> str:
    """How one is made, where the reader makes it."""
    if cls.__name__ in ("NetConnection", "Reject", "CallError"):
        made = inspect.getattr_static(cls, "__init__")
        return f"    {_signature(cls.__name__, made).partition(' -> ')[0]}\n\n"
    if issubclass(cls, Exception):
        return f"A kind of `{cls.__base__.__name__ if cls.__base__ else ''}`. "
    return ""


def _promised(cls: type, name: str) -> bool:
    return f"{cls.__name__}.{name}" not in _OWN and name in _OF.get(cls.__name__, {name})


def _signature(name: str, function: Any) -> str:
    parts: list[str] = []
    parameters = list(inspect.signature(function).parameters.values())
    starred = False
    for one in parameters:
        if one.name == "self":
            continue
        if one.kind is one.KEYWORD_ONLY and not starred:
            parts.append("*")
            starred = True
        prefix = _PREFIXES.get(one.kind, "")
        starred |= prefix == "*"
        default = "" if one.default is one.empty else f" = {one.default!r}"
        parts.append(f"{prefix}{one.name}: {_plain(one.annotation)}{default}")
    returns = _plain(inspect.signature(function).return_annotation)
    waits = "await " if inspect.iscoroutinefunction(function) else ""
    return f"{waits}{name}({', '.join(parts)}) -> {returns}"


def _plain(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "Any")


def _texts_below(cls: type) -> dict[str, str]:
    """Class variables with the text that stands below them."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(tree, ast.ClassDef)
    found: dict[str, str] = {}
    for before, after in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(before, ast.AnnAssign) and isinstance(after, ast.Expr):
            text = getattr(after.value, "value", None)
            if isinstance(before.target, ast.Name) and isinstance(text, str):
                found[before.target.id] = inspect.cleandoc(text)
    return found


if __name__ == "__main__":
    print(page(), end="")
