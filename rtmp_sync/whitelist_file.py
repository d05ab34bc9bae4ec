"""The whitelist file of an application: TOML, a table for each user type.

    [Type1]
    "*" = false                                       # what nothing below names is refused
    "get*" = true
    setText = { allow = true, rate = "10/s" }         # of each client
    clearText = { rate = "1/m", burst = 2, total = "100/m" }   # allowed as before; not so often

    ["*"]                                             # user types without a table of their own
    "*" = false

What the rules mean together is in `state/access.py`. An error names the file, the line, the
table and the key.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Container, Iterator, Mapping
from functools import lru_cache
from typing import Final

from rtmp_sync.config_errors import WrongConfig, nearest
from rtmp_sync.errors import ConfigError
from rtmp_sync.state.access import Rate, Rule

__all__ = ["MAX_ERRORS", "MAX_FILE_BYTES", "parse", "unknown_methods"]

MAX_FILE_BYTES: Final = 256 * 1024  # it is one slot of the replicated state
MAX_ERRORS: Final = 50  # are told: they go into the history, too
_MAX_RULES: Final = 2_000  # each is held against each method when the file is loaded

_RATE: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*/\s*(s|m|h)", re.ASCII)
_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}
_KEYS: Final = ("allow", "rate", "burst", "total", "total_burst")


def parse(text: str, source: str) -> dict[str, list[Rule]]:
    """The rules by user type. source: what errors call the file. Raises WrongConfig."""
    if len(text.encode(errors="replace")) > MAX_FILE_BYTES:
        raise WrongConfig([ConfigError(source, "…", f"is longer than {MAX_FILE_BYTES} bytes")])
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise WrongConfig([ConfigError(source, "…", f"is not valid TOML: {error}")]) from None
    except RecursionError:
        raise WrongConfig([ConfigError(source, "…", "is nested too deeply")]) from None
    errors: list[ConfigError] = []
    rules: dict[str, list[Rule]] = {}
    for user_type, table in tables.items():
        if not isinstance(table, dict):
            key = _at(text, source, None, user_type)
            errors.append(ConfigError(key, table, "give a table, for example [Type1]"))
            continue
        rules[user_type] = []
        for pattern, value in table.items():
            try:
                rules[user_type].append(_rule(pattern, value))
            except ValueError as wrong:
                key = _at(text, source, user_type, pattern)
                errors.append(ConfigError(key, value, str(wrong)))
    if sum(map(len, rules.values())) > _MAX_RULES:
        errors.append(ConfigError(source, "…", f"has more than {_MAX_RULES} rules; use patterns"))
    if errors:
        raise WrongConfig(errors[:MAX_ERRORS])
    return rules


def unknown_methods(
    text: str, source: str, rules: Mapping[str, list[Rule]], methods: Container[str], app: str
) -> Iterator[ConfigError]:
    """An error for each rule that names a method which the application does not have. A pattern
    may match nothing: it is there for what comes."""
    for user_type, of_type in rules.items():
        for rule in of_type:
            if not _is_pattern(rule.pattern) and rule.pattern not in methods:
                fix = f"the application {app!r} has no such method with @allow; correct the name"
                yield ConfigError(_at(text, source, user_type, rule.pattern), rule.pattern, fix)


def _is_pattern(name: str) -> bool:
    return "*" in name or "?" in name


def _rule(pattern: str, value: object) -> Rule:
    if "[" in pattern:
        raise ValueError('only "*" and "?" stand for other characters in a pattern')
    if isinstance(value, bool):
        return Rule(pattern, value)
    if not isinstance(value, dict):
        raise ValueError('give true, false or a table, for example { rate = "10/s" }')
    for key in value:
        if key not in _KEYS:
            found = nearest(key, _KEYS)
            hint = f"did you mean {found}?" if found else f"known here: {', '.join(_KEYS)}"
            raise ValueError(f"unknown key {key!r}; {hint}")
    allow = value.get("allow")
    if allow is not None and not isinstance(allow, bool):
        raise ValueError("allow must be true or false")
    rate = _rate(value, "rate", "burst")
    total = _rate(value, "total", "total_burst")
    if allow is None and rate is None and total is None:
        raise ValueError("the table says nothing; give allow, rate or total")
    return Rule(pattern, allow, rate, total)


def _rate(value: Mapping[str, object], key: str, burst_key: str) -> Rate | None:
    text, burst = value.get(key), value.get(burst_key)
    if text is None:
        if burst is not None:
            raise ValueError(f"{burst_key} needs {key}")
        return None
    match = _RATE.fullmatch(text) if isinstance(text, str) else None
    if match is None or float(match[1]) <= 0:
        raise ValueError(f'{key} must be calls in a second, minute or hour: "10/s", "30/m", "5/h"')
    number = float(match[1])
    if burst is None:
        burst = max(1, round(number))
    if isinstance(burst, bool) or not isinstance(burst, int) or not 1 <= burst <= 1_000_000_000:
        raise ValueError(f"{burst_key} must be a whole number from 1 on")
    return Rate(number / _SECONDS[match[2]], burst)


def _at(text: str, source: str, user_type: str | None, key: str) -> str:
    """The place of a key."""
    line = _lines(text).get((user_type, key))
    place = source if line is None else f"{source}, line {line}"
    return f"{place}{_shown(user_type)}, {key}"


@lru_cache(maxsize=1)  # a file that is wrong in one place often is in all
def _lines(text: str) -> Mapping[tuple[str | None, str], int]:
    """In which line each key of each table is. tomllib does not tell it, so each is read alone."""
    found: dict[tuple[str | None, str], int] = {}
    table: str | None = None
    for number, line in enumerate(text.splitlines(), 1):
        try:
            read = tomllib.loads(line)
        except (tomllib.TOMLDecodeError, RecursionError):
            continue  # a part of a value that goes over several lines
        if not read:
            continue
        (name, _), *_rest = read.items()
        if line.lstrip().startswith("["):
            table = name
        else:
            found.setdefault((table, name), number)
    return found


def _shown(user_type: str | None) -> str:
    return "" if user_type is None else f", [{user_type}]"
