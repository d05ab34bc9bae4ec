"""One state for all that differ only in names."""

from __future__ import annotations

from typing import Any

from tests.model.life import Lives
from tests.model.state import Host, Pair
from tests.model.tokens import Names, tokens

__all__ = ["Canon"]

Known = frozenset[tuple[type, Any]]


class Canon:
    """Each part of a state is looked at once; what it knows of, and its new form, are kept."""

    def __init__(self, lives: Lives) -> None:
        self._lives = lives
        self._known: dict[Any, Known] = {}
        self._known_of_life: dict[int, Known] = {}
        self._names: dict[Known, Names] = {}
        self._lives_renamed: dict[tuple[int, int], int] = {}
        self._renamed: dict[tuple[Any, int], Any] = {}
        self._same: dict[Any, Any] = {}

    def canonical(self, pair: Pair) -> Pair:
        rest = pair[2:]
        known = self._known_of(pair.a) | self._known_of(pair.b) | self._known_in(rest)
        names = self._names.get(known)
        if names is None:
            names = self._names[known] = Names(known)
        if names.same:
            return Pair(self._one(pair.a), self._one(pair.b), *rest)
        return Pair(self._host(pair.a, names), self._host(pair.b, names), *self._part(rest, names))

    def _one(self, host: Host) -> Host:
        """The same object for equal ones: most states share their parts."""
        one: Host = self._same.setdefault(host, host)
        return one

    def _known_in(self, part: Any) -> Known:
        known = self._known.get(part)
        if known is None:
            known = self._known[part] = frozenset(tokens(part))
        return known

    def _known_of(self, host: Host) -> Known:
        known = self._known.get(host)
        if known is None:
            known = self._known[host] = frozenset(tokens(host)) | self._of_life(host.life)
        return known

    def _of_life(self, life: int) -> Known:
        if life < 0:
            return frozenset()
        known = self._known_of_life.get(life)
        if known is None:
            known = self._known_of_life[life] = frozenset(tokens(self._lives.frozen(life)))
        return known

    def _host(self, host: Host, names: Names) -> Host:
        renamed: Host = self._part(host, names)
        if host.life >= 0:
            key = (host.life, id(names))
            life = self._lives_renamed.get(key)
            if life is None:
                frozen = names.renamed(self._lives.frozen(host.life))
                life = self._lives_renamed[key] = self._lives.keep(frozen)
            renamed = renamed._replace(life=life)
        return self._one(renamed)

    def _part(self, part: Any, names: Names) -> Any:
        key = (part, id(names))
        renamed = self._renamed.get(key)
        if renamed is None:
            renamed = self._renamed[key] = names.renamed(part)
        return renamed
