"""`[environments.NAME]`: one file for several sites, such as staging and production.

An environment's tables are laid over the others. Which one is in force says `node.environment`,
or, before that, the variable RTMP_SYNC_ENVIRONMENT. A name that is not there stops the origin: it
must never serve with the pair file of another site. Those that are not in force are checked, too:
a mistake in production is to be found on the machine where it was made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rtmp_sync.config_errors import NOT_GIVEN, WrongConfig
from rtmp_sync.errors import ConfigError

__all__ = ["ENVIRONMENT_VARIABLE", "Environments"]

ENVIRONMENT_VARIABLE = "RTMP_SYNC_ENVIRONMENT"


class Environments:
    """Those of the file `data`. Raises WrongConfig when none has the name that is asked for, or
    when one holds environments itself."""

    def __init__(self, data: dict[str, Any], variables: Mapping[str, str]) -> None:
        self._data = data
        tables = data.get("environments")
        found = tables if isinstance(tables, dict) else {}
        self._tables: dict[str, dict[str, Any]] = {
            name: table for name, table in found.items() if isinstance(table, dict)
        }
        for name, table in self._tables.items():
            if "environments" in table:
                fix = "an environment cannot hold environments; remove it"
                raise WrongConfig(
                    [ConfigError(f"environments.{name}.environments", NOT_GIVEN, fix)]
                )
        self.in_force = self._chosen(variables)
        """As the file spells it; "" for none."""

    @property
    def others(self) -> Iterator[str]:
        """The names of those that are not in force."""
        return (name for name in self._tables if name != self.in_force)

    def laid_over(self, name: str) -> dict[str, Any]:
        """The file as it is in that environment; "" for none."""
        if not name:
            return self._data
        merged = _merged(self._data, self._tables[name])
        node = merged.get("node")
        if isinstance(node, dict):
            merged["node"] = {**node, "environment": name}
        return merged

    def blamed(self, name: str, errors: Iterable[ConfigError]) -> Iterator[ConfigError]:
        """Errors of the merged file, with the full key of those that are this environment's."""
        for error in errors:
            if name and _holds(self._tables[name], error.key.split(".")):
                key = f"environments.{name}.{error.key}"
                yield ConfigError(key, error.value, error.fix)
            else:
                yield error

    def _chosen(self, variables: Mapping[str, str]) -> str:
        node = self._data.get("node")
        key, name = "node.environment", None
        if isinstance(node, dict):
            name = node.get("environment")
        if asked := variables.get(ENVIRONMENT_VARIABLE):
            key, name = ENVIRONMENT_VARIABLE, asked
        if not isinstance(name, str):
            return ""  # the check of its type says so
        if not name or name in self._tables:
            return name
        # An operator writes "Production" for [environments.production]: the same to us.
        same = [one for one in self._tables if one.casefold() == name.casefold()]
        if len(same) == 1:
            return same[0]
        known = ", ".join(repr(one) for one in self._tables) or "none"
        fix = f"there is no [environments.{name}] table (known: {known})"
        raise WrongConfig([ConfigError(key, name, fix)])


def _holds(table: object, path: list[str]) -> bool:
    """Whether the value at `path`, or what stands in its place, is of this table."""
    for part in path:
        if not isinstance(table, dict):
            return True
        if part not in table:
            return False
        table = table[part]
    return True


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid over `base`: tables are merged key by key, everything else is replaced."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            value = _merged(old, value)
        result[key] = value
    return result
