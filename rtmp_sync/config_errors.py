"""Configuration errors in the words of the file: key, value and what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import get_args, get_type_hints

from pydantic import BaseModel, ValidationError

from rtmp_sync.errors import ConfigError

__all__ = ["NOT_GIVEN", "WrongConfig", "errors_from", "nearest"]


class _NotGiven:
    """The value of a key that is absent."""

    def __repr__(self) -> str:
        return "(not given)"


NOT_GIVEN = _NotGiven()

# pydantic's kinds of error -> what would be right. Others say it in their own message.
_FIXES = {
    "int_type": "give a whole number without quotes",
    "int_from_float": "give a whole number",
    "float_type": "give a number without quotes",
    "string_type": "give text in quotes",
    "bool_type": "give true or false",
    "list_type": 'give a list, for example ["a", "b"]',
    "dict_type": "give a table",
    "model_type": "give a table",
    "model_attributes_type": "give a table",
    "missing": "this key is needed",
    "string_too_short": "must not be empty",
}


class WrongConfig(ConfigError):
    """Every error of one configuration; as text, one line each. The first one is `key`…"""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        first = errors[0]
        super().__init__(first.key, first.value, first.fix)
        self.errors = tuple(errors)

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)


def nearest(word: str, known: Sequence[str]) -> str | None:
    """The known word that a misspelt one most likely means."""
    found = difflib.get_close_matches(word.casefold(), [*known], n=1, cutoff=0.6)
    return found[0] if found else None


def errors_from(error: ValidationError, root: type[BaseModel]) -> list[ConfigError]:
    """What pydantic found, once per key, as our own errors."""
    found: dict[str, ConfigError] = {}
    for detail in error.errors(include_url=False):
        location = _location(detail["loc"], root)
        key = ".".join(location)
        kind = detail["type"]
        value: object = NOT_GIVEN if kind == "missing" else detail["input"]
        if isinstance(value, dict):
            value = "{…}"
        if kind == "extra_forbidden":
            fix = _unknown(location, root)
        elif kind == "value_error":
            fix = str(detail["ctx"]["error"])
        elif kind == "literal_error":
            fix = f"give {detail['ctx']['expected']}"
        else:
            fix = _FIXES.get(kind) or detail["msg"].replace("Input should", "must")
        if key in found:  # the branches of a union: "a number, or "never""
            fix = f"{found[key].fix}, or {fix.removeprefix('give ')}"
        found[key] = ConfigError(key, value, fix)
    return list(found.values())


def _location(parts: tuple[int | str, ...], root: type[BaseModel]) -> list[str]:
    """The key's path as the file has it: pydantic adds the names of a union's branches."""
    location: list[str] = []
    model: type[BaseModel] | None = root
    for part in parts:
        if isinstance(part, str) and location and model is None and _names_a_branch(part):
            continue
        location.append(str(part))
        model = _model_at(model, str(part)) if model is not None else None
    return location


def _names_a_branch(part: str) -> bool:
    """As in `apps.text.allow.Type1.list[str]` or `failover.cold_start_alone.literal['never']`."""
    return "[" in part or part in {"float", "int", "str", "bool", "constrained-float"}


def _model_at(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    """The model of the table `key` in `model`; None when it is not a table of ours."""
    field = model.model_fields.get(key)
    annotation = field.annotation if field is not None else _free_tables(model)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return None


def _free_tables(model: type[BaseModel]) -> object:
    """The type of the tables with names of the user's choice, as in `[apps.NAME]`."""
    if model.model_config.get("extra") != "allow":
        return None
    return get_args(get_type_hints(model)["__pydantic_extra__"])[1]


def _unknown(location: list[str], root: type[BaseModel]) -> str:
    """The fix for a key that does not exist: the nearest that does, here or elsewhere."""
    model: type[BaseModel] = root
    for part in location[:-1]:
        model = _model_at(model, part) or model
    word = location[-1]
    if found := nearest(word, list(model.model_fields)):
        return f"unknown key; did you mean {'.'.join([*location[:-1], found])}?"
    for name in root.model_fields:
        section = _model_at(root, name)
        if section is not None and word in section.model_fields:
            return f"unknown key; it belongs into [{name}]"
    return f"unknown key; known here: {', '.join(model.model_fields)}"
