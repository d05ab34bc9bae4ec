"""What `from rtmp_sync import …` offers is a promise, so a change of it is made on purpose."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import rtmp_sync
from rtmp_sync import errors
from tests.api_reference import GROUPS, attributes, members, named, page

PROMISED = {
    "Application",
    "Client",
    "Config",
    "NetConnection",
    "Origin",
    "ServerStream",
    "SharedObject",
    "StreamRequest",
    "allow",
    *errors.__all__,
}
DESCRIBED = [name for group in GROUPS.values() for name in group]
CLASSES = [name for name in DESCRIBED if inspect.isclass(named(name))]
UNITS = re.compile(r"second|_ms\b|bytes|messages|version|number|how many|slots|port|times\b")


def test_the_public_names_are_the_promised_ones() -> None:
    assert set(rtmp_sync.__all__) == PROMISED


def test_errors_have_one_root() -> None:
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), errors.RtmpSyncError)


def test_the_reference_of_the_api_is_current_and_has_every_public_name() -> None:
    document = Path(__file__).parent.parent / "docs" / "api.md"
    assert document.read_text() == page(), "run `python -m tests.api_reference > docs/api.md`"
    assert set(DESCRIBED) >= set(rtmp_sync.__all__)
    assert len(DESCRIBED) == len(set(DESCRIBED))


@pytest.mark.parametrize("name", CLASSES)
def test_every_public_member_says_what_it_is(name: str) -> None:
    cls = named(name)
    assert [one.name for one in members(cls) if not one.doc] == []
    assert sorted(one for one in attributes(cls) if not says(cls.__doc__, one)) == []


@pytest.mark.parametrize("name", DESCRIBED)
def test_what_is_raised_is_named(name: str) -> None:
    """By the function itself, or by a private one of the same class that it calls."""
    silent = [
        f"{function.__qualname__}: {error}"
        for function, doc in functions(name)
        for error in raised(function, named(name), set())
        if not says(doc, error)
    ]
    assert silent == []


@pytest.mark.parametrize("name", DESCRIBED)
def test_numbers_have_a_unit(name: str) -> None:
    bare = []
    for function, doc in functions(name):
        hints = [str(one) for one in function.__annotations__.values()]
        if {"int", "float"} & {part for hint in hints for part in hint.split(" | ")}:
            bare += [function.__qualname__] if not UNITS.search(doc) else []
    assert bare == []


@pytest.mark.parametrize("name", sorted({*DESCRIBED} - {*errors.__all__}))
def test_where_it_comes_from_is_told(name: str) -> None:
    assert "Source: " in (named(name).__doc__ or "")


def functions(name: str) -> Iterator[tuple[Any, str]]:
    """Each public function of a name, with all that is said of it."""
    thing = named(name)
    if not inspect.isclass(thing):
        yield thing, thing.__doc__ or ""
        return
    for one in members(thing):
        if one.function is not None:
            names = " ".join(inspect.signature(one.function).parameters)  # `position_ms` says it
            yield one.function, f"{one.name} {names} {one.doc} {thing.__doc__}"


def raised(function: Any, owner: Any, seen: set[str]) -> set[str]:
    """Names of what the code raises in so many words."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        if isinstance(node, ast.Raise) and node.exc is not None:
            error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            found |= {error.id} if isinstance(error, ast.Name) and error.id[0].isupper() else set()
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and node.attr not in seen:
            private = inspect.getattr_static(owner, node.attr, None)
            private = getattr(private, "__func__", private)
            seen.add(node.attr)
            if inspect.isfunction(private):
                found |= raised(private, owner, seen)
    return found


def says(doc: str | None, word: str) -> bool:
    return re.search(rf"\b{word}\b", doc or "") is not None
