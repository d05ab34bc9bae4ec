"""`config show`: what an origin goes by, as TOML: the file with its environment laid over it.

It may be shown to others: of addresses, passwords and what stands in their queries are left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from rtmp_sync.commands import terminal
from rtmp_sync.config import Address, load_config

__all__ = ["show_config"]

_BARE_KEY: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_USER: Final = re.compile("://[^/?]*@")
_QUERY: Final = re.compile("([?&](?:[^=&]*=)?)[^&]*")


def show_config(path: Path, *, with_defaults: bool, as_json: bool) -> int:
    """with_defaults: also what the file does not say. Raises WrongConfig."""
    config = load_config(path)
    values = _given(config, with_defaults)
    values.pop("environments", None)
    if as_json:
        terminal.print_json(json.loads(json.dumps(values, default=str)))
        return 0
    environment = values["node"].pop("environment", "")  # said here: the tables below have it all
    print(f"# {path}" + (f" in the environment {_key(environment)}" if environment else ""))
    print("\n".join(_tables(values, ())))
    return 0


def _given(value: Any, with_defaults: bool) -> Any:
    """As the file has it; of tables the keys that have a value, since TOML has no null."""
    match value:
        case BaseModel():
            return {
                key: _given(one, with_defaults)
                for key, one in value
                if one is not None and (with_defaults or key in value.model_fields_set)
            }
        case Address() | Path():
            return str(value)
        case list():
            return [_given(one, with_defaults) for one in value]
        case dict():
            return {key: _given(one, with_defaults) for key, one in value.items()}
        case str():
            return _without_secrets(value)
        case _:
            return value


def _without_secrets(text: str) -> str:
    """Of an address only what may be known; any other text as it is."""
    if "://" not in text:
        return text
    return _QUERY.sub(r"\1***", _USER.sub("://***@", text))


def _tables(table: Mapping[str, Any], name: tuple[str, ...]) -> Iterator[str]:
    plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
    says_nothing = not table and len(name) > 1  # which may mean something: nothing is allowed
    if (plain and name) or says_nothing:
        yield f"\n[{'.'.join(map(_key, name))}]"
    for key, value in plain.items():
        yield f"{_key(key)} = {_value(value)}"
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _tables(value, (*name, key))


def _key(key: str) -> str:
    return key if key and _BARE_KEY.issuperset(key) else _text(key)


def _value(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)  # "inf" and "nan", too
        case datetime() | date() | time():
            return value.isoformat()
        case list():
            return f"[{', '.join(map(_value, value))}]"
        case dict():
            inner = ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items())
            return f"{{ {inner} }}"
        case _:
            return _text(str(value))


def _text(text: str) -> str:
    """A JSON string is one of TOML's, but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
