"""Who may publish and play: the application's hooks and the keys of the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtmp_sync import ConfigError, Origin, Reject, StreamRequest
from rtmp_sync.protocol.events import MediaReceived
from rtmp_sync.server.stream_keys import StreamKeys
from rtmp_sync.wire.constants import AUDIO
from tests.server.conftest import probe
from tests.support.origins import running, until
from tests.support.peer import Peer

START, BAD_NAME = "NetStream.Publish.Start", "NetStream.Publish.BadName"
PLAYS, FAILED = "NetStream.Play.Start", "NetStream.Play.Failed"


async def encoder(origin: Origin, app: str = "probe/live") -> Peer:
    return await Peer().join(origin.rtmp_port, app)


@pytest.mark.parametrize(
    ("command", "good", "bad"), [("publish", START, BAD_NAME), ("play", PLAYS, FAILED)]
)
@pytest.mark.parametrize("name", ["refused", "crash"])
async def test_a_stream_that_the_application_refuses_is_answered_with_the_reason(
    origin: Origin, command: str, good: str, bad: str, name: str
) -> None:
    peer = await encoder(origin)
    peer.tell(command, name)
    await peer.until(lambda: bad in peer.statuses())
    peer.tell(command, "fine")  # the same message stream may try again
    await peer.until(lambda: good in peer.statuses())
    peer.close()


async def test_the_application_sees_what_is_asked_for(origin: Origin) -> None:
    peer = await encoder(origin, "probe/live?key=app")
    peer.tell("publish", "cam?key=own", "live")
    await peer.until(lambda: START in peer.statuses())
    peer.tell("play", "cam")
    await peer.until(lambda: PLAYS in peer.statuses())
    peer.close()
    said = probe(origin).said
    await until(lambda: ("unpublish", "cam") in said)
    assert ("publish", "cam", "live", "own") in said
    assert ("play", "cam", "app") in said


async def test_while_the_application_decides_nothing_else_of_that_client_is_looked_at(
    origin: Origin,
) -> None:
    peer, player = await encoder(origin), await encoder(origin)
    player.tell("play", "slow2")
    await player.until(lambda: PLAYS in player.statuses())
    peer.tell("publish", "slow")
    peer.push(AUDIO, 0, b"\xaf\1x")
    await until(lambda: ("publish", "slow", "live", "") in probe(origin).said)
    assert START not in peer.statuses()
    probe(origin).release.set()
    await peer.until(lambda: START in peer.statuses())
    player.tell("play", "slow")
    peer.push(AUDIO, 20, b"\xaf\1y")
    await player.until(lambda: any(isinstance(e, MediaReceived) for e in player.events))
    peer.close()
    player.close()


async def test_a_client_that_goes_while_the_application_decides_leaves_the_name_free(
    origin: Origin,
) -> None:
    peer = await encoder(origin)
    peer.tell("publish", "slow")
    await until(lambda: ("publish", "slow", "live", "") in probe(origin).said)
    peer.close()
    probe(origin).release.set()
    await until(lambda: len(origin.sessions) == 0)
    other = await encoder(origin)
    other.tell("publish", "slow")
    await other.until(lambda: START in other.statuses())
    other.close()


# -- keys


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text("# who may publish\ncam*  one\ncam1  two  # its own\nstage ä\n")
    return path


@pytest.mark.parametrize(
    ("name", "key", "fits"),
    [
        ("cam1", "one", True),
        ("cam1", "two", True),
        ("cam2", "one", True),
        ("cam2", "two", False),
        ("stage", "ä", True),
        ("stage", "one", False),
        ("other", "one", False),
        ("cam1", "", False),
        ("CAM1", "one", False),
    ],
)
async def test_a_stream_needs_a_key_of_a_pattern_that_its_name_matches(
    keys: Path, name: str, key: str, fits: bool
) -> None:
    request = StreamRequest(name, "live", {"key": key})
    if fits:
        await StreamKeys(keys, "apps.x.publish_keys").admit(request)
        return
    with pytest.raises(Reject):
        await StreamKeys(keys, "apps.x.publish_keys").admit(request)


async def test_keys_are_read_again_when_they_have_changed(keys: Path) -> None:
    stored = StreamKeys(keys, "apps.x.publish_keys")
    keys.write_text("cam1 another-key\n")  # noqa: ASYNC240  # of a test's own file
    await stored.admit(StreamRequest("cam1", "live", {"key": "another-key"}))
    with pytest.raises(Reject):
        await stored.admit(StreamRequest("cam1", "live", {"key": "one"}))


@pytest.mark.parametrize("content", ["cam1\n", "cam1 a b\n"])
def test_a_wrong_line_is_named(keys: Path, content: str) -> None:
    keys.write_text(content)
    with pytest.raises(ConfigError, match=r"apps\.x\.publish_keys.*line 1"):
        StreamKeys(keys, "apps.x.publish_keys")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        StreamKeys(tmp_path / "none", "apps.x.play_keys")


async def test_an_origin_asks_for_the_keys_of_its_configuration(tmp_path: Path, keys: Path) -> None:
    apps = {"probe": {"publish_keys": str(keys)}}
    async with running(tmp_path / "state", apps=apps) as origin:
        peer = await encoder(origin)
        peer.tell("publish", "cam1")
        await peer.until(lambda: BAD_NAME in peer.statuses())
        peer.tell("publish", "cam1?key=two")
        await peer.until(lambda: START in peer.statuses())
        keys.unlink()  # noqa: ASYNC240  # nobody new, until it is back
        peer.tell("publish", "cam1?key=two")
        await peer.until(lambda: peer.statuses().count(BAD_NAME) == 2)
        peer.close()
