"""The replication link as a part of its origin."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from rtmp_sync.errors import ConfigError
from tests.support.origins import pair_of


async def test_a_link_that_cannot_listen_can_be_stopped(tmp_path: Path) -> None:
    origin, _ = pair_of(tmp_path)
    with socket.create_server(origin.config.replication.listen):
        with pytest.raises(ConfigError, match="cannot listen there"):
            await origin.start()
        await origin.stop()
