"""Which code the applications have: that of this origin, and that of the pair.

A file is run in a thread, within a time, and nothing is changed by it: whoever asked puts it in
use. Each reload on the active origin is noted in the state, a slot of the persistent object
`applications` in a scope that no client can name: its number, and the digest of the file. The
code itself is not replicated: each origin reads its own file, and what differs is told. On a
promotion the pair's code is what the promoted origin has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from rtmp_sync.config import Config
from rtmp_sync.errors import ConfigError
from rtmp_sync.plugins import Loaded, load
from rtmp_sync.server.turn import Turn
from rtmp_sync.server.whitelists import PAIR_SCOPE
from rtmp_sync.wire import amf0
from rtmp_sync.wire.limits import STORED
from rtmp_sync.wire.records import Replay

__all__ = ["ApplicationCode", "Mark"]

OBJECT_NAME: Final = "applications"
LOAD_SECONDS: Final = 10.0  # for a file that may be on the NAS, and what it imports


class Mark(NamedTuple):
    """A reload of an application by the pair. number: counts them; 0: there was none."""

    number: int
    digest: str

    @property
    def packed(self) -> bytes:
        """As it is in the state and on the link."""
        return amf0.encode(f"{self.number} {self.digest}")

    @classmethod
    def unpack(cls, raw: bytes) -> Mark:
        """Raises ValueError and RemoteProtocolError."""
        number, _, digest = str(amf0.decode(raw, STORED)[0]).partition(" ")
        return cls(int(number), digest)


class ApplicationCode:
    """trouble: why the code here is not that of the pair, by application."""

    def __init__(self, turn: Turn, config: Config, applications: Mapping[str, Loaded]) -> None:
        self.trouble: dict[str, str] = {}
        self._turn = turn
        self._config = config
        self._digests = {name: one.digest for name, one in applications.items()}
        self._followed = dict.fromkeys(applications, 0)
        self._loading: dict[str, asyncio.Future[Loaded]] = {}
        self._log = structlog.get_logger("rtmp_sync.app")

    def digest(self, app: str) -> str:
        """Of the code that new instances get here."""
        return self._digests[app]

    def followed(self, app: str) -> int:
        """The number of the last reload of the pair that this origin did, or tried."""
        return self._followed[app]

    def mark(self, app: str) -> Mark:
        """The pair's last reload of an application, by this copy of the state."""
        obj = self._turn.state.find(PAIR_SCOPE, OBJECT_NAME, "P")
        raw = obj.slots.get(app) if obj is not None else None
        return Mark.unpack(raw) if raw else Mark(0, "")

    def path(self, app: str) -> Path:
        """Its file."""
        return self._config.apps.directory / f"{app}.py"

    async def load(self, app: str) -> Loaded:
        """The file as it is now, run but not in use. Raises ConfigError, which names the line."""
        path, key = self.path(app), f"apps.{app}"
        if app in self._loading:
            raise ConfigError(key, str(path), "is being read already; try again")
        loading = asyncio.ensure_future(asyncio.to_thread(load, path))
        self._loading[app] = loading
        loading.add_done_callback(lambda _: self._loading.pop(app))
        done, _ = await asyncio.wait({loading}, timeout=LOAD_SECONDS)
        if not done:
            loading.add_done_callback(lambda late: late.exception())  # nobody asks any more
            fix = f"was not read and run within {LOAD_SECONDS:.0f} s; look at its file system"
            raise ConfigError(key, str(path), fix)
        return loading.result()

    def adopt(self, app: str, loaded: Loaded) -> None:
        """It is in use here from now on."""
        loaded.put_in_use()
        self._digests[app] = loaded.digest

    def note(self, app: str, instance: str = "") -> tuple[Mark, int]:
        """The code here is the pair's from now on: the other origin is told, to reload one
        instance or ("") all. The Change that says so; (0, …) and 0 for a single origin.
        Raises Deposed."""
        if not self._config.is_pair:
            return Mark(0, self._digests[app]), 0
        mark = self._store(app)
        seq = self._turn.barrier
        self._turn.on_replay(Replay(seq, app, b"", instance, mark.packed))
        return mark, seq

    def promote(self) -> None:
        """This origin has taken over: it goes on with what it has. Raises Deposed."""
        if not self._config.is_pair:
            return
        for app, digest in self._digests.items():
            mark = self.mark(app)
            if mark.number and mark.digest != digest:
                self._log.warning("application_differs", app=app, digest=digest, pair=mark.digest)
                self._store(app)
            self._followed[app] = self.mark(app).number
            self.trouble.pop(app, None)

    def following(self, app: str, mark: Mark) -> bool:
        """Whether this standby still has to do that reload; it counts as tried from now on."""
        if app not in self._followed or mark.number <= self._followed[app]:
            return False
        self._followed[app] = mark.number
        return True

    def compare(self, app: str, mark: Mark, error: str = "") -> None:
        """A reload of the pair was done here, or not: `error`."""
        if error:
            self.trouble[app] = f"goes on with the code that it had: {error}"
            self._log.error("application_not_reloaded", app=app, error=error)
        elif self._digests[app] != mark.digest:
            self.trouble[app] = "has another file than the origin that serves"
            self._log.error(
                "application_differs", app=app, digest=self._digests[app], pair=mark.digest
            )
        else:
            self.trouble.pop(app, None)
            self._log.info("application_reloaded", app=app, digest=mark.digest)

    def behind(self) -> dict[str, Mark]:
        """Reloads of the pair that this standby has not heard of otherwise. What it read at its
        own start needs no other reading."""
        found: dict[str, Mark] = {}
        for app, followed in self._followed.items():
            mark = self.mark(app)
            if mark.number > followed:
                if followed == 0 and mark.digest == self._digests[app]:
                    self._followed[app] = mark.number
                else:
                    found[app] = mark
        return found

    def _store(self, app: str) -> Mark:
        state = self._turn.writable()
        obj = state.shared_object(PAIR_SCOPE, OBJECT_NAME, "P")
        mark = Mark(self.mark(app).number + 1, self._digests[app])
        state.set_slot(obj, app, mark.packed, state.next_version(obj))
        self._followed[app] = mark.number
        return mark
