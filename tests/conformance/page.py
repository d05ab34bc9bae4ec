"""A page of docs/ that sets the members of another server's classes beside what is here.

    python -m tests.conformance.page ssas > docs/from_ssas.md
    python -m tests.conformance.page red5 > docs/from_red5.md

A row of the data is (members there, names here, note). What it is called is worked out: the same
when the only name here is that of there in Python's spelling, another name, or left out.
"""

from __future__ import annotations

import inspect
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import rtmp_sync

__all__ = ["PAGES", "exists", "names_here", "page", "rows"]

FOLDER = Path(__file__).parent
PAGES = {"ssas": "from_ssas.md", "red5": "from_red5.md"}
Row = tuple[str, str, str]


def page(which: str) -> str:
    """The whole page."""
    data = _data(which)
    parts = [f"# {data['title']}\n\n<!-- Generated from tests/conformance/{which}.toml. -->\n\n"]
    parts.append(data["introduction"])
    for one in data["class"]:
        parts.append(f"\n## {one['name']}\n\n| there | | here | |\n| --- | --- | --- | --- |\n")
        parts += [_line(*row) for row in one["members"]]
    return "".join(parts)


def rows(which: str) -> list[Row]:
    """All rows of a page's tables."""
    return [
        (there, here, note) for one in _data(which)["class"] for there, here, note in one["members"]
    ]


def names_here(here: str) -> list[str]:
    """The single names of what a row names here."""
    return here.split(", ") if here else []


def exists(name: str) -> bool:
    """Whether `rtmp_sync` has it: a name of the package, or an attribute of one of its classes,
    made by the class itself or by its `__init__`."""
    owner_name, _, attribute = name.partition(".")
    owner: Any = getattr(rtmp_sync, owner_name, None)
    if not attribute or owner is None:
        return owner is not None
    if not hasattr(owner, attribute):
        fields = getattr(owner, "__annotations__", {})
        made = re.search(rf"self\.{attribute}\b[^=\n]*=", inspect.getsource(owner.__init__))
        return attribute in fields or made is not None
    return not attribute.startswith("_")


def _line(there: str, here: str, note: str) -> str:
    names = names_here(here)
    if not names:
        status = "left out"
    elif len(names) == 1 and _spelled(there) == names[0].rpartition(".")[2]:
        status = "same"
    else:
        status = "other name"
    shown = ", ".join(f"`{name}`" for name in names)
    members = ", ".join(f"`{name}`" for name in there.split(", ")) if _is_code(there) else there
    return f"| {members} | {status} | {shown} | {note} |\n"


def _spelled(there: str) -> str:
    """A member of there as Python spells it."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", there.removesuffix("()")).lower()


def _is_code(there: str) -> bool:
    return all(re.fullmatch(r"(new )?[\w.]+(\(\))?", name) for name in there.split(", "))


def _data(which: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / f"{which}.toml").read_text())


if __name__ == "__main__":
    print(page(sys.argv[1]), end="")
