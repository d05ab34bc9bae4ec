"""A shared object of another application, on another origin, as the clients of this one see it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rtmp_sync import CallError, ConnectionLost, NetConnection, Origin
from rtmp_sync.protocol.events import CallAnswered
from rtmp_sync.server import proxied_object, remote_object
from rtmp_sync.server.fanout import Fanout, Subscriber
from rtmp_sync.server.proxied_object import ProxiedObject
from rtmp_sync.server.remote_object import RemoteSharedObject
from rtmp_sync.server.unload import unload
from rtmp_sync.wire import amf0
from rtmp_sync.wire import shared_object as so
from rtmp_sync.wire.constants import (
    SO_CHANGE,
    SO_CLEAR,
    SO_NO_READ_ACCESS,
    SO_NO_WRITE_ACCESS,
    SO_REMOVE,
    SO_STATUS,
    SO_SUCCESS,
    SO_USE_SUCCESS,
)
from tests.support.clients import Door
from tests.support.joined import instance
from tests.support.origins import freeze, running, take_over, thaw, until, url
from tests.support.peer import Peer

GAMES = "probe/games"  # whose object it is
HALL = "lobby/hall"  # whose clients use it

LOBBY = '''
from rtmp_sync import Application


class Lobby(Application):
    """Its clients use the object "board" of another application."""

    public_types = frozenset({"User"})

    async def on_app_start(self):
        await self.on_promote()

    async def on_promote(self):
        self.games = self.connection()
        self.board = self.shared_object("board", of=self.games)
        self.synced, self.heard = [], []
        self.board.on_sync = self.synced.extend
        self.board.on_message = lambda *said: self.heard.append(list(said))
        await self.games.connect(self.config["games"], self.instance, "User")

    async def on_connect(self, client, user_name, user_type):
        if user_name == "reader":
            client.write_access = "/open"
        if user_name == "blind":
            client.read_access = "/open"
'''


class Sides(NamedTuple):
    """`there` owns the object, `here` proxies it; `door` is the way between them."""

    here: Origin
    there: Origin
    door: Door

    @property
    def application(self) -> Any:
        return instance(self.here).application


class Users:
    """Clients, closed at the end."""

    def __init__(self) -> None:
        self.connections: list[NetConnection] = []

    async def join(self, origin: Origin, app: str = HALL, name: str = "u") -> NetConnection:
        connection = NetConnection()
        self.connections.append(connection)
        await connection.connect(url(origin, app), name, "User")
        return connection

    async def board(self, origin: Origin, app: str = HALL) -> RemoteSharedObject:
        return await (await self.join(origin, app)).shared_object("board")


@pytest.fixture
async def sides(origin: Origin, tmp_path: Path) -> AsyncIterator[Sides]:
    apps = tmp_path / "apps"
    apps.mkdir()
    (apps / "lobby.py").write_text(LOBBY)
    door = Door(url(origin, GAMES))
    config: dict[str, dict[str, Any]] = {
        "apps": {"directory": apps},
        "application_object": {"games": await door.open()},
    }
    async with running(tmp_path / "lobby", **config) as here:
        yield Sides(here, origin, door)
    await door.close()


def app_of(origin: Origin, name: str) -> Any:
    running = origin.instances.running(name)
    assert running is not None
    return running.application


@pytest.fixture
async def users() -> AsyncIterator[Users]:
    users = Users()
    yield users
    for connection in users.connections:
        await connection.close()


async def joined(origin: Origin, *, amf3: bool = False) -> Peer:
    """A client that uses the object and has been told all of it."""
    peer = Peer()
    await peer.connect(origin.rtmp_port, HALL, "p", "User", objectEncoding=3.0 * amf3)
    peer.so("board", so.EVENT_USE, version=1)  # of what another owner had, perhaps
    await until(lambda: instance(origin).shared_objects.users("board", "T"))
    application: Any = instance(origin).application
    events = await peer.so_until(2 + len(application.board))
    assert [kind for kind, _, _ in events[:2]] == [SO_USE_SUCCESS, SO_CLEAR]
    return peer


async def answered(peer: Peer) -> None:
    """The origin has read what the peer sent before."""
    transaction, data = peer.rtmp.call("none")
    peer.send(data)
    await peer.until(
        lambda: any(
            isinstance(one, CallAnswered) and one.transaction == transaction for one in peer.events
        )
    )


def listen(board: RemoteSharedObject) -> list[list[object]]:
    heard: list[list[object]] = []
    board.on_message = lambda *said: heard.append(list(said))
    return heard


def watch(board: RemoteSharedObject) -> list[tuple[str, object]]:
    """What it is told from now on."""
    told: list[tuple[str, object]] = []
    board.on_sync = lambda items: told.extend((one["code"], one.get("name")) for one in items)
    return told


def calls_of(method: str, monkeypatch: pytest.MonkeyPatch) -> list[RemoteSharedObject]:
    """Of which remote objects it is called from now on."""
    called: list[RemoteSharedObject] = []
    original = getattr(RemoteSharedObject, method)

    def counted(remote: RemoteSharedObject, *arguments: object) -> object:
        called.append(remote)
        return original(remote, *arguments)

    monkeypatch.setattr(RemoteSharedObject, method, counted)
    return called


# Both ways


async def test_what_one_side_sets_and_deletes_the_other_side_has(
    sides: Sides, users: Users
) -> None:
    here, too = await users.board(sides.here), await users.board(sides.here)
    there = await users.board(sides.there, GAMES)
    await here.set("a", "from here")
    await until(lambda: there.get("a") == too.get("a") == "from here")
    await there.set("b", {"from": "there"})
    await until(lambda: here.get("b") == too.get("b") == {"from": "there"})
    await here.delete("b")
    await there.delete("a")
    await until(lambda: not here and not too and not there)


async def test_the_writer_gets_success_and_the_others_the_change_under_the_owners_version(
    sides: Sides, users: Users
) -> None:
    there = await users.board(sides.there, GAMES)
    await there.set("x", 1)
    writer, other = await joined(sides.here), await joined(sides.here, amf3=True)
    writer.so("board", so.event_request_change("k", amf0.encode("v")))
    await writer.until(writer.so_messages)
    await other.until(other.so_messages)
    await until(lambda: "k" in there)
    versions = {peer.so_messages()[0].version for peer in (writer, other)}
    assert versions == {there.version}
    assert await writer.so_until(1) == [(SO_SUCCESS, "k", None)]
    assert await other.so_until(1) == [(SO_CHANGE, "k", "v")]
    writer.so("board", so.event_request_change("k", b"\x05"))
    assert await writer.so_until(1) == [(SO_SUCCESS, "k", None)]
    assert await other.so_until(1) == [(SO_REMOVE, "k", None)]
    writer.so("board", so.event_request_remove("x"))
    assert await writer.so_until(1) == [(SO_REMOVE, "x", None)]
    assert await other.so_until(1) == [(SO_REMOVE, "x", None)]
    writer.so("board", so.event_request_remove("x"))
    assert await writer.so_until(1) == [(SO_REMOVE, "x", None)], "it is not there any more"
    assert not other.so_events()
    writer.close()
    other.close()


async def test_writes_of_one_slot_by_many_at_once_are_all_answered_and_all_end_alike(
    sides: Sides, users: Users
) -> None:
    boards = [await users.board(sides.here) for _ in range(4)]
    boards += [await users.board(sides.there, GAMES) for _ in range(2)]
    async with asyncio.timeout(10), asyncio.TaskGroup() as writing:
        for number, board in enumerate(boards[:-1]):
            for times in range(20):
                writing.create_task(board.set("k", 100 * number + times))
    onlooker = boards[-1]
    held = (await users.board(sides.there, GAMES))["k"]
    await until(lambda: all(board["k"] == held for board in boards))
    assert onlooker["k"] == sides.application.board["k"]


async def test_sends_reach_everyone_on_both_sides_once(sides: Sides, users: Users) -> None:
    boards = [await users.board(sides.here), await users.board(sides.here)]
    boards.append(await users.board(sides.there, GAMES))
    heard = [listen(board) for board in boards]
    await boards[0].send("hello", 1)
    await until(lambda: all(len(one) == 1 for one in heard))
    await boards[2].send("hi", [2])
    await until(lambda: all(len(one) == 2 for one in heard))
    sides.application.board.send("we", None)
    await until(lambda: all(len(one) == 3 for one in heard))
    assert heard == [[["hello", 1.0], ["hi", [2.0]], ["we", None]]] * 3
    assert sides.application.heard == heard[0]


async def test_a_clear_of_either_side_empties_both(sides: Sides, users: Users) -> None:
    here, there = await users.board(sides.here), await users.board(sides.there, GAMES)
    await here.set("k", 1)
    await here.clear()
    assert not here
    await until(lambda: not there)
    await here.set("k", 2)
    await there.clear()
    await until(lambda: not here)


async def test_who_comes_late_or_again_gets_all_of_it(sides: Sides, users: Users) -> None:
    there = await users.board(sides.there, GAMES)
    await there.set("old", True)
    first = await users.board(sides.here)
    assert dict(first) == {"old": True}
    await there.set("new", "é" * 70_000)
    await until(lambda: "new" in first)
    late = await users.board(sides.here)
    assert set(late) == {"old", "new"}
    sides.here.cut_sessions("a test")
    await there.delete("old")
    await until(lambda: set(first) == set(late) == {"new"})


async def test_the_application_reads_and_writes_it_too(sides: Sides, users: Users) -> None:
    here = await users.board(sides.here)
    app = sides.application
    app.board["k"] = 1
    assert "k" not in app.board, "the owner has not said so yet"
    await app.board.flush()
    assert app.board["k"] == 1
    await here.set("k", 2)
    await (await users.board(sides.there, GAMES)).set("k", 3)
    await until(lambda: app.board["k"] == 3)
    del app.board["k"]
    await app.board.flush()
    assert app.synced == [
        {"code": code, "name": "k"} for code in ("success", "change", "change", "delete")
    ]
    with pytest.raises(RuntimeError, match="another application"):
        app.board.lock()


async def test_nobody_is_told_success_before_the_owner_has_committed(
    sides: Sides, users: Users
) -> None:
    peer = await joined(sides.here)
    freeze(sides.there)
    peer.so("board", so.event_request_change("k", amf0.encode(1)))
    board = instance(sides.there).shared_objects.fanout("board", "T").obj
    await until(lambda: "k" in board.slots)
    await answered(peer)
    assert not peer.so_events()
    assert "k" not in sides.application.board
    peer.close()


async def test_two_applications_of_one_origin_share_one(origin: Origin, users: Users) -> None:
    await users.join(origin, "probe/hall")
    app = instance(origin).application
    games = app.connection()
    board = app.shared_object("board", persistent=True, of=games)
    await games.connect(url(origin, GAMES), "hall", "User")
    here = await users.connections[0].shared_object("board", persistent=True)
    there = await (await users.join(origin, GAMES)).shared_object("board", persistent=True)
    await here.set("k", 1)
    await there.set("l", 2)
    await until(lambda: dict(here) == dict(there) == dict(board) == {"k": 1, "l": 2})
    assert origin.state.find(GAMES, "board", "P") is not None
    assert origin.state.find("probe/hall", "board", "P") is None
    app.clear_shared_objects()
    await there.set("m", 3)
    assert set(there) == {"k", "l", "m"}, "what is cleared is an application's own"


async def test_an_object_of_ones_own_behind_a_proxied_one_can_be_cleared(
    origin: Origin, users: Users
) -> None:
    own = await (await users.join(origin, "probe/hall")).shared_object("board", persistent=True)
    await own.set("own", 1)
    there = await (await users.join(origin, GAMES)).shared_object("board", persistent=True)
    await there.set("k", 1)
    app = app_of(origin, "probe/hall")
    games = app.connection()
    board = app.shared_object("board", persistent=True, of=games)
    await games.connect(url(origin, GAMES), "hall", "User")
    await until(lambda: dict(own) == {"k": 1})
    assert origin.state.find("probe/hall", "board", "P") is not None
    app.clear_shared_objects()
    assert origin.state.find("probe/hall", "board", "P") is None
    await there.set("l", 2)
    await until(lambda: dict(own) == dict(board) == {"k": 1, "l": 2})


# Refusals


async def test_access_is_checked_where_the_client_is(sides: Sides, users: Users) -> None:
    there = await users.board(sides.there, GAMES)
    await there.set("k", 1)
    reader = await (await users.join(sides.here, name="reader")).shared_object("board")
    with pytest.raises(CallError, match=SO_NO_WRITE_ACCESS):
        await reader.set("k", 2)
    with pytest.raises(CallError, match=SO_NO_WRITE_ACCESS):
        await reader.clear()
    assert reader["k"] == there["k"] == 1
    blind = await users.join(sides.here, name="blind")
    with pytest.raises(CallError, match=SO_NO_READ_ACCESS):
        await blind.shared_object("board")


async def test_what_the_owner_refuses_its_writer_is_refused(sides: Sides, users: Users) -> None:
    app = "lobby/reader"  # as which the owner knows it
    await (await users.board(sides.there, GAMES)).set("k", 1)
    here, other = await users.board(sides.here, app), await users.board(sides.here, app)
    told = watch(other)
    for writing in (here.set("k", 2), here.set("new", 2), here.delete("k"), here.clear()):
        with pytest.raises(CallError, match=SO_NO_WRITE_ACCESS):
            await writing
    assert dict(here) == {"k": 1}
    sides.application.board["k"] = 3
    await sides.application.board.flush()
    assert sides.application.synced[-1] == {"code": "reject", "name": "k"}
    assert not told


async def test_who_wants_what_the_owner_does_not_show_is_refused(
    sides: Sides, users: Users
) -> None:
    blind = await users.join(sides.here, "lobby/blind")
    with pytest.raises(CallError, match=SO_NO_READ_ACCESS):
        await blind.shared_object("board")
    late = await users.join(sides.here, "lobby/blind")
    with pytest.raises(CallError, match=SO_NO_READ_ACCESS):
        await late.shared_object("board")


async def test_who_waits_for_what_the_owner_then_does_not_show_is_refused(
    origin: Origin, users: Users
) -> None:
    here = await users.join(origin, "probe/hall")
    app = app_of(origin, "probe/hall")
    games = app.connection()
    app.shared_object("board", of=games)
    using = asyncio.create_task(here.shared_object("board"))
    await here.call("who.am.i")
    await games.connect(url(origin, GAMES), "blind", "User")
    with pytest.raises(CallError, match=SO_NO_READ_ACCESS):
        await using


async def test_more_than_may_wait_for_the_owner_is_refused(
    sides: Sides, users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxied_object, "MAX_WAITING", 2)
    here = await users.board(sides.here)
    sides.door.shut(True)
    sides.door.cut()
    await until(lambda: sides.application.games.state == "reconnecting")
    for number in range(2):
        here.set_nowait(f"k{number}", number)
    with pytest.raises(CallError, match=SO_NO_WRITE_ACCESS):
        await here.set("over", 1)
    sides.door.shut(False)
    await until(lambda: dict(here) == {"k0": 0, "k1": 1})
    await here.set("over", 1)


async def test_a_send_to_an_owner_that_takes_nothing_any_more_is_lost_and_nothing_else(
    sides: Sides, users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await users.board(sides.here)
    heard = listen(here)
    with monkeypatch.context() as behind:
        behind.setattr(remote_object, "MAX_WAITING_BYTES", -1)
        await here.send("lost")
        await here.set("k", 1)
    await here.send("kept")
    await until(lambda: heard)
    assert heard == [["kept"]]


# The owner comes and goes


async def test_what_is_written_while_the_owner_is_away_waits_and_what_differs_is_told(
    sides: Sides, users: Users
) -> None:
    here, there = await users.board(sides.here), await users.board(sides.there, GAMES)
    for key in ("same", "changed", "deleted"):
        await there.set(key, 1)
    await until(lambda: len(here) == 3)
    told = watch(here)
    sides.door.shut(True)
    sides.door.cut()
    await until(lambda: sides.application.games.state == "reconnecting")
    writing = asyncio.create_task(here.set("waits", 2))
    await there.set("changed", 2)
    await there.delete("deleted")
    late = await users.board(sides.here)
    assert dict(late) == {"same": 1, "changed": 1, "deleted": 1}
    with pytest.raises(CallError, match=SO_NO_WRITE_ACCESS):
        await late.clear()
    assert not writing.done()
    sides.door.shut(False)
    await writing
    assert dict(here) == {"same": 1, "changed": 2, "waits": 2}
    await until(lambda: dict(late) == dict(there) == dict(here))
    assert told == [("delete", "deleted"), ("change", "changed"), ("success", "waits")]


async def test_what_has_waited_too_long_for_the_owner_is_refused_until_it_is_back(
    sides: Sides, users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxied_object, "AWAY_SECONDS", 0.05)
    here, there = await users.board(sides.here), await users.board(sides.there, GAMES)
    await here.set("k", 1)
    sides.door.shut(True)
    sides.door.cut()
    await until(lambda: sides.application.games.state == "reconnecting")
    with pytest.raises(CallError, match=SO_NO_WRITE_ACCESS):
        await here.set("k", 2)
    with pytest.raises(CallError, match=SO_NO_WRITE_ACCESS):
        await here.set("new", 2)
    assert dict(here) == {"k": 1}
    sides.door.shut(False)
    await there.set("back", True)
    await until(lambda: "back" in here)
    await here.set("k", 3)
    assert dict(here) == {"k": 3, "back": True}, "what was refused was not written after all"


async def test_a_write_that_the_owner_leaves_unanswered_is_refused_and_the_copy_stays_right(
    sides: Sides, users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = "lobby/reader"  # as which the owner knows it
    there = await users.board(sides.there, GAMES)
    await there.set("k", 1)
    here = await users.board(sides.here, app)
    refuse = Fanout.refuse

    def without_a_name(
        fanout: Fanout, writer: Subscriber, code: str, key: str | None = None
    ) -> None:
        refuse(fanout, writer, code, key if isinstance(fanout, ProxiedObject) else None)

    monkeypatch.setattr(Fanout, "refuse", without_a_name)
    monkeypatch.setattr(proxied_object, "AWAY_SECONDS", 0.05)
    for writing in (here.set("k", 2), here.delete("k")):
        with pytest.raises(CallError, match=SO_NO_WRITE_ACCESS):
            await writing
    assert dict(here) == {"k": 1}
    await there.set("k", 3)
    await until(lambda: here["k"] == 3)


async def test_an_answer_that_comes_too_late_is_told_as_a_change(
    sides: Sides, users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await users.board(sides.here)
    await here.set("k", 0)
    told = watch(here)
    freeze(sides.there)
    with monkeypatch.context() as soon:
        soon.setattr(proxied_object, "AWAY_SECONDS", 0.05)
        for value in (1, 2):
            with pytest.raises(CallError, match=SO_NO_WRITE_ACCESS):
                await here.set("k", value)
    last = asyncio.create_task(here.set("l", 3))
    thaw(sides.there)
    await last
    assert dict(here) == dict(sides.application.board) == {"k": 1, "l": 3}
    assert ("change", "k") in told


async def test_a_refusal_that_comes_too_late_is_of_the_write_and_not_of_the_object(
    sides: Sides, users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = await users.board(sides.there, GAMES)
    await there.set("k", 1)
    here = await users.board(sides.here, "lobby/reader")  # as which the owner knows it
    freeze(sides.there)
    board = instance(sides.there).shared_objects.fanout("board", "T").obj
    there.set_nowait("before", True)  # the refusal waits behind it
    await until(lambda: "before" in board.slots)
    with monkeypatch.context() as soon:
        soon.setattr(proxied_object, "AWAY_SECONDS", 0.05)
        with pytest.raises(CallError, match=SO_NO_WRITE_ACCESS):
            await here.set("k", 2)
    thaw(sides.there)
    await there.set("k", 3)
    await until(lambda: here["k"] == 3)
    late = await users.board(sides.here, "lobby/reader")
    assert dict(late) == {"before": True, "k": 3}


async def test_users_wait_for_an_owner_that_was_never_there(origin: Origin, users: Users) -> None:
    here = await users.join(origin, "probe/hall")
    app = instance(origin).application
    games = app.connection()
    app.shared_object("board", of=games)
    using = asyncio.create_task(here.shared_object("board"))
    await here.call("who.am.i")
    assert not using.done()
    assert not app.shared_object("board")
    await (await users.board(origin, GAMES)).set("k", 1)
    await games.connect(url(origin, GAMES), "hall", "User")
    assert dict(await using) == {"k": 1}


async def test_the_next_active_origin_has_it_from_the_owner_and_nothing_of_it_is_replicated(
    sides: Sides, users: Users
) -> None:
    here, there = await users.board(sides.here), await users.board(sides.there, GAMES)
    before = sides.here.state.journal.head
    await here.set("k", 1)
    await there.set("l", 2)
    await until(lambda: dict(here) == {"k": 1, "l": 2})
    assert sides.here.state.journal.head == before
    assert sides.here.state.find(HALL, "board", "T") is None
    await take_over(sides.here)
    await here.set("k", 3)
    await until(lambda: dict(there) == {"k": 3, "l": 2})
    assert dict(here) == dict(there)


async def test_who_has_gone_waits_no_longer(origin: Origin, users: Users) -> None:
    here = await users.join(origin, "probe/hall")
    objects = instance(origin).shared_objects
    app = app_of(origin, "probe/hall")
    app.shared_object("board", of=app.connection())
    using = asyncio.create_task(here.shared_object("board"))
    await until(lambda: objects.users("board", "T") == 1)
    await here.close()
    with pytest.raises(ConnectionLost):
        await using
    await until(lambda: objects.users("board", "T") == 0)


async def test_an_instance_that_is_unloaded_uses_the_owners_object_no_longer(
    sides: Sides, users: Users
) -> None:
    here = await users.board(sides.here)
    owner = instance(sides.there)
    await until(lambda: owner.shared_objects.users("board", "T") == 1)
    freeze(sides.there)  # what is written now gets no answer
    writing = asyncio.create_task(here.set("k", 1))
    await until(lambda: "k" in owner.shared_objects.fanout("board", "T").obj.slots)
    await unload(sides.here.instances, sides.here.sessions, instance(sides.here))
    await until(lambda: owner.shared_objects.users("board", "T") == 0)
    assert not writing.done(), "it is the next instance's"
    thaw(sides.there)
    await writing
    assert dict(here) == {"k": 1}


# Rings


async def test_objects_that_proxy_each_other_wait_for_an_owner(
    origin: Origin, users: Users
) -> None:
    ring = {"probe/a": "probe/b", "probe/b": "probe/a"}
    connections = [await users.join(origin, name) for name in ring]
    for name, other in ring.items():
        app = app_of(origin, name)
        games = app.connection()
        app.shared_object("board", of=games)
        await games.connect(url(origin, other), "proxy", "User")
    using = [asyncio.create_task(one.shared_object("board")) for one in connections]
    for _ in range(3):
        for one in connections:
            await one.call("who.am.i")
    assert not any(one.done() for one in using)
    for task in using:
        task.cancel()


async def test_nothing_goes_round_a_ring_of_proxied_objects_for_ever(
    origin: Origin, users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxied_object, "MAX_UNSAID", 10)
    monkeypatch.setattr(proxied_object, "MAX_WAITING", 10)
    here = await users.board(origin, "probe/a")
    there = await users.board(origin, "probe/b")
    await here.set("k", 1)
    for name, other, told in (
        ("probe/b", "probe/a", watch(there)),
        ("probe/a", "probe/b", watch(here)),
    ):
        app = app_of(origin, name)
        connection = app.connection()
        app.shared_object("board", of=connection)
        await connection.connect(url(origin, other), "proxy", "User")
        await until(lambda told=told: ("change", "k") in told)  # type: ignore[misc]  # bound now
    said, cleared = calls_of("say", monkeypatch), calls_of("clear_by", monkeypatch)
    await here.send("round")
    await until(lambda: len(said) >= 20)
    with pytest.raises(CallError, match=SO_NO_WRITE_ACCESS):
        await here.clear()
    monkeypatch.setattr(proxied_object, "AWAY_SECONDS", 0.05)
    with pytest.raises(CallError, match=SO_NO_WRITE_ACCESS):
        await here.set("k", 2)
    assert len(said) == 20
    assert len(cleared) <= 1 + 20, "the user's own, and what goes round"
    assert here["k"] == there["k"] == 1


# Whose it is


async def test_an_object_of_ones_own_becomes_a_proxied_one_and_again_one_of_ones_own(
    origin: Origin, users: Users
) -> None:
    here, there = await users.board(origin, "probe/hall"), await users.board(origin, GAMES)
    app = next(one for one in origin.instances if one.name == "hall").application
    await here.set("own", 1)
    await there.set("theirs", 2)
    games = app.connection()
    await games.connect(url(origin, GAMES), "hall", "User")
    board = app.shared_object("board", of=games)
    await until(lambda: dict(here) == {"theirs": 2})
    assert origin.state.find("probe/hall", "board", "T") is None
    synced: list[object] = []
    board.on_sync = synced.extend
    board.release()
    await until(lambda: not here)
    await here.set("own", 3)
    assert synced == [{"code": "change", "name": "own"}]
    assert dict(there) == {"theirs": 2}
    assert origin.state.find("probe/hall", "board", "T") is not None
    owner = origin.instances.running(GAMES)
    assert owner is not None
    await until(lambda: owner.shared_objects.users("board", "T") == 1)


async def test_listeners_of_an_object_of_ones_own_go_on_when_it_is_a_proxied_one(
    origin: Origin, users: Users
) -> None:
    there = await users.board(origin, GAMES)
    await users.join(origin, "probe/hall")
    app = app_of(origin, "probe/hall")
    synced: list[object] = []
    app.shared_object("board").on_sync = synced.extend
    games = app.connection()
    app.shared_object("board", of=games)
    await games.connect(url(origin, GAMES), "hall", "User")
    await there.set("k", 1)
    await until(lambda: synced)
    assert synced == [{"code": "change", "name": "k"}]


async def test_an_object_of_ones_own_that_outlived_a_takeover_ends_when_it_is_proxied(
    origin: Origin, users: Users
) -> None:
    await users.join(origin, "probe/hall")
    app_of(origin, "probe/hall").shared_object("board")["own"] = 1
    await take_over(origin)
    app = app_of(origin, "probe/hall")
    assert origin.state.find("probe/hall", "board", "T") is not None
    board = app.shared_object("board", of=app.connection())
    assert origin.state.find("probe/hall", "board", "T") is None
    board.release()
    assert "own" not in app.shared_object("board")


async def test_what_waits_when_the_application_lets_go_of_it_is_refused(
    sides: Sides, users: Users
) -> None:
    here = await users.board(sides.here)
    sides.door.shut(True)
    sides.door.cut()
    await until(lambda: sides.application.games.state == "reconnecting")
    writing = asyncio.create_task(here.set("k", 1))
    await (await users.join(sides.here)).shared_object("other")
    sides.application.board.release()
    with pytest.raises(CallError, match=SO_NO_WRITE_ACCESS):
        await writing


async def test_another_application_s_object_can_take_its_place(
    origin: Origin, users: Users
) -> None:
    here = await users.board(origin, "probe/hall")
    app = app_of(origin, "probe/hall")
    for number in (1, 2):
        name = f"{GAMES}{number}"
        there = await users.board(origin, name)
        await there.set(f"of {number}", True)
        games = app.connection()
        await games.connect(url(origin, name), "hall", "User")
        board = app.shared_object("board", of=games)
        await until(lambda there=there: dict(here) == dict(there))  # type: ignore[misc]  # bound now
        await here.set("k", number)
        assert there["k"] == board["k"] == number
        await here.delete("k")
    former = origin.instances.running(f"{GAMES}1")
    assert former is not None
    await until(lambda: former.shared_objects.users("board", "T") == 1)


async def test_a_connection_that_was_closed_and_is_opened_again_is_used_again(
    sides: Sides, users: Users
) -> None:
    here = await users.board(sides.here)
    await here.set("k", 1)
    app = sides.application
    await app.games.close()
    with pytest.raises(CallError, match=SO_NO_WRITE_ACCESS):
        await here.set("k", 2)
    await app.games.connect(app.config["games"], "again", "User")
    app.shared_object("board", of=app.games)
    await here.set("l", 2)
    assert (await users.board(sides.there, GAMES))["l"] == 2


async def test_refusals_name_the_slot_that_keeps_its_value(
    sides: Sides, users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxied_object, "MAX_WAITING", 0)
    await (await users.board(sides.there, GAMES)).set("k", 1)
    peer = await joined(sides.here)
    await peer.until(lambda: "k" in sides.application.board)
    await answered(peer)
    peer.events.clear()
    peer.so("board", so.event_request_change("k", amf0.encode(2)))
    told = await peer.so_until(2)
    assert [(kind, key) for kind, key, _ in told] == [
        (SO_STATUS, SO_NO_WRITE_ACCESS),
        (SO_CHANGE, "k"),
    ]
    assert told[1][2] == 1.0
    peer.close()


async def test_the_application_is_told_of_a_refusal_after_its_write_and_may_write_again(
    sides: Sides, users: Users
) -> None:
    await users.board(sides.here)
    app = sides.application
    await app.games.close()
    rejected: list[object] = []

    def again(items: list[dict[str, str]]) -> None:
        rejected.extend(item["name"] for item in items)
        if len(rejected) < 3:
            app.board["k"] = len(rejected)

    app.board.on_sync = again
    app.board["k"] = 0
    assert not rejected
    await until(lambda: len(rejected) == 3)


async def test_what_is_deleted_before_the_owner_was_there_is_deleted_at_the_owner(
    origin: Origin, users: Users
) -> None:
    there = await users.board(origin, GAMES)
    await there.set("k", 1)
    await users.join(origin, "probe/hall")
    app = app_of(origin, "probe/hall")
    games = app.connection()
    board = app.shared_object("board", of=games)
    board.delete("k")
    await games.connect(url(origin, GAMES), "hall", "User")
    await until(lambda: "k" not in there)


async def test_an_owner_that_refuses_and_then_shows_it_has_refused_it() -> None:
    refused = RemoteSharedObject("board", False)
    message = so.header("board", 1, False) + so.event_status(SO_NO_READ_ACCESS, "error")
    refused.receive(so.decode(message + so.EVENT_USE_SUCCESS + so.event_change("k", b"\x05")))
    with pytest.raises(CallError, match=SO_NO_READ_ACCESS):
        await refused.used
    assert not refused.synced
