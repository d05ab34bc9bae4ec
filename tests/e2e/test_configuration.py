"""Wrong configurations against the real command: one line with key, value and fix; exit code 2."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.pair import ROOT, within
from tests.support.single import free_ports, toml

Tables = dict[str, dict[str, object]]


@dataclass
class Site:
    """A folder with everything that a correct pair needs, to be spoilt by a test."""

    folder: Path
    tables: Tables
    sockets: list[socket.socket] = field(default_factory=list)

    def node(self, name: str = "A") -> Path:
        file = self.folder / f"{name}.toml"
        file.write_text(toml(self.tables))
        return file


def make_site(folder: Path, ports: list[int], node: str = "A") -> Site:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "secret").write_text("a secret of at least sixteen bytes")
    (folder / "password").write_text("a password")
    for name in ("secret", "password"):
        (folder / name).chmod(0o600)
    (folder / "MainOriginConfig.txt").write_text("A\\B\n")
    own, peer = (ports[:4], ports[4:]) if node == "A" else (ports[4:], ports[:4])
    tables: Tables = {
        "node": {"id": node},
        "rtmp": {"listen": f"127.0.0.1:{own[0]}"},
        "replication": {
            "listen": f"127.0.0.1:{own[1]}",
            "peer": f"127.0.0.1:{peer[1]}",
            "secret_file": folder / "secret",
        },
        "failover": {
            "pair_file": folder / "MainOriginConfig.txt",
            "peer_admin": f"127.0.0.1:{peer[3]}",
        },
        "admin": {
            "listen": f"127.0.0.1:{own[2]}",
            "user": "admin",
            "password_file": folder / "password",
        },
        "health": {"listen": f"127.0.0.1:{own[3]}"},
        "apps": {"directory": ROOT / "apps"},
        "storage": {"state": folder / f"state-{node}"},
    }
    return Site(folder, tables)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = make_site(tmp_path, free_ports(8))
    yield made
    for one in made.sockets:
        one.close()


def unknown_key(site: Site) -> None:
    site.tables["rtmp"]["chunksize"] = 4096


def wrong_type(site: Site) -> None:
    site.tables["rtmp"]["chunk_size"] = "big"


def port_in_use(site: Site) -> None:
    one = socket.socket()
    one.bind(("127.0.0.1", 0))
    one.listen()
    site.sockets.append(one)
    site.tables["rtmp"]["listen"] = f"127.0.0.1:{one.getsockname()[1]}"


def missing_secret(site: Site) -> None:
    (site.folder / "secret").unlink()


def no_secret_given(site: Site) -> None:
    del site.tables["replication"]["secret_file"]


def id_not_in_pair_file(site: Site) -> None:
    site.tables["node"]["id"] = "C"


def pair_file_missing(site: Site) -> None:
    (site.folder / "MainOriginConfig.txt").unlink()


def peer_is_self(site: Site) -> None:
    site.tables["replication"]["peer"] = site.tables["replication"]["listen"]


def timing_rule(site: Site) -> None:
    site.tables["failover"]["t_conf"] = 1.0


def application_does_not_import(site: Site) -> None:
    apps = site.folder / "apps"
    apps.mkdir()
    (apps / "broken.py").write_text("import no_such_module_anywhere\n")
    site.tables["apps"]["directory"] = apps


# what is wrong -> (how, what the line must name)
WRONG: dict[str, tuple[Callable[[Site], None], tuple[str, ...]]] = {
    "unknown key": (unknown_key, ("rtmp.chunksize", "4096", "chunk_size")),
    "wrong type": (wrong_type, ("rtmp.chunk_size", "big", "number")),
    "port in use": (port_in_use, ("rtmp.listen", "127.0.0.1:", "in use")),
    "missing secret": (missing_secret, ("replication.secret_file", "secret", "create")),
    "no secret given": (no_secret_given, ("replication.secret_file", "not given", "give")),
    "id not in the pair file": (id_not_in_pair_file, ("node.id", "C", "A")),
    "pair file missing": (pair_file_missing, ("failover.pair_file", "MainOriginConfig", "write")),
    "peer equal to self": (peer_is_self, ("replication.peer", "127.0.0.1:", "other")),
    "timing rule violated": (timing_rule, ("hb", "t_conf")),
    "application that does not import": (
        application_does_not_import,
        ("broken", "no_such_module_anywhere"),
    ),
}


async def rtmp_sync(*arguments: str) -> tuple[int, str]:
    """(exit code, everything printed) of one command; killed after 30 s."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rtmp_sync", *arguments),
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "300", "NO_COLOR": "1"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), 30)
    except TimeoutError:
        process.terminate()
        output, _ = await process.communicate()
        raise AssertionError(f"still running after 30 s\n{output.decode()}") from None
    assert process.returncode is not None
    return process.returncode, output.decode()


def assert_one_line(output: str, words: tuple[str, ...]) -> None:
    """One printed line holds key, value and fix; nothing of a traceback."""
    assert "Traceback" not in output, output
    assert any(all(word in line for word in words) for line in output.splitlines()), output


@pytest.mark.parametrize("what", WRONG)
async def test_serve_refuses(site: Site, what: str) -> None:
    spoil, words = WRONG[what]
    spoil(site)
    code, output = await rtmp_sync("serve", "--config", str(site.node()))
    assert_one_line(output, words)
    assert code == 2


async def test_config_check_accepts_what_is_right(site: Site) -> None:
    code, output = await rtmp_sync("config", "check", "--config", str(site.node()))
    assert code == 0, output


async def test_config_check_names_what_is_wrong(site: Site) -> None:
    unknown_key(site)
    code, output = await rtmp_sync("config", "check", "--config", str(site.node()))
    assert_one_line(output, WRONG["unknown key"][1])
    assert code == 2


async def test_two_nodes_with_one_id(tmp_path: Path) -> None:
    """Found at HELLO: a dialer that was never ready ends with code 2 and says why."""
    ports = free_ports(8)
    acceptor = make_site(tmp_path / "one", ports, node="B")
    dialer = make_site(tmp_path / "two", ports, node="A")
    shared = acceptor.tables["failover"]["pair_file"]
    dialer.tables["replication"]["secret_file"] = acceptor.tables["replication"]["secret_file"]
    dialer.tables["failover"]["pair_file"] = shared
    acceptor.tables["node"]["id"] = dialer.tables["node"]["id"] = "A"
    log = tmp_path / "first.log"
    with log.open("wb") as output:
        first = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "rtmp_sync", "serve", "--config", str(acceptor.node())),
            cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
        )
    try:

        async def listening() -> bool:
            address = str(acceptor.tables["replication"]["listen"])
            try:
                _, writer = await asyncio.open_connection(*address.split(":"))
            except OSError:
                return False
            writer.close()
            await writer.wait_closed()
            return True

        await within(15, "the first node listens for the other", listening)
        code, text = await rtmp_sync("serve", "--config", str(dialer.node()))
        assert_one_line(text, ("node.id", "A"))
        assert code == 2
    finally:
        if first.returncode is None:
            first.terminate()
        await asyncio.wait_for(first.wait(), 15)
