"""Whitelist: which user type may call which method.

The application's decorators say it; the configuration has the last word, per user type:
a list is exactly what that type may call, a table switches single methods on or off.
Only own entries count: a type or method that is not written down is refused, whatever
names Python's objects have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["Whitelist"]

Override = Iterable[str] | Mapping[str, bool]


class Whitelist:
    """decorated: user types by method name. overrides: `[apps.NAME.allow]`, by user type."""

    __slots__ = ("_methods",)

    def __init__(
        self,
        decorated: Mapping[str, Iterable[str]],
        overrides: Mapping[str, Override] | None = None,
    ) -> None:
        granted: dict[str, set[str]] = {}
        for method, user_types in decorated.items():
            for user_type in user_types:
                granted.setdefault(user_type, set()).add(method)
        for user_type, override in (overrides or {}).items():
            granted[user_type] = _overridden(granted.get(user_type, set()), override)
        self._methods = {user_type: frozenset(methods) for user_type, methods in granted.items()}

    def allows(self, user_type: str, method: str) -> bool:
        methods = self._methods.get(user_type)
        return methods is not None and method in methods

    def methods(self, user_type: str) -> frozenset[str]:
        """What a user type may call."""
        return self._methods.get(user_type, frozenset())


def _overridden(methods: set[str], override: Override) -> set[str]:
    if not isinstance(override, Mapping):
        return set(override)
    on = {method for method, allowed in override.items() if allowed}
    off = {method for method, allowed in override.items() if not allowed}
    return (methods | on) - off
