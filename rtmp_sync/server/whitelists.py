"""The whitelists in force, one for each application.

Calls read `Access.whitelist`, which is replaced as a whole: no call is decided by half of one.

The text of an application's whitelist file is part of the pair's state, a slot of the persistent
object `whitelists` in a scope that no client can name. The active origin puts it there when it is
promoted and has one that the state does not know; from then on only `reload` changes it, so that
a takeover goes on with the same rules, whatever the other origin's file says. The slot comes
before every Change that a call under the new rules makes. A single origin has nobody to agree
with: there the file counts as it is at the start and at a reload.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple
from weakref import WeakSet

import structlog

from rtmp_sync.app import Application
from rtmp_sync.config import Config, WrongConfig
from rtmp_sync.errors import ConfigError
from rtmp_sync.server.call_rates import CallRates
from rtmp_sync.server.refusals import Refusals
from rtmp_sync.server.turn import Turn
from rtmp_sync.state.access import Verdict, Whitelist
from rtmp_sync.whitelist_file import MAX_ERRORS, MAX_FILE_BYTES, parse, unknown_methods
from rtmp_sync.wire import amf0
from rtmp_sync.wire.limits import STORED

__all__ = ["Access", "Reloaded", "Whitelists", "check_whitelists"]

PAIR_SCOPE: Final = "*"  # no instance: the scope of each has a slash
OBJECT_NAME: Final = "whitelists"
READ_SECONDS: Final = 5.0  # for a file that may be on the NAS


class Access:
    """Who may call what of one application, and what came of it. calls: admitted ones, by
    (user type, method). former: of the application's code of before, whose counts go on."""

    __slots__ = ("__weakref__", "application", "calls", "rates", "refusals", "whitelist")

    def __init__(
        self,
        application: type[Application],
        whitelist: Whitelist,
        former: Access | None = None,
    ) -> None:
        self.application = application
        self.whitelist = whitelist
        self.calls: Counter[tuple[str, str]] = former.calls if former is not None else Counter()
        self.rates: CallRates = former.rates if former is not None else CallRates()
        self.refusals: Refusals = former.refusals if former is not None else Refusals()

    def replace(self, whitelist: Whitelist) -> None:
        """From now on, for every call."""
        self.whitelist = whitelist
        self.rates.clear()


class Reloaded(NamedTuple):
    """What a reload came to. seq: of the last Change that it made; 0 for a single origin.
    changed: the applications whose file said something new."""

    seq: int
    changed: list[str]


