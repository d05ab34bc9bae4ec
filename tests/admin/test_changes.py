"""What administrators do to a running origin, and that each of it is noted."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from rtmp_sync import NetConnection
from rtmp_sync.errors import ConnectionLost
from tests.admin.calling import CHANGE, READ, SUCCESS, Calls, administered, client_of, texts
from tests.server.conftest import probe
from tests.support.origins import freeze, until

ROOM = "probe/room"


class Heard:
    """What a client was told."""

    def __init__(self, connection: NetConnection) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.statuses: list[dict[str, object]] = []
        self.closed = asyncio.Event()
        connection.client = self
        connection.on_status = self.statuses.append
        connection.on_closed = lambda reason: self.closed.set()

    def notice(self, *arguments: Any) -> None:
        self.calls.append(arguments)


def changes(calls: Calls) -> list[dict[str, Any]]:
    """The audit: without times."""
    return [
        {key: event[key] for key in ("event", "method", "user", "address", "arguments", "outcome")}
        for event in calls.origin.history.events()
        if event["event"].startswith("admin_")
    ]


async def test_a_broadcast_reaches_those_that_its_scope_means(calls: Calls) -> None:
    async with client_of(calls, ROOM) as ann, client_of(calls, "probe/other") as bob:
        heard = [Heard(ann), Heard(bob)]
        for scope, reached in (
            ("Server", 2),
            ("VHost", 2),
            ("Adaptor:_defaultRoot_", 2),
            ('"App:probe"', 2),
            ("App:probe/room", 1),
            ("Adaptor/VHost:x/App:probe/other", 1),
            ("App:probe/nowhere", 0),
        ):
            query = {"scope": scope, "method": "notice", "arg0": '"hello"', "arg1": "5"}
            data = await calls.data("broadcastMsg", **query)
            assert data.findtext("clients") == str(reached), scope
        await until(lambda: [len(one.calls) for one in heard] == [5, 5])
        assert set(heard[0].calls) == {("hello", "5")}
        body = {"scope": "App:probe/room", "method": "notice", "args": [1, True, None, {"a": [2]}]}
        assert await calls.change("/broadcast", body) == (200, {"clients": 1})
        await until(lambda: len(heard[0].calls) == 6)
        assert heard[0].calls[-1] == (1.0, True, None, {"a": [2.0]})
        assert await calls.code("broadcastMsg", scope="App:x", method="notice") == (
            "NetConnection.Call.Failed"
        )


async def test_a_client_can_be_sent_away_with_a_reason(calls: Calls) -> None:
    async with client_of(calls, ROOM, "ann") as ann, client_of(calls, ROOM, "bob") as bob:
        heard = Heard(ann)
        stays = Heard(bob)
        users = texts(await calls.data("getUsers", appInst=ROOM))
        query = {"appInst": ROOM, "userid": users[0], "reason": "enough"}
        assert await calls.code("disconnectUser", **query) == SUCCESS
        await heard.closed.wait()
        assert heard.statuses == [
            {"level": "status", "code": "NetConnection.Connect.Closed", "description": "enough"}
        ]
        assert not stays.closed.is_set()
        assert texts(await calls.data("getUsers", appInst=ROOM)) == users[1:]


@pytest.mark.parametrize("scope", [ROOM, "probe"])
async def test_an_unloaded_instance_ends_for_everybody(calls: Calls, scope: str) -> None:
    said = probe(calls.origin).said
    said.clear()
    async with client_of(calls, ROOM, "ann") as ann, client_of(calls, "probe/other", "bob") as bob:
        heard, other = Heard(ann), Heard(bob)
        await ann.shared_object("cursor")
        board = await ann.shared_object("board", persistent=True)
        await board.set("k", "v")
        assert await calls.code("unloadApp", appInst=scope) == SUCCESS
        await heard.closed.wait()
        assert heard.statuses[-1]["code"] == "NetConnection.Connect.AppShutdown"
        assert other.closed.is_set() == (scope == "probe")
        assert ("disconnect", "ann", "lost") in said
        await until(lambda: "room" not in [one.name for one in calls.origin.instances])
        objects = calls.origin.state.instances[ROOM].objects
        await until(lambda: set(objects) == {"P:board"})
    async with client_of(calls, ROOM, "ann") as again:
        board = await again.shared_object("board", persistent=True)
        assert board["k"] == "v"
    assert [one for one in said if one[0] == "start" and one[1] == "room"] == [
        ("start", "room"),
        ("start", "room"),
    ]


async def test_the_default_instance_is_unloaded_however_fms_spells_it(calls: Calls) -> None:
    async with client_of(calls, "probe") as client:
        heard = Heard(client)
        assert await calls.code("unloadApp", appInst="probe/_defInst_") == SUCCESS
        await heard.closed.wait()


async def test_who_does_not_go_is_cut_off(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it would be told waits for an acknowledgement that does not come."""
    monkeypatch.setattr("rtmp_sync.server.unload._LEAVE_SECONDS", 0.05)
    origin = calls.origin
    async with client_of(calls, ROOM) as client:
        heard = Heard(client)
        freeze(origin)
        counting = asyncio.create_task(client.call("count"))
        await until(lambda: origin.commit.level < origin.state.journal.head)
        assert await calls.code("unloadApp", appInst=ROOM) == SUCCESS
        await asyncio.wait_for(heard.closed.wait(), 10)
        assert heard.statuses == []
        with pytest.raises(ConnectionLost):
            await counting


