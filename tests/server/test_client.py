"""The asyncio client against a small server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from rtmp_sync.errors import CallError, ConnectError, ConnectionLost, LocalProtocolError
from rtmp_sync.protocol import events, replies
from rtmp_sync.server import client_link
from rtmp_sync.server.client import NetConnection
from rtmp_sync.server.remote_calls import MAX_OPEN_CALLS, RemoteCalls
from rtmp_sync.wire import constants as c
from tests.server.small_server import SmallServer, until


@pytest.fixture
async def server() -> AsyncIterator[SmallServer]:
    async with SmallServer() as server:
        yield server


@pytest.fixture
async def client(server: SmallServer) -> AsyncIterator[NetConnection]:
    async with NetConnection() as client:
        await client.connect(server.url, "Ann", "Type1")
        yield client


# --- connect


async def test_connect_sends_user_arguments_and_returns_the_information(
    server: SmallServer,
) -> None:
    async with NetConnection(reconnect=False) as client:
        info = await client.connect(server.url, "Ann", "Type1", pageUrl="http://x/")
        assert info["code"] == c.CONNECT_SUCCESS
        assert client.state == "connected"
    (request,) = [e for e in server.received if isinstance(e, events.ConnectRequested)]
    assert request.app == "text/room"
    assert request.arguments == ["Ann", "Type1"]
    assert request.params["pageUrl"] == "http://x/"
    assert request.params["tcUrl"] == server.url
    assert "sessionKey" not in request.params


@pytest.mark.parametrize("scheme", [-1, 0, 1])
@pytest.mark.parametrize("object_encoding", [0, 3])
async def test_each_handshake_and_encoding_works(
    server: SmallServer, scheme: int, object_encoding: int
) -> None:
    async with NetConnection(digest_scheme=scheme) as client:
        await client.connect(server.url, object_encoding=object_encoding)
        assert await client.call("add", {"a": [1, 2]}, "é") == ["add", {"a": [1.0, 2.0]}, "é"]
        shared_object = await client.shared_object("text")
        await shared_object.set("k", {"x": 1})
        assert shared_object["k"] == {"x": 1.0}


async def test_a_refusal_raises_with_its_code_text_and_information(server: SmallServer) -> None:
    server.refusal = replies.connect_rejected("no", application={"why": "full"})
    client = NetConnection()
    with pytest.raises(ConnectError) as caught:
        await client.connect(server.url)
    assert caught.value.code == c.CONNECT_REJECTED
    assert caught.value.description == "no"
    assert isinstance(caught.value.info, dict)
    assert caught.value.info["application"] == {"why": "full"}
    assert client.state == "closed"


async def test_a_redirect_is_followed(server: SmallServer) -> None:
    async with SmallServer() as other:
        server.refusal = replies.connect_rejected(redirect=other.url)
        async with NetConnection() as client:
            assert client.uri == ""
            await client.connect(server.url)
            assert len(other.peers) == 1
            assert client.uri == server.url


async def test_a_circle_of_redirects_ends(server: SmallServer) -> None:
    server.refusal = replies.connect_rejected(redirect=server.url)
    with pytest.raises(ConnectError, match="redirects"):
        await NetConnection().connect(server.url)


@pytest.mark.parametrize(
    "target",
    [
        "rtmp://[x/app",
        "http://h/app",
        "rtmp://h:x/app",
        "rtmp://a..b/app",
        f"rtmp://{64 * 'a'}/app",
        "rtmp://a\0b/app",
    ],
)
async def test_a_redirect_to_what_is_no_address_is_a_connect_error(
    server: SmallServer, target: str
) -> None:
    server.refusal = replies.connect_rejected(redirect=target)
    with pytest.raises(ConnectError, match=r"rtmp://|IPv6|Port"):
        await NetConnection().connect(server.url)


async def test_nobody_listening_is_a_connect_error(server: SmallServer) -> None:
    server.listener.close()
    with pytest.raises(ConnectError) as caught:
        await NetConnection().connect(server.url)
    assert caught.value.code == c.CONNECT_FAILED


@pytest.mark.parametrize("url", ["http://h/app", "rtmp://host", "rtmp://h:99999/app", "text"])
async def test_what_is_no_rtmp_address_is_a_connect_error(url: str) -> None:
    with pytest.raises(ConnectError, match=r"rtmp://|Port"):
        await NetConnection().connect(url)


async def test_a_session_key_has_16_bytes() -> None:
    with pytest.raises(LocalProtocolError, match="16"):
        NetConnection(session_key=b"short")


async def test_a_connected_one_does_not_connect_again(
    server: SmallServer, client: NetConnection
) -> None:
    with pytest.raises(ConnectError, match="connected"):
        await client.connect(server.url)


def test_everything_works_on_uvloop_too() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def talk() -> None:
        async with SmallServer() as server, NetConnection() as client:
            await client.connect(server.url)
            assert await client.call("echo", 1) == ["echo", 1.0]
            server.cut()
            assert await client.call("echo", 2) == ["echo", 2.0]
            shared_object = await client.shared_object("text")
            assert await shared_object.set("a", 1) == 1

    uvloop.run(talk())


# --- calls


async def test_many_calls_at_once_all_get_their_own_answer(client: NetConnection) -> None:
    results = await asyncio.gather(*(client.call("echo", number) for number in range(300)))
    assert results == [["echo", float(number)] for number in range(300)]


async def test_no_more_than_64_numbers_are_open(server: SmallServer, client: NetConnection) -> None:
    stuck = asyncio.create_task(client.call("never"))
    others = [asyncio.create_task(client.call("echo", n)) for n in range(100)]
    await asyncio.wait(others[:63])
    assert server.runs.count("echo") == 63
    stuck.cancel()
    await asyncio.gather(*others)
    assert server.runs.count("echo") == 100


async def test_a_turn_that_its_caller_gives_up_is_the_next_ones() -> None:
    calls = RemoteCalls(numbered=True)
    open_calls = [await calls.begin("first", ()) for _ in range(MAX_OPEN_CALLS)]
    waiting = [asyncio.create_task(calls.begin("next", ())) for _ in range(MAX_OPEN_CALLS + 1)]
    await asyncio.sleep(0)
    for call in reversed(open_calls):  # the lowest last: it makes room for all but one
        calls.end(call, None)
    for task in waiting[:-1]:
        task.cancel()
    async with asyncio.timeout(5):
        assert (await waiting[-1]).number == MAX_OPEN_CALLS + 1


async def test_an_error_answer_raises_with_its_code(client: NetConnection) -> None:
    with pytest.raises(CallError) as caught:
        await client.call("fail")
    assert caught.value.code == c.CALL_FAILED


async def test_a_call_without_answer_times_out(client: NetConnection) -> None:
    with pytest.raises(TimeoutError):
        await client.call("never", timeout=0.01)
    assert await client.call("echo") == ["echo"]


async def test_an_argument_without_amf_form_is_refused_and_leaves_nothing_open(
    client: NetConnection,
) -> None:
    with pytest.raises(LocalProtocolError):
        await client.call("echo", object())
    assert await client.call("echo") == ["echo"]


async def test_an_unanswered_call_is_sent_again_and_runs_once(
    server: SmallServer, client: NetConnection
) -> None:
    await client.call("first")
    server.mute = True
    call = asyncio.create_task(client.call("second"))
    await server.arrived(events.CommandReceived)
    server.received.clear()
    server.mute = False
    server.results[client.session_key.hex() if client.session_key else "", 2] = "stored"
    server.cut()
    assert await call == "stored"
    assert server.runs == ["first"]
    assert client.reconnects == 1


async def test_numbers_go_on_and_tell_the_lowest_open(
    server: SmallServer, client: NetConnection
) -> None:
    await client.call("a")
    await client.call("b")
    commands = [e for e in server.received if isinstance(e, events.CommandReceived)]
    limits = server.peers[0].connection.limits.values
    assert [e.command_object_and_arguments(limits)[0] for e in commands] == [
        {"callNumber": 1.0, "lowestOpen": 1.0},
        {"callNumber": 2.0, "lowestOpen": 2.0},
    ]


async def test_without_reconnect_an_unanswered_call_is_lost(server: SmallServer) -> None:
    closed: list[str] = []
    client = NetConnection(reconnect=False)
    client.on_closed = closed.append
    await client.connect(server.url)
    call = asyncio.create_task(client.call("never"))
    await server.arrived(events.CommandReceived)
    server.cut()
    with pytest.raises(ConnectionLost):
        await call
    with pytest.raises(ConnectionLost):
        await client.call("echo")
    assert client.state == "closed"
    assert len(closed) == 1


async def test_close_fails_what_waits(server: SmallServer, client: NetConnection) -> None:
    call = asyncio.create_task(client.call("never"))
    await server.arrived(events.CommandReceived)
    await client.close()
    with pytest.raises(ConnectionLost):
        await call


async def test_close_ends_the_redialling(server: SmallServer, client: NetConnection) -> None:
    server.listener.close()
    server.cut()
    await until(lambda: client.state == "reconnecting")
    call = asyncio.create_task(client.call("echo"))
    await asyncio.sleep(0)
    await client.close()
    with pytest.raises(ConnectionLost):
        await call


async def test_a_refusal_at_the_reconnect_is_final(
    server: SmallServer, client: NetConnection
) -> None:
    closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    client.on_closed = closed.set_result
    server.refusal = replies.connect_rejected("banned")
    server.cut()
    assert "banned" in await closed
    assert client.state == "closed"


async def test_a_server_that_comes_back_later_is_found(
    server: SmallServer, client: NetConnection
) -> None:
    server.listener.close()
    server.cut()
    await until(lambda: client.state == "reconnecting")
    call = asyncio.create_task(client.call("echo", 7))
    await server.listen(server.port)
    assert await call == ["echo", 7.0]


async def test_a_reconnect_request_is_followed_to_its_address(
    server: SmallServer, client: NetConnection
) -> None:
    reconnected = asyncio.Event()
    client.on_reconnect = reconnected.set
    async with SmallServer() as other:
        peer = server.peers[0]
        values = replies.reconnect_request(other.url)
        peer.write(peer.connection.command("onStatus", 0, *values))
        await reconnected.wait()
        assert len(other.peers) == 1
        assert client.uri == other.url
        await client.close()


async def asked_to_reconnect(server: SmallServer) -> None:
    peer = server.peers[0]
    peer.write(peer.connection.command("onStatus", 0, *replies.reconnect_request()))


async def test_it_says_that_it_follows_reconnect_requests(
    server: SmallServer, client: NetConnection
) -> None:
    async with NetConnection(reconnect=False) as other:
        await other.connect(server.url)
    requests = [e for e in server.received if isinstance(e, events.ConnectRequested)]
    assert [request.params.get("capsEx") for request in requests] == [c.CAPS_RECONNECT, None]


async def test_the_present_connection_serves_until_the_asked_for_one_is_there(
    server: SmallServer, client: NetConnection
) -> None:
    before = server.peers[0]
    server.refusal = replies.connect_app_shutdown("not yet")
    await asked_to_reconnect(server)
    await until(lambda: len(connects(server)) > 1)
    assert await client.call("echo", 1) == ["echo", 1.0]
    assert client.state == "connected"
    server.refusal = None
    await until(lambda: client.reconnects == 1)
    assert await client.call("echo", 2) == ["echo", 2.0]
    await until(lambda: before not in server.peers)
    assert [len(server.peers), client.reconnects] == [1, 1]


async def test_what_is_unanswered_at_an_asked_for_reconnect_is_answered_once_after_it(
    server: SmallServer, client: NetConnection
) -> None:
    server.mute = True
    calls = [asyncio.create_task(client.call("echo", number)) for number in range(5)]
    await server.arrived(events.CommandReceived)
    await asked_to_reconnect(server)
    server.mute = False
    assert await asyncio.gather(*calls) == [["echo", float(number)] for number in range(5)]
    assert (client.reconnects, len(server.runs)) == (1, 5)


async def test_the_end_of_the_connection_hurries_an_asked_for_reconnect(
    server: SmallServer, client: NetConnection
) -> None:
    server.listener.close()
    await asked_to_reconnect(server)
    await until(lambda: client._redialling is not None)
    server.cut()
    await until(lambda: client.state == "reconnecting")
    await server.listen(server.port)
    assert await client.call("echo", 1) == ["echo", 1.0]


async def test_a_refusal_for_good_of_an_asked_for_reconnect_leaves_the_connection(
    server: SmallServer, client: NetConnection
) -> None:
    server.refusal = replies.connect_rejected("no")
    await asked_to_reconnect(server)
    await until(lambda: len(connects(server)) > 1 and client._redialling is None)
    assert client.state == "connected"
    assert await client.call("echo", 1) == ["echo", 1.0]


def connects(server: SmallServer) -> list[events.ConnectRequested]:
    return [event for event in server.received if isinstance(event, events.ConnectRequested)]


# --- calls of the server


class Methods:
    def __init__(self) -> None:
        self.shown: list[object] = []

    def show(self, text: str) -> str:
        self.shown.append(text)
        return text.upper()

    async def later(self) -> int:
        await asyncio.sleep(0)
        return 7

    def broken(self) -> None:
        raise ValueError("the client's own bug")

    def _hidden(self) -> None: ...


@pytest.mark.parametrize(
    ("name", "arguments", "ok", "result"),
    [
        ("show", ("hi",), True, "HI"),
        ("later", (), True, 7.0),
        ("broken", (), False, None),
        ("absent", (), False, None),
        ("_hidden", (), False, None),
        ("show", ("too", "many"), False, None),
    ],
)
async def test_the_server_calls_methods_of_the_client(
    server: SmallServer,
    client: NetConnection,
    name: str,
    arguments: tuple[object, ...],
    ok: bool,
    result: object,
) -> None:
    client.client = Methods()
    peer = server.peers[0]
    peer.write(peer.connection.call(name, *arguments)[1])
    await server.arrived(events.CallAnswered)
    (answer,) = [e for e in server.received if isinstance(e, events.CallAnswered)]
    assert answer.ok is ok
    if ok:
        assert answer.result == result


async def test_a_status_of_the_connection_is_told(
    server: SmallServer, client: NetConnection
) -> None:
    told: asyncio.Future[dict[str, object]] = asyncio.get_running_loop().create_future()
    client.on_status = told.set_result
    peer = server.peers[0]
    peer.write(peer.connection.command("onStatus", 0, *replies.connect_app_shutdown("bye")))
    info = await told
    assert info["code"] == c.CONNECT_APP_SHUTDOWN


# --- shared objects


async def test_a_shared_object_is_in_sync_when_it_is_there(
    server: SmallServer, client: NetConnection
) -> None:
    first = await client.shared_object("text")
    assert await first.set("txt", "hello") == 1
    async with NetConnection() as second:
        await second.connect(server.url)
        seen = await second.shared_object("text")
        assert dict(seen) == {"txt": "hello"}
        assert seen.version == 1
        assert await client.shared_object("text") is first
        assert dict(await client.shared_object("text", persistent=True)) == {}


async def test_changes_of_others_arrive_as_sync_items(
    server: SmallServer, client: NetConnection
) -> None:
    mine = await client.shared_object("text")
    async with NetConnection() as other:
        await other.connect(server.url)
        theirs = await other.shared_object("text")
        items: list[object] = []
        theirs.on_sync = items.extend
        await mine.set("a", 1)
        await mine.delete("a")
        await mine.clear()
        await until(lambda: len(items) == 3)
        assert items == [
            {"code": "change", "name": "a"},
            {"code": "delete", "name": "a"},
            {"code": "clear"},
        ]
        assert dict(theirs) == {}


async def test_the_writer_sees_success(client: NetConnection) -> None:
    shared_object = await client.shared_object("text")
    items: list[object] = []
    shared_object.on_sync = items.extend
    await shared_object.set("a", [1, None])
    assert items == [{"code": "success", "name": "a"}]
    assert shared_object["a"] == [1.0, None]


async def test_null_deletes_a_slot(client: NetConnection) -> None:
    shared_object = await client.shared_object("text")
    await shared_object.set("a", 1)
    await shared_object.set("a", None)
    assert "a" not in shared_object
    assert await shared_object.delete("a") == shared_object.version


async def test_writes_of_one_slot_fold_into_the_newest(
    server: SmallServer, client: NetConnection
) -> None:
    shared_object = await client.shared_object("text")
    versions = await asyncio.gather(*(shared_object.set("a", n) for n in range(50)))
    assert shared_object["a"] == 49.0
    assert set(versions) == {1, 2}


async def test_a_refused_write_raises_and_rolls_back(
    server: SmallServer, client: NetConnection
) -> None:
    shared_object = await client.shared_object("text")
    await shared_object.set("a", 1)
    items: list[object] = []
    shared_object.on_sync = items.extend
    server.read_only = True
    with pytest.raises(CallError, match="NoWriteAccess"):
        await shared_object.set("a", 2)
    with pytest.raises(CallError, match="NoWriteAccess"):
        await shared_object.set("new", 2)
    with pytest.raises(CallError, match="NoWriteAccess"):
        await shared_object.clear()
    assert dict(shared_object) == {"a": 1.0}
    assert items == [{"code": "reject", "name": "a"}, {"code": "reject", "name": "new"}]


async def test_send_reaches_everyone_and_the_sender(
    server: SmallServer, client: NetConnection
) -> None:
    heard: list[tuple[object, ...]] = []
    mine = await client.shared_object("text")
    mine.on_message = lambda *message: heard.append(message)
    async with NetConnection() as other:
        await other.connect(server.url)
        theirs = await other.shared_object("text")
        theirs.on_message = lambda *message: heard.append(message)
        await mine.send("chat", "Ann", 1)
        await until(lambda: len(heard) == 2)
    assert heard == [("chat", "Ann", 1.0)] * 2


async def test_an_unconfirmed_write_is_made_again_with_the_newest_value(
    server: SmallServer, client: NetConnection
) -> None:
    shared_object = await client.shared_object("text")
    await shared_object.set("kept", 1)
    server.mute = True
    writes = [asyncio.create_task(shared_object.set("a", n)) for n in (1, 2, 3)]
    server.received.clear()
    await server.arrived(events.SharedObjectReceived)
    server.mute = False
    server.cut()
    await asyncio.gather(*writes)
    assert dict(shared_object) == {"kept": 1.0, "a": 3.0}
    use = [e for e in server.received if isinstance(e, events.SharedObjectReceived)][-2]
    assert use.message.version == 1, "it is used again with the last version seen"


async def test_a_write_while_disconnected_is_made_later(
    server: SmallServer, client: NetConnection
) -> None:
    shared_object = await client.shared_object("text")
    server.cut()
    await until(lambda: client.state == "reconnecting")
    with pytest.raises(ConnectionLost):
        await shared_object.send("chat")
    shared_object.set_nowait("b", 5)
    await shared_object.set("a", 4)
    assert dict(shared_object) == {"b": 5.0, "a": 4.0}


async def test_a_write_on_a_closed_connection_is_lost(client: NetConnection) -> None:
    shared_object = await client.shared_object("text")
    await client.close()
    with pytest.raises(ConnectionLost):
        await shared_object.set("a", 1)


async def test_a_callback_that_fails_costs_neither_the_connection_nor_what_comes_behind_it(
    client: NetConnection, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("the user's own bug")

    shared_object = await client.shared_object("text")
    shared_object.on_sync = shared_object.on_message = client.on_status = broken
    shared_object.set_nowait("a", 1)
    await shared_object.send("chat")
    await shared_object.set("b", 2)
    assert dict(shared_object) == {"a": 1.0, "b": 2.0}
    assert client.reconnects == 0
    assert "the user's own bug" in caplog.text


async def test_a_released_object_hears_nothing_more(
    server: SmallServer, client: NetConnection
) -> None:
    shared_object = await client.shared_object("text")
    shared_object.release()
    await client.call("echo")
    assert server.users["text", False] == []
    with pytest.raises(ConnectionLost):
        await shared_object.set("a", 1)


async def test_a_released_object_is_not_used_again_by_a_reconnect_but_may_be_anew(
    server: SmallServer, client: NetConnection
) -> None:
    released = await client.shared_object("text")
    released.release()
    reconnected = asyncio.Event()
    client.on_reconnect = reconnected.set
    server.cut()
    await reconnected.wait()
    await client.call("echo")
    assert not server.users.get(("text", False))
    anew = await client.shared_object("text")
    await anew.set("a", 1)
    released.release()  # once more: the new one is not meant
    assert await client.shared_object("text") is anew
    assert dict(anew) == {"a": 1.0}


async def test_nothing_is_kept_of_released_objects(client: NetConnection) -> None:
    for number in range(3):
        (await client.shared_object(f"board {number}")).release()
    assert client._shared_objects == {}


# --- streams


async def test_what_one_publishes_another_plays(server: SmallServer, client: NetConnection) -> None:
    async with NetConnection() as viewer:
        await viewer.connect(server.url)
        playing = await viewer.create_stream()
        await playing.play("cam")
        publishing = await client.create_stream()
        await publishing.publish("cam")
        for timestamp in range(0, 400, 40):
            publishing.send(c.VIDEO, timestamp, b"\x17\x01" + bytes(9000))
        await publishing.drain()
        timestamps = []
        async for message in playing:
            assert (message.type, len(message.payload)) == (c.VIDEO, 9002)
            timestamps.append(message.timestamp)
            if len(timestamps) == 10:
                break
        assert timestamps == list(range(0, 400, 40))


async def test_a_taken_name_is_a_call_error(server: SmallServer, client: NetConnection) -> None:
    first = await client.create_stream()
    await first.publish("cam")
    second = await client.create_stream()
    with pytest.raises(CallError, match="BadName"):
        await second.publish("cam")
    await first.unpublish()


async def test_a_stream_ends_with_its_connection(
    server: SmallServer, client: NetConnection
) -> None:
    reconnected = asyncio.Event()

    async def on_reconnect() -> None:
        assert (await client.create_stream()).msid == 1
        reconnected.set()

    client.on_reconnect = on_reconnect
    stream = await client.create_stream()
    await stream.play("cam")
    server.cut()
    assert [message async for message in stream] == []
    with pytest.raises(ConnectionLost):
        stream.send(c.AUDIO, 0, b"\xaf\x01")
    await reconnected.wait()


async def test_a_reader_that_is_slow_loses_the_oldest(
    server: SmallServer, client: NetConnection
) -> None:
    stream = await client.create_stream()
    for number in range(5000):
        stream.receive_media(events.MediaReceived(c.AUDIO, 1, number, b"x"))
    assert stream.dropped_messages == 5000 - 4096
    assert (await anext(stream)).timestamp == stream.dropped_messages
    stream.close()
    assert stream.ended


async def test_drain_waits_for_a_server_that_does_not_read(
    server: SmallServer, client: NetConnection
) -> None:
    stream = await client.create_stream()
    await stream.publish("cam")
    server.peers[0].transport.pause_reading()
    for _ in range(20):
        stream.send(c.VIDEO, 0, bytes(1_000_000))
    waiting = asyncio.create_task(stream.drain())
    for _ in range(100):
        await asyncio.sleep(0)
    assert not waiting.done()
    server.peers[0].transport.resume_reading()
    await waiting


async def test_who_never_drains_is_cut_off(
    server: SmallServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_link, "_MAX_WAITING_BYTES", 1_000_000)
    closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    client = NetConnection(reconnect=False)
    client.on_closed = closed.set_result
    await client.connect(server.url)
    stream = await client.create_stream()
    await stream.publish("cam")
    server.peers[0].transport.pause_reading()
    for _ in range(30):
        stream.send(c.VIDEO, 0, bytes(1_000_000))
    assert "1000000 bytes waiting" in await closed


# --- hostile servers


async def test_a_server_that_sends_rubbish_is_left(server: SmallServer) -> None:
    client = NetConnection(reconnect=False)
    closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    client.on_closed = closed.set_result
    await client.connect(server.url)
    server.peers[0].write(b"\xc9rubbish")
    assert "fmt 3" in await closed


async def test_arguments_that_are_no_amf_end_the_connection(server: SmallServer) -> None:
    client = NetConnection(reconnect=False)
    client.client = Methods()
    closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    client.on_closed = closed.set_result
    await client.connect(server.url)
    peer = server.peers[0]
    peer.write(peer.connection.message(c.COMMAND, b"\x02\0\x04show\0" + bytes(8) + b"\x05\x02\xff"))
    assert "AMF0" in await closed
