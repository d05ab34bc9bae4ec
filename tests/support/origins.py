"""Origins inside the test's own process, on real sockets of the loopback."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rtmp_sync import Config, Origin

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
