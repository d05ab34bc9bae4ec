"""The symbols of an FMS configuration: what `${NAME}` stands for.

In FMS's order: ROOT and CONF, then fms.ini (ams.ini), then substitution.xml and the files that its
KeyValueFile elements name. A later one may use what earlier ones defined.
Source: Adobe, "Working with configuration files", Using symbols.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rtmp_sync.errors import ConfigError
from rtmp_sync.fms.xml_file import read_text, read_xml

__all__ = ["read_symbols", "resolve"]

_SYMBOL: Final = re.compile(r"\$\{([^{}]{1,200})\}")
# Symbols that double each other must not fill memory.
_MAX_CHARS: Final = 4096  # of one value
_MAX_SYMBOLS: Final = 10_000
_INI_FILES: Final = ("fms.ini", "ams.ini")


def read_symbols(conf: Path) -> dict[str, str]:
    """The symbols of the folder `conf`. Raises ConfigError for a file that cannot be read."""
    symbols = {"ROOT": str(conf.parent), "CONF": str(conf)}
    for name in _INI_FILES:
        if (path := conf / name).is_file():
            _take_lines(path, symbols)
    path = conf / "substitution.xml"
    if path.is_file():
        root = read_xml(path)
        for element in root.iterfind("Symbols/*"):
            symbols[element.tag] = resolve((element.text or "").strip(), symbols)[0]
        for element in root.iterfind("KeyValueFile"):
            further = Path(resolve((element.text or "").strip(), symbols)[0])
            if further.is_file():
                _take_lines(further, symbols)
    if len(symbols) > _MAX_SYMBOLS:
        raise ConfigError(str(conf), len(symbols), f"more than {_MAX_SYMBOLS} symbols")
    return symbols


def resolve(text: str, symbols: Mapping[str, str]) -> tuple[str, list[str]]:
    """The text with its symbols replaced, and those that nobody defined."""
    unknown: list[str] = []

    def value(match: re.Match[str]) -> str:
        name = match[1].strip()
        if name not in symbols:
            unknown.append(name)
        return symbols.get(name, match[0])

    return _SYMBOL.sub(value, text[:_MAX_CHARS])[:_MAX_CHARS], unknown


def _take_lines(path: Path, symbols: dict[str, str]) -> None:
    """`NAME = value` lines; "#" and ";" begin comments."""
    for line in read_text(path).splitlines():
        name, equals, value = line.partition("=")
        if len(symbols) > _MAX_SYMBOLS:
            return
        if equals and not name.lstrip().startswith(("#", ";")):
            symbols[name.strip()] = resolve(value.strip(), symbols)[0]
