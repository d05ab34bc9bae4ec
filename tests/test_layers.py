"""Imports go one way, and the lower layers know neither I/O nor time.

errors <- wire <- protocol;  wire <- state;  state + wire <- cluster;  all of them <- the rest.
Walks every file with `ast` and names the line that breaks the rule.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "rtmp_sync"

SANS_IO = {"wire", "protocol", "state", "cluster"}

# What a part may import from this package. A part is a folder, or a file's name at the top.
ALLOWED = {
    "errors": set(),
    "codec": {"wire"},  # asks, when asked, which build of it was loaded
    "wire": {"errors", "wire"},
    "protocol": {"errors", "wire", "protocol"},
    "state": {"errors", "wire", "state"},
    "cluster": {"errors", "wire", "state", "cluster"},
}

BANNED_IN_SANS_IO = {
    "aiofiles", "aiohttp", "asyncio", "concurrent", "io", "logging", "os",
    "pathlib", "random", "secrets", "select", "selectors", "signal", "socket", "ssl", "structlog",
    "subprocess", "tempfile", "threading", "time", "uvloop",
}  # fmt: skip

BLOCKING = {"time.sleep"}
UNREPEATABLE = {"datetime.now", "datetime.utcnow", "date.today", "uuid.uuid1", "uuid.uuid4"}


def part_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports(tree: ast.Module, path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, absolute dotted module) of every import, also those inside functions."""
    package = ["rtmp_sync", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module == "rtmp_sync" or (node.level and not node.module):
                for alias in node.names:
                    yield node.lineno, f"{module}.{alias.name}"
            else:
                yield node.lineno, module


def called(node: ast.AST) -> str | None:
    """The dotted name that a call node calls, if it is as simple as `owner.name(…)`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        owner = node.func.value
        if isinstance(owner, ast.Name):
            return f"{owner.id}.{node.func.attr}"
    return None


def broken_rules(path: Path, source: str) -> list[str]:
    part = part_of(path)
    tree = ast.parse(source, str(path))
    found = []
    for line, module in imports(tree, path):
        top, _, rest = module.partition(".")
        if top == "rtmp_sync":
            target = rest.partition(".")[0]
            if part in ALLOWED and target not in ALLOWED[part]:
                found.append(f"{path}:{line}: {part} may not import rtmp_sync.{target}")
            if part not in ("cli", "__main__") and target == "cli":
                found.append(f"{path}:{line}: nothing imports the command line")
        elif part in SANS_IO and top in BANNED_IN_SANS_IO:
            found.append(f"{path}:{line}: {part} does no I/O and has no clock, so no {top}")
    for node in ast.walk(tree):
        if part in SANS_IO and called(node) in UNREPEATABLE:
            found.append(f"{path}:{node.lineno}: time and chance are arguments here")
        if isinstance(node, ast.AsyncFunctionDef):
            found.extend(
                f"{path}:{inner.lineno}: blocks the loop"
                for inner in ast.walk(node)
                if called(inner) in BLOCKING
            )
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            found.append(f"{path}:{node.lineno}: a bare except hides bugs")
    return found


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_a_file_keeps_to_its_layer(path: Path) -> None:
    assert broken_rules(path, path.read_text()) == []


@pytest.mark.parametrize(
    ("name", "source", "complaint"),
    [
        ("wire/x.py", "import socket", "1: wire does no I/O"),
        ("state/x.py", "def f():\n    import time", "2: state does no I/O"),
        ("state/x.py", "from ..protocol import events", "may not import rtmp_sync.protocol"),
        ("protocol/x.py", "from rtmp_sync import state", "may not import rtmp_sync.state"),
        ("cluster/x.py", "from .. import server", "may not import rtmp_sync.server"),
        ("server/x.py", "import rtmp_sync.cli", "nothing imports the command line"),
        ("server/x.py", "async def f():\n    time.sleep(1)", "2: blocks the loop"),
        ("cluster/x.py", "datetime.now()", "time and chance are arguments"),
        ("admin/x.py", "try:\n    pass\nexcept:\n    pass", "3: a bare except"),
    ],
)
def test_the_walk_finds_each_kind_of_break(name: str, source: str, complaint: str) -> None:
    (found,) = broken_rules(PACKAGE / name, source)
    assert complaint in found


def test_lower_layers_import_each_other_freely_downwards() -> None:
    source = "from ..wire import amf0\nfrom ..errors import ProtocolError\nfrom . import journal"
    assert broken_rules(PACKAGE / "state/x.py", source) == []
