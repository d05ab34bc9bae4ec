"""An origin that records, and who publishes and plays there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rtmp_sync import Origin
from rtmp_sync.protocol.events import MediaReceived, StatusReceived
from rtmp_sync.storage.manifest import load_manifest
from rtmp_sync.wire import amf0
from rtmp_sync.wire.constants import DATA, VIDEO
from rtmp_sync.wire.flv import FlvReader
from tests.support.origins import running, until
from tests.support.peer import Peer

AVC = b"\x17\0\0\0\0config"
METADATA = amf0.encode("@setDataFrame", "onMetaData", {"width": 320.0})
START, RECORDS = "NetStream.Publish.Start", "NetStream.Record.Start"
NO_ACCESS, FAILED = "NetStream.Record.NoAccess", "NetStream.Record.Failed"


@asynccontextmanager
async def studio(tmp_path: Path, **storage: Any) -> AsyncIterator[Origin]:
    storage = {"media": tmp_path / "media", "state": tmp_path / "state", **storage}
    async with running(tmp_path / "state", storage=storage) as origin:
        yield origin


async def publish(origin: Origin, kind: str = "record", name: str = "s") -> Peer:
    peer = await Peer().join(origin.rtmp_port)
    peer.tell("publish", name, kind)
    return peer


async def recording(origin: Origin, kind: str = "record", name: str = "s") -> Peer:
    """A publisher whose stream is being recorded."""
    peer = await publish(origin, kind, name)
    await peer.until(lambda: RECORDS in peer.statuses())
    return peer


def film(peer: Peer, frames: int, *, start: int = 0) -> None:
    peer.push(DATA, start, METADATA)
    peer.push(VIDEO, start, AVC)
    for number in range(frames):
        payload = (b"\x27" if number % 5 else b"\x17") + b"\1\0\0\0%d" % number
        peer.push(VIDEO, start + 40 * number, payload)


def told(peer: Peer, code: str) -> str:
    """The descriptions of all statuses of that code."""
    seen = [one.info for one in peer.events if isinstance(one, StatusReceived)]
    return "\n".join(str(one["description"]) for one in seen if one.get("code") == code)


def says(peer: Peer, code: str, text: str) -> bool:
    return text in told(peer, code)


async def play(origin: Origin, name: str) -> Peer:
    peer = await Peer().join(origin.rtmp_port)
    peer.tell("play", name)
    return peer


async def leave(origin: Origin, peer: Peer, *, cleanly: bool = True) -> None:
    if cleanly:
        peer.send(peer.rtmp.command("deleteStream", 0, None, 1.0))
        await peer.until(lambda: "NetStream.Unpublish.Success" in peer.statuses())
    peer.close()
    await until(lambda: len(origin.sessions) == 0)


def folder(tmp_path: Path, name: str = "s") -> Path:
    return tmp_path / "media" / "probe" / "live" / f"{name}.rec"


def states(folder: Path) -> list[str]:
    return [one.state for one in load_manifest(folder)]


async def closed(tmp_path: Path, count: int) -> None:
    def all_closed() -> bool:
        known = load_manifest(folder(tmp_path))
        return len(known) == count and all(one.state != "open" for one in known)

    await until(all_closed)


def frames_in(path: Path) -> list[tuple[int, bytes]]:
    tags = FlvReader().feed(path.read_bytes())
    return [(tag.timestamp, tag.payload) for tag in tags if tag.type == VIDEO][1:]


def times(peer: Peer) -> list[int]:
    seen = [one for one in peer.events if isinstance(one, MediaReceived)]
    return [one.timestamp for one in seen if one.type == VIDEO and one.payload[1] == 1]