async def test_a_reloaded_instance_is_there_before_its_first_client(calls: Calls) -> None:
    async with client_of(calls, ROOM) as client:
        heard = Heard(client)
        first = next(iter(calls.origin.instances))
        assert (await calls.change("/instances/probe/room/reload"))[0] == 200
        await heard.closed.wait()
        assert texts(await calls.data("getActiveInstances")) == [ROOM]
        assert next(iter(calls.origin.instances)) is not first
    result = await calls.xml("reloadApp", appInst="probe/broken")
    assert result.findtext("code") == "NetConnection.Admin.CommandFailed"
    assert await calls.code("reloadApp", appInst="nothing") == "NetConnection.Call.Failed"


async def test_each_change_is_in_the_history_with_who_and_what(calls: Calls) -> None:
    long = "x" * 1000
    await calls.code("broadcastMsg", scope="Server", method="notice", arg0=long)
    await calls.change("/unload", {"appInst": "probe/nowhere"})
    await calls.ask("/broadcast", token=READ, method="POST", body={})
    noted = changes(calls)
    at = {"address": "127.0.0.1"}
    assert noted[0] == {
        **at,
        "event": "admin_change",
        "method": "broadcastMsg",
        "user": "admin",
        "arguments": {
            "scope": "Server",
            "method": "notice",
            "args": repr([long])[:200] + "…",
        },
        "outcome": "done",
    }
    assert noted[1] == {
        **at,
        "event": "admin_refused",
        "method": "unloadApp",
        "user": "scripts",
        "arguments": {"appInst": "probe/nowhere"},
        "outcome": "There is no instance probe/nowhere.",
    }
    assert noted[2] == {
        **at,
        "event": "admin_refused",
        "method": "broadcastMsg",
        "user": "dashboard",
        "arguments": {},
        "outcome": "the role of dashboard is read: broadcastMsg needs change",
    }
    assert len(noted) == 3


async def test_who_may_only_read_pushes_nothing_else_out_of_the_history(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it tries."""
    monkeypatch.setattr("rtmp_sync.server.history.MAX_EVENTS", 12)
    monkeypatch.setattr("rtmp_sync.server.history.MAX_OF_KIND", 5)
    await calls.code("broadcastMsg", scope="Server", method="notice")
    before = calls.origin.history.events()[-7:]
    for _ in range(15):  # of the 18 that may be asked at once
        assert (await calls.ask("/broadcast", token=READ, method="POST", body={}))[0] == 403
    kept = calls.origin.history.events()
    assert len([one for one in kept if one["event"] == "admin_refused"]) == 5
    assert [one for one in kept if one in before] == before


async def test_reading_is_not_noted_and_no_secret_is(calls: Calls) -> None:
    await calls.data("getServerStats")
    await calls.ask("/server")
    assert changes(calls) == []
    await calls.code("broadcastMsg", scope="Server", method="notice")
    told = repr(calls.origin.history.events())
    assert "admin_change" in told
    assert not [secret for secret in ("open sesame", READ, CHANGE) if secret in told]


async def test_who_plays_over_http_is_a_client_like_others(tmp_path: Path) -> None:
    sections = {"http": {"listen": "127.0.0.1:0"}}
    async with administered(tmp_path, sections=sections) as calls, client_of(calls, ROOM) as camera:
        stream = await camera.create_stream()
        await stream.publish("cam")
        address = f"http://127.0.0.1:{calls.origin.http_port}/{ROOM}/cam.flv"
        async with calls.session.get(address) as viewer:
            assert viewer.status == 200
            users = texts(await calls.data("getUsers", appInst=ROOM))
            told = [await calls.data("getUserStats", appInst=ROOM, userid=id) for id in users]
            assert [one.findtext("protocol") for one in told] == ["rtmp", "http"]
            figures = await calls.data("getInstanceStats", appInst=ROOM)
            assert figures.findtext("connected") == "2"
            assert await calls.code("disconnectUser", appInst=ROOM, userid=users[1]) == SUCCESS
            await viewer.read()
        async with calls.session.get(address) as viewer:
            assert await calls.code("unloadApp", appInst=ROOM) == SUCCESS
            await viewer.read()
