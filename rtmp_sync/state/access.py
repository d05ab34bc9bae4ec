"""Whitelist: which user type may call which method, and how often.

Three words are heard, each one over those before it:

    @allow                   the application's decorators
    [apps.NAME.allow]        the configuration: a list is exactly what that type may call, a table
                             switches single methods on or off
    the whitelist file       rules by pattern; the table of a user type, else the table "*"

Of the rules of a table that match a method the most specific one decides: a name before a
pattern, a pattern with more letters before one with fewer, and false where two are equal. A rule
may also be silent about that and only say how often: for each of the two questions the most
specific rule that answers it counts. What no rule matches stays as the configuration and the
decorators have it.

Only names of methods that are marked for clients are ever looked at: a name or a type that is
not written down is refused, whatever names Python's objects have. Everything is worked out when
the whitelist is made, which never changes after that; a question costs two look-ups.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

__all__ = ["EVERYBODY_ELSE", "OTHER", "Limit", "Permit", "Rate", "Rule", "Verdict", "Whitelist"]

EVERYBODY_ELSE: Final = "*"
"""The table for user types that have none of their own."""

OTHER: Final = "(other)"
"""In counts: a user type or method that nobody wrote down."""

Override = Iterable[str] | Mapping[str, bool]


class Rate(NamedTuple):
    """So many calls a second on average, and `burst` of them at once."""

    per_second: float
    burst: int


class Rule(NamedTuple):
    """What a file says of the methods that `pattern` (with "*" and "?") matches. allow: None
    leaves that to others. rate: of each client. total: of all clients together."""

    pattern: str
    allow: bool | None = None
    rate: Rate | None = None
    total: Rate | None = None


Tables = Mapping[str, Iterable[Rule]]
"""The rules by user type."""


class Limit(NamedTuple):
    """A rate and what it counts: the calls under one rule, of one client or of everybody."""

    user_type: str  # the table's
    pattern: str
    each_client: bool
    rate: Rate


class Verdict(NamedTuple):
    """because: which word decided, for people."""

    allowed: bool
    because: str
    limits: tuple[Limit, ...] = ()


class Permit(NamedTuple):
    """A call that may be made. counted_as: (user type, method)."""

    counted_as: tuple[str, str]
    limits: tuple[Limit, ...]


class Whitelist:
    """decorated: user types by method name. overrides: `[apps.NAME.allow]`, by user type.
    tables: the whitelist file's."""

    __slots__ = ("_decorated", "_everybody_else", "_overrides", "_permits", "_tables")

    def __init__(
        self,
        decorated: Mapping[str, Iterable[str]],
        overrides: Mapping[str, Override] | None = None,
        tables: Tables | None = None,
    ) -> None:
        self._decorated = {method: frozenset(types) for method, types in decorated.items()}
        self._overrides = dict(overrides or {})
        self._tables = {
            user_type: sorted(rules, key=_specificity)
            for user_type, rules in (tables or {}).items()
        }
        user_types = {*self._overrides, *self._tables}.union(*self._decorated.values())
        self._permits = {one: self._permitted(one, one) for one in user_types - {EVERYBODY_ELSE}}
        self._everybody_else = self._permitted(EVERYBODY_ELSE, OTHER)

    def find(self, user_type: str, method: str) -> Permit | None:
        """None: refused."""
        return self._permits.get(user_type, self._everybody_else).get(method)

    def counted_as(self, user_type: str, method: str) -> tuple[str, str]:
        """What a refused call is counted as: clients choose both names."""
        return (
            user_type if user_type in self._permits else OTHER,
            method if method in self._decorated else OTHER,
        )

    def methods(self, user_type: str) -> frozenset[str]:
        """What a user type may call."""
        return frozenset(self._permits.get(user_type, self._everybody_else))

    def judge(self, user_type: str, method: str) -> Verdict:
        """What is said of a call, and by whom."""
        if method not in self._decorated:
            return Verdict(False, "the application has no such method with @allow")
        table = user_type if user_type in self._tables else EVERYBODY_ELSE
        matching = [
            rule for rule in self._tables.get(table, ()) if fnmatchcase(method, rule.pattern)
        ]
        deciding = next((rule for rule in matching if rule.allow is not None), None)
        if deciding is not None:
            said = "true" if deciding.allow else "false"
            because = f'the whitelist file: ["{table}"] "{deciding.pattern}" = {said}'
            allowed = deciding.allow is True
        else:
            allowed, because = self._configured(user_type, method)
        return Verdict(allowed, because, _limits(table, matching) if allowed else ())

    def _configured(self, user_type: str, method: str) -> tuple[bool, str]:
        """By the configuration and the decorators."""
        decorated = user_type in self._decorated[method]
        override = self._overrides.get(user_type)
        if isinstance(override, Mapping):
            if method in override:
                return override[method], f"the configuration: allow.{user_type}.{method}"
        elif override is not None:
            return method in override, f"the configuration: allow.{user_type} is a list"
        if decorated:
            return True, f'the application: @allow("{user_type}")'
        return False, f"the application: @allow does not name {user_type!r}"

    def _permitted(self, user_type: str, counted_as: str) -> dict[str, Permit]:
        permits = {}
        for method in self._decorated:
            verdict = self.judge(user_type, method)
            if verdict.allowed:
                permits[method] = Permit((counted_as, method), verdict.limits)
        return permits


def _specificity(rule: Rule) -> tuple[bool, int, bool, float, str]:
    """Sorts the most specific rule first, and of two that are equal the stricter one."""
    wild = sum(rule.pattern.count(sign) for sign in "*?")
    rates = [rate.per_second for rate in (rule.rate, rule.total) if rate is not None]
    letters = len(rule.pattern) - wild
    return bool(wild), -letters, rule.allow is not False, min(rates, default=0.0), rule.pattern


def _limits(table: str, matching: list[Rule]) -> tuple[Limit, ...]:
    own = next((rule for rule in matching if rule.rate is not None), None)
    shared = next((rule for rule in matching if rule.total is not None), None)
    limits = []
    if own is not None and own.rate is not None:
        limits.append(Limit(table, own.pattern, True, own.rate))
    if shared is not None and shared.total is not None:
        limits.append(Limit(table, shared.pattern, False, shared.total))
    return tuple(limits)
