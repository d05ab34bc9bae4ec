"""Origins inside the test's own process, on real sockets of the loopback."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rtmp_sync import Config, Origin
from tests.support.single import free_ports

APPS = Path(__file__).parent.parent / "server" / "apps"
SHIPPED_APPS = Path(__file__).parent.parent.parent / "apps"
SECONDS = 10.0  # reaching it is a failure, not a slow machine


def config_of(state: Path, **sections: dict[str, Any]) -> Config:
    """A single origin on free ports; `sections` are laid over that."""
    listen = {"listen": "127.0.0.1:0"}
    base: dict[str, dict[str, Any]] = {
        "node": {"id": "A"},
        "rtmp": dict(listen),
        "admin": dict(listen),
        "health": dict(listen),
        "apps": {"directory": APPS},
        "storage": {"state": state},
    }
    for name, section in sections.items():
        base[name] = {**base.get(name, {}), **section}
    return Config.model_validate(base)


def pair_of(folder: Path, **sections: dict[str, Any]) -> tuple[Origin, Origin]:
    """Both origins of a pair whose pair file is in `folder`; `sections` as of `config_of`."""
    ports = free_ports(4)
    (folder / "pair.txt").write_bytes(b"A\\B")
    for name in ("secret", "password"):
        (folder / name).write_text("0123456789abcdef")
        (folder / name).chmod(0o600)

    def one(name: str, mine: list[int], other: list[int]) -> Origin:
        own: dict[str, dict[str, Any]] = {
            "node": {"id": name},
            "admin": {"user": "admin", "password_file": folder / "password"},
            "health": {"listen": f"127.0.0.1:{mine[0]}"},
            "failover": {
                "pair_file": folder / "pair.txt",
                "peer_admin": f"127.0.0.1:{other[0]}",
                "profile": "fast",
            },
            "replication": {
                "listen": f"127.0.0.1:{mine[1]}",
                "peer": f"127.0.0.1:{other[1]}",
                "secret_file": folder / "secret",
            },
        }
        for key, section in sections.items():
            own[key] = {**own.get(key, {}), **section}
        return Origin(config_of(folder / name, **own))

    return one("A", ports[:2], ports[2:]), one("B", ports[2:], ports[:2])


@asynccontextmanager
async def running(state: Path, **sections: dict[str, Any]) -> AsyncIterator[Origin]:
    """A single origin that serves."""
    origin = Origin(config_of(state, **sections))
    await origin.start()
    try:
        yield origin
    finally:
        await origin.stop()


def url(origin: Origin, app: str) -> str:
    """The address of an application of `origin`."""
    return f"rtmp://127.0.0.1:{origin.rtmp_port}/{app}"


def freeze(origin: Origin) -> None:
    """From now on everything waits for a peer that acknowledges nothing."""
    commit = origin.commit
    commit.set_require_peer(True)
    # the watchdog of a single origin says otherwise at each of its turns
    commit.set_require_peer = lambda required: None  # type: ignore[method-assign]  # see above


def thaw(origin: Origin) -> None:
    """The end of `freeze`."""
    del origin.commit.set_require_peer
    origin.commit.set_require_peer(False)


async def take_over(origin: Origin, *, lossy: bool = False) -> None:
    """Promote this very process again, as a fenced node may be that claims anew."""
    origin.cut_sessions("the gate was closed")
    epoch = origin.authority.epoch + 1
    origin.authority.grant(epoch, math.inf)
    await origin.promote(epoch, f"history-{epoch}", lossy=lossy)


async def until(true: Callable[[], object]) -> None:
    """Let the loop run until something holds."""
    async with asyncio.timeout(SECONDS):
        while not true():  # noqa: ASYNC110  # what is waited for has no event
            await asyncio.sleep(0.001)
