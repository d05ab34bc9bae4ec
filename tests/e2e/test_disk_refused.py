"""A state directory that cannot be used is refused at the start: key, value, fix, exit code 2."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.disk_site import DiskSite
from tests.support.fuse_disk import FuseDisk
from tests.support.pair import get
from tests.support.single import Single


async def refused(state: Path) -> str:
    """The words of an origin that cannot start there, which ends with code 2."""
    single = Single(node={"id": "A"}, storage={"state": state})
    try:
        single.launch()
        assert single.process is not None
        assert await asyncio.to_thread(single.process.wait, 20) == 2
        lines = single.logs().splitlines()
    finally:
        single.clean_up()
    line = next(line for line in lines if "storage.state" in line)
    assert str(state) in line
    return line


async def test_a_read_only_state_directory_is_refused_at_the_start(fuse: FuseDisk) -> None:
    state = fuse.beneath / "state"
    state.mkdir()
    fuse.make_readonly()
    line = await refused(fuse.path / "state")
    assert "Read-only file system" in line


async def test_a_state_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    line = await refused(tmp_path / "file" / "state")
    assert "Not a directory" in line


async def test_another_nodes_state_directory_is_refused(tmp_path: Path) -> None:
    site = DiskSite(tmp_path / "state")
    try:
        await site.start()
        await site.connection.close()
        assert site.single.stop() == 0
    finally:
        site.close()
    line = await refused(tmp_path / "state")
    assert "it belongs to node 'solo'" in line


async def test_two_processes_never_use_one_state_directory(tmp_path: Path) -> None:
    first = Single(node={"id": "A"}, storage={"state": tmp_path / "state"})
    try:
        await first.start()
        line = await refused(tmp_path / "state")
        assert "another process uses it" in line
        assert (await get(f"http://{first.health}/health/active"))[0] == 200
    finally:
        first.clean_up()
