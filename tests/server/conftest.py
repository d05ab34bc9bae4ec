"""One fresh origin per test that asks for it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rtmp_sync import Application, Origin
from tests.support.joined import instance
from tests.support.origins import running
from tests.support.peer import Peer


@pytest.fixture
async def origin(tmp_path: Path) -> AsyncIterator[Origin]:
    """A single origin with the applications of tests/server/apps."""
    async with running(tmp_path / "state") as origin:
        probe(origin).said.clear()
        probe(origin).release = asyncio.Event()
        yield origin


@pytest.fixture
def application(origin: Origin, peer: Peer) -> Application:
    """Of the instance that `peer` has joined; that fixture is the module's own."""
    del peer
    return instance(origin).application


def probe(origin: Origin) -> Any:
    """The class of the application `probe` as this origin loaded it."""
    del origin  # each origin loads the file anew; the newest is the one in use
    return sys.modules["rtmp_sync_apps.probe"].Probe
