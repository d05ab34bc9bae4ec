"""The access log: who came, what was published and played, what was refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rtmp_sync.wire.constants import VIDEO
from tests.support.http_player import HttpPlayer
from tests.support.origins import running, until
from tests.support.peer import Peer
from tests.support.publisher import Publisher, key


def entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def events(path: Path) -> list[str]:
    return [entry["event"] for entry in entries(path)]


async def test_a_life_of_a_stream_in_json(tmp_path: Path) -> None:
    path = tmp_path / "access.json"
    async with running(tmp_path / "state", access_log={"file": path, "format": "json"}) as origin:
        async with Publisher(origin, "s") as publisher:
            publisher.begin()
            await until(lambda: "publish" in events(path))
            player = Peer()
            await player.join(origin.rtmp_port)
            player.tell("play", "s")
            await until(lambda: "play" in events(path))
            other = Peer()
            await other.join(origin.rtmp_port)
            other.tell("publish", "s")
            await until(lambda: events(path).count("publish") == 2)
            player.close()
            await until(lambda: "disconnect" in events(path))
            other.close()
        await until(lambda: events(path).count("disconnect") == 3)
    found = {entry["event"]: entry for entry in reversed(entries(path))}
    assert found["publish"]["stream"] == "s"
    assert found["publish"]["status"] == 200
    assert [one["status"] for one in entries(path) if one["event"] == "publish"] == [200, 409]
    assert events(path).count("unpublish") == 1  # of the one that had begun
    assert found["stop"]["duration"] >= 0
    assert found["connect"]["app"] == "probe"
    assert found["connect"]["instance"] == "live"
    assert found["connect"]["transport"] == "rtmp"
    assert found["disconnect"]["bytes_in"] > 3000  # its handshake


async def test_w3c_lines_have_as_many_fields_as_the_header_says_whatever_a_client_calls_itself(
    tmp_path: Path,
) -> None:
    path = tmp_path / "access.log"
    async with running(tmp_path / "state", access_log={"file": path}) as origin:
        peer = Peer()
        await peer.connect(
            origin.rtmp_port, "probe/room", "a b\nc", "User", flashVer="LNX 9", pageUrl="x" * 5000
        )
        peer.close()
        await until(lambda: not len(origin.sessions))
    _, _, header, connect, disconnect = path.read_text().splitlines()
    names = header.removeprefix("#Fields: ").split()
    first = dict(zip(names, connect.split(), strict=True))
    assert first["x-event"] == "connect"
    assert first["cs-username"] == "a%20b%0Ac"
    assert first["c-user-agent"] == "LNX%209"
    assert first["x-sname"] == "-"
    assert first["c-ip"] == "127.0.0.1"
    assert len(first["c-referrer"]) == 500
    assert dict(zip(names, disconnect.split(), strict=True))["x-event"] == "disconnect"


async def test_refusals_are_in_it(tmp_path: Path) -> None:
    path = tmp_path / "access.json"
    async with running(tmp_path / "state", access_log={"file": path, "format": "json"}) as origin:
        peer = Peer()
        assert not (await peer.connect(origin.rtmp_port, "nowhere?key=secret")).ok
        await until(lambda: events(path) == ["connect-refused"])
    (entry,) = entries(path)
    assert (entry["app"], entry["status"]) == ("nowhere", 401)
    assert "secret" not in path.read_text()


async def test_browsers_are_in_it(tmp_path: Path) -> None:
    path = tmp_path / "access.json"
    sections: dict[str, Any] = {
        "access_log": {"file": path, "format": "json"},
        "http": {"listen": "127.0.0.1:0"},
    }
    async with (
        running(tmp_path / "state", **sections) as origin,
        Publisher(origin, "s") as publisher,
    ):
        publisher.begin()
        publisher.push(VIDEO, 0, key())
        url = f"http://127.0.0.1:{origin.http_port}/probe/live/s.flv"
        async with HttpPlayer(url) as player:
            await player.until(lambda: player.media())
        await until(lambda: "disconnect" in events(path))
    mine = [entry["event"] for entry in entries(path) if entry.get("transport") == "http"]
    assert mine == ["connect", "play", "stop", "disconnect"]


async def test_without_a_file_there_is_none(tmp_path: Path) -> None:
    async with running(tmp_path / "state") as origin:
        peer = Peer()
        await peer.connect(origin.rtmp_port, "probe")
        peer.close()
        await until(lambda: not len(origin.sessions))
        assert not origin.sessions.access._since
