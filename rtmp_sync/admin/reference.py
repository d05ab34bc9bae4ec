"""The table of docs/admin_api.md, made from the methods.

python -m rtmp_sync.admin.reference docs/admin_api.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rtmp_sync.admin.method import Method, found_methods
from rtmp_sync.admin.openapi import PREFIX

__all__ = ["renewed", "table"]

BEGIN: Final = "<!-- made by `python -m rtmp_sync.admin.reference docs/admin_api.md` -->"
END: Final = "<!-- end of methods -->"


def table() -> str:
    """Every method: what it is called in FMS, which arguments it takes, where it is as JSON."""
    return "\n".join(_lines())


def renewed(page: str) -> str:
    """The page with the table as it should be. ValueError without the marks around it."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page needs {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def _lines() -> Iterator[str]:
    methods = sorted(found_methods().values(), key=lambda method: method.changes)
    yield "| method | arguments | JSON | |"
    yield "| --- | --- | --- | --- |"
    for method in methods:
        verb = "POST" if method.changes else "GET"
        path = f"`{verb} {PREFIX}{method.path}`"
        meaning = f"**Changes.** {method.meaning}" if method.changes else method.meaning
        yield f"| `{method.name}` | {_arguments(method)} | {path} | {meaning} |"


def _arguments(method: Method) -> str:
    told = []
    for argument in method.arguments:
        name = "arg0, arg1, …" if argument.kind is list else argument.name
        told.append(f"`{name}`" if argument.required else f"[`{name}`]")
    return " ".join(told)


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(renewed(file.read_text()))
