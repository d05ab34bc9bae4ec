"""What an application does with its clients, its timers and connections of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable

import pytest
import structlog

from rtmp_sync import Application, Client, ConnectionLost, Origin
from rtmp_sync.protocol.events import CommandReceived, StatusReceived
from rtmp_sync.server.unload import unload
from rtmp_sync.wire import amf0
from rtmp_sync.wire.constants import (
    CAPS_RECONNECT,
    CONNECT_CLOSED,
    CONNECT_RECONNECT_REQUEST,
)
from tests.server.conftest import probe
from tests.support.origins import take_over, until, url
from tests.support.peer import Peer

ROOM = "probe/room"


@pytest.fixture
async def peer(origin: Origin) -> AsyncIterator[Peer]:
    peer = Peer()
    await peer.connect(
        origin.rtmp_port,
        ROOM,
        "ann",
        "User",
        tcUrl="rtmp://here/probe/room",
        swfUrl="http://site/player.swf",
        pageUrl=7.0,
    )
    yield peer
    peer.close()


@pytest.fixture
def client(application: Application) -> Client:
    return application.clients[0]


async def test_a_client_tells_where_it_comes_from(client: Client, peer: Peer) -> None:
    assert (client.ip, client.protocol) == ("127.0.0.1", "rtmp")
    assert (client.uri, client.referrer) == ("rtmp://here/probe/room", "http://site/player.swf")
    assert client.page_url == ""
    client.attributes["seat"] = 3
    assert client.traffic.bytes_in > 0
    peer.close()
    await until(lambda: not client.connected)
    assert (client.ip, client.protocol, client.attributes) == ("127.0.0.1", "rtmp", {"seat": 3})


async def test_a_ping_takes_as_long_as_the_way_there_and_back(client: Client, peer: Peer) -> None:
    async with asyncio.timeout(10):
        first, second = await asyncio.gather(client.ping(), client.ping())
    assert first == second >= 0
    silent = asyncio.create_task(client.ping())
    await asyncio.sleep(0)
    peer.close()
    with pytest.raises(ConnectionLost):
        await silent
    with pytest.raises(ConnectionLost):
        await client.ping()


async def test_who_is_disconnected_is_told_why_and_was_not_lost(
    origin: Origin, client: Client, peer: Peer
) -> None:
    client.disconnect("Time is up.", info={"score": 3})
    status = await peer.status(CONNECT_CLOSED)
    assert status.info["description"] == "Time is up."
    assert status.info["application"] == {"score": 3}
    await peer.ended()
    await until(lambda: ("disconnect", "ann", "closed") in probe(origin).said)


async def test_who_can_is_asked_to_go_elsewhere(
    origin: Origin, application: Application, client: Client, peer: Peer
) -> None:
    assert not client.redirect("rtmp://there/probe")
    knowing = Peer()
    await knowing.connect(origin.rtmp_port, ROOM, "bob", "User", capsEx=float(CAPS_RECONNECT))
    bob = next(one for one in application.clients if one is not client)
    assert bob.redirect("rtmp://there/probe", "Nearer to you.")
    status = await knowing.status(CONNECT_RECONNECT_REQUEST)
    assert status.info["tcUrl"] == "rtmp://there/probe"
    assert not [one for one in peer.events if isinstance(one, StatusReceived)]
    knowing.close()


async def test_a_broadcast_reaches_everybody_in_the_form_of_each(
    origin: Origin, application: Application, peer: Peer
) -> None:
    other = Peer()
    await other.connect(origin.rtmp_port, ROOM, "bob", "User", objectEncoding=3.0)
    application.broadcast("news", "goal", {"by": 7})
    for one in (peer, other):
        assert await one.command("news") == ["goal", {"by": 7.0}]
        kinds = [event.name for event in one.events if isinstance(event, CommandReceived)]
        assert kinds == ["news"]
    first, second = application.clients[0], Peer()
    await second.connect(origin.rtmp_port, ROOM, "eve", "User")
    made: dict[Hashable, bytes] = {}
    first.notify("once", made=made)
    (encoded,) = made.values()
    application.clients[-1].notify("once", made=made)
    assert await second.command("once") == []
    assert [one is encoded for one in made.values()] == [True]
    second.close()
    other.close()


async def test_players_look_into_what_the_application_lets_them(
    origin: Origin, client: Client, peer: Peer
) -> None:
    client.audio_sample_access = "/open"
    client.video_sample_access = "/"
    peer.send(peer.rtmp.call("createStream")[1])
    for number, (name, expected) in enumerate(
        [("open/a", [True, True]), ("closed", [False, True])], start=1
    ):
        publisher = await Peer().join(origin.rtmp_port, ROOM, "publisher")
        publisher.tell("publish", name)
        await publisher.status("NetStream.Publish.Start")
        peer.events.clear()
        peer.tell("play", name)

        def said() -> list[list[object]]:
            data = [amf0.decode(bytes(one.payload)) for one in peer.media()]
            return [values[1:] for values in data if values[0] == "|RtmpSampleAccess"]

        assert await peer.until(said) == [expected], number
        publisher.close()


async def test_something_is_run_once_and_later(application: Application) -> None:
    ran: list[str] = []

    async def waits() -> None:
        await asyncio.sleep(0)
        ran.append("coroutine")

    def fails() -> None:
        ran.append("fails")
        raise RuntimeError("a bug")

    application.after(0.0, waits)
    application.after(0.0, fails)
    called_off = application.after(0.0, lambda: ran.append("called off"))
    called_off()
    application.after(0.01, lambda: ran.append("last"))
    await until(lambda: "last" in ran)
    assert sorted(ran) == ["coroutine", "fails", "last"]


async def test_what_was_to_run_does_not_after_a_takeover(
    origin: Origin, application: Application
) -> None:
    ran: list[str] = []
    application.after(0.0, lambda: ran.append("before"))
    await take_over(origin)
    instance = origin.instances.running(ROOM)
    assert instance is not None
    instance.application.after(0.0, lambda: ran.append("after"))
    await until(lambda: ran)
    assert ran == ["after"]


async def test_an_application_uses_another_one(origin: Origin, application: Application) -> None:
    other = application.connection()
    await other.connect(url(origin, "probe/other"), "room", "User")
    assert await other.call("echo", 1) == 1.0
    board = await other.shared_object("board")
    await board.set("k", "from room")
    instance = origin.instances.running("probe/other")
    assert instance is not None
    assert instance.application.shared_object("board")["k"] == "from room"
    here = origin.instances.running(ROOM)
    assert here is not None
    await unload(origin.instances, origin.sessions, here)
    await until(lambda: other.state == "closed")
    await until(lambda: not instance.clients)


async def test_the_log_names_the_instance(application: Application) -> None:
    with structlog.testing.capture_logs() as lines:
        application.log.info("goal", by="ann")
    assert lines == [{"event": "goal", "log_level": "info", "instance": ROOM, "by": "ann"}]