class Whitelists:
    """Raises ConfigError for a configuration or a file that is wrong."""

    def __init__(
        self, turn: Turn, config: Config, applications: Mapping[str, type[Application]]
    ) -> None:
        self._turn = turn
        self._config = config
        self._log = structlog.get_logger("rtmp_sync.whitelists")
        self._texts = {name: read_whitelist(config, name) for name in applications}
        self._access = {
            name: Access(one, make_whitelist(config, name, one, self._texts[name], strict=True))
            for name, one in applications.items()
        }
        # One after the other: files that were read before do not go over newer ones.
        self._reloading = asyncio.Lock()
        # Of code that an instance goes on with though there is newer code.
        self._older: dict[str, WeakSet[Access]] = {name: WeakSet() for name in applications}

    def __iter__(self) -> Iterator[tuple[str, Access]]:
        return iter(self._access.items())

    def access(self, app: str) -> Access:
        """Of an application that there is, with its newest code."""
        return self._access[app]

    async def made_for(self, app: str, application: type[Application]) -> Access:
        """The rules in force, for other code of an application. Raises ConfigError for a rule
        that names a method which it does not have; on a standby the active origin judges that."""
        while True:
            text, strict = self._in_force(app), self._turn.authorised
            made = await asyncio.to_thread(
                make_whitelist, self._config, app, application, text, strict=strict
            )
            if text == self._in_force(app):  # else they changed meanwhile
                return Access(application, made, self._access[app])

    def _in_force(self, app: str) -> str:
        stored = self._stored() if self._config.is_pair else {}
        return stored.get(app, self._texts[app])

    def adopt(self, app: str, access: Access) -> None:
        """From now on the application's code is that which `access` was made for."""
        self._older[app].add(self._access[app])
        self._access[app] = access

    def promote(self) -> None:
        """This origin has taken over: go on with the pair's rules. Raises Deposed."""
        if not self._config.is_pair:
            return
        stored = self._stored()
        self._store(
            {name: text for name, text in self._texts.items() if text and name not in stored}
        )
        for name, text in stored.items():
            if name not in self._access:
                continue
            if text != self._texts[name]:
                self._log.warning("whitelist_differs", app=name, file=str(self._path(name)))
            try:
                self._replace(name, self._made(name, text, strict=False), text)
            except ConfigError as error:  # written by another version of this program
                self._log.error("whitelist_not_understood", app=name, error=str(error))

    async def reload(self) -> Reloaded:
        """Read the files again and go by them, all of them or, when one is wrong, none.

        Raises ConfigError, Deposed.
        """
        async with self._reloading:
            return await self._reload()

    async def _reload(self) -> Reloaded:
        texts = await self._read()
        # not on the loop: each of many rules is held against each of many methods
        made, made_of = {}, None
        while made_of != self._access:  # again if an application got new code meanwhile
            made_of = dict(self._access)
            made = await asyncio.to_thread(
                lambda: {name: self._made(name, text, strict=True) for name, text in texts.items()}
            )
        seq = 0
        self._turn.writable()  # from here on nothing waits: it is one step
        changed = [name for name, text in texts.items() if text != self._in_force(name)]
        if self._config.is_pair:
            stored = self._stored()
            self._store(
                {name: text for name, text in texts.items() if text != stored.get(name, "")}
            )
            seq = self._turn.barrier
        self._texts = texts
        for name, whitelist in made.items():
            self._replace(name, whitelist, texts[name])
        self._log.info("whitelists_reloaded", changed=changed, seq=seq)
        return Reloaded(seq, changed)

    async def judge(self, app: str, user_type: str, method: str, *, of_file: bool) -> Verdict:
        """What the rules in force say of a call, or those of the file, as a reload would have
        them. Raises ConfigError for a file that is wrong."""
        if of_file:
            text = (await self._read())[app]
            made = await asyncio.to_thread(self._made, app, text, strict=True)
            return made.judge(user_type, method)
        whitelist = self._access[app].whitelist
        if self._config.is_pair and not self._turn.authorised:
            text = self._stored().get(app, self._texts[app])
            whitelist = self._made(app, text, strict=False)
        return whitelist.judge(user_type, method)

    # Inside

    def _path(self, app: str) -> Path | None:
        return self._config.apps.section(app).whitelist

    async def _read(self) -> dict[str, str]:
        """All files, as they are now."""
        try:
            async with asyncio.timeout(READ_SECONDS):
                return await asyncio.to_thread(
                    lambda: {name: read_whitelist(self._config, name) for name in self._access}
                )
        except TimeoutError:
            fix = f"a file could not be read within {READ_SECONDS:.0f} s; look at its file system"
            raise ConfigError("apps", "whitelist", fix) from None

    def _made(self, app: str, text: str, *, strict: bool) -> Whitelist:
        application = self._access[app].application
        return make_whitelist(self._config, app, application, text, strict=strict)

    def _replace(self, app: str, whitelist: Whitelist, text: str) -> None:
        """By the same text for all code that is in use."""
        self._access[app].replace(whitelist)
        for access in self._older[app]:
            access.replace(
                make_whitelist(self._config, app, access.application, text, strict=False)
            )

    def _stored(self) -> dict[str, str]:
        """The pair's texts, by application."""
        obj = self._turn.state.find(PAIR_SCOPE, OBJECT_NAME, "P")
        if obj is None:
            return {}
        return {name: str(amf0.decode(raw, STORED)[0]) for name, raw in obj.slots.items()}

    def _store(self, texts: Mapping[str, str]) -> None:
        if not texts:
            return
        state = self._turn.writable()
        obj = state.shared_object(PAIR_SCOPE, OBJECT_NAME, "P")
        version = state.next_version(obj)
        for name, text in texts.items():
            state.set_slot(obj, name, amf0.encode(text), version)


def check_whitelists(config: Config, applications: Mapping[str, type[Application]]) -> None:
    """Raises ConfigError for the first application whose file is wrong."""
    for name, application in applications.items():
        make_whitelist(config, name, application, read_whitelist(config, name), strict=True)


def make_whitelist(
    config: Config, app: str, application: type[Application], text: str, *, strict: bool
) -> Whitelist:
    """Of an application with the `text` of its file. strict: a name that is no method of it is an
    error. Raises ConfigError."""
    section, methods = config.apps.section(app), application.methods
    source = f"apps.{app}.whitelist {section.whitelist or ''}".rstrip()
    rules = parse(text, source)
    wrong = [*unknown_methods(text, source, rules, methods, app)] if strict else []
    for user_type, allowed in section.allow.items() if strict else ():
        key, fix = f"apps.{app}.allow.{user_type}", "the application has no such method with @allow"
        wrong += [
            ConfigError(key, one, f"{fix}; correct it") for one in allowed if one not in methods
        ]
    if wrong:
        raise WrongConfig(wrong[:MAX_ERRORS])
    decorated = {one.name: one.user_types for one in methods.values()}
    return Whitelist(decorated, section.allow, rules)


def read_whitelist(config: Config, app: str) -> str:
    """The text of an application's whitelist file; "" without one. Raises ConfigError."""
    path = config.apps.section(app).whitelist
    if path is None:
        return ""
    key = f"apps.{app}.whitelist"
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        fix = f"cannot be read ({error.strerror}); create it, or leave the key out"
        raise ConfigError(key, str(path), fix) from None
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(key, str(path), f"is longer than {MAX_FILE_BYTES} bytes; use patterns")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(key, str(path), "is not UTF-8; save it as UTF-8") from None
