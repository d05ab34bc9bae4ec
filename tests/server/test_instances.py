"""The life of an instance: when its hooks run, and what a restart or takeover leaves."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from rtmp_sync import CallError, ConnectError, NetConnection, Origin
from rtmp_sync.server import instances as module
from rtmp_sync.server.instances import split_app
from tests.server.conftest import probe
from tests.support.origins import running, take_over, until, url


async def joined(origin: Origin, name: str = "ann", instance: str = "room") -> NetConnection:
    connection = NetConnection(reconnect=True)
    await connection.connect(url(origin, f"probe/{instance}"), name, "User")
    return connection


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        ("live", ("live", "_definst_")),
        ("/live/", ("live", "_definst_")),
        ("live?a=b/c", ("live", "_definst_")),
        ("live/room", ("live", "room")),
        ("live/a/b/?x", ("live", "a/b")),
        ("", ("", "_definst_")),
    ],
)
def test_names_of_application_and_instance(app: str, expected: tuple[str, str]) -> None:
    assert split_app(app) == expected


async def test_an_instance_starts_once_with_its_first_client(origin: Origin) -> None:
    one, two = await joined(origin), await joined(origin, "bob")
    assert probe(origin).said == [("start", "room"), ("connect", "ann"), ("connect", "bob")]
    await one.close()
    await two.close()


async def test_the_application_is_told_who_leaves(origin: Origin) -> None:
    connection = await joined(origin)
    await connection.close()
    await until(lambda: ("disconnect", "ann", "closed") in probe(origin).said)
    assert origin.state.instances["probe/room"].clients == {}


async def test_an_instance_that_nobody_uses_for_long_stops_and_starts_anew(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.01)
    connection = await joined(origin)
    assert await connection.call("count") == 1.0
    await connection.call("put", "board", "k", 1)
    await connection.close()
    await until(lambda: len(origin.instances) == 0)
    assert "probe/room" not in origin.state.instances
    connection = await joined(origin)
    assert await connection.call("count") == 1.0
    await connection.close()


async def test_who_comes_while_an_instance_stops_finds_the_next_one(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def on_app_stop(application: Any) -> None:
        application.said.append(("stop", application.vars["count"]))
        await application.release.wait()
        application.said.append(("stopped",))

    monkeypatch.setattr(probe(origin), "on_app_stop", on_app_stop)
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.01)
    connection = await joined(origin)
    assert await connection.call("count") == 1.0
    await connection.close()
    await until(lambda: ("stop", 1.0) in probe(origin).said)
    monkeypatch.setattr(module, "IDLE_SECONDS", 600.0)
    coming = asyncio.ensure_future(joined(origin, "bob"))
    await until(lambda: len(origin.instances) == 1)
    probe(origin).release.set()
    connection = await coming
    assert probe(origin).said[-3:] == [("stopped",), ("start", "room"), ("connect", "bob")]
    assert await connection.call("count") == 1.0
    assert len(origin.state.instances["probe/room"].clients) == 1
    await connection.close()


@pytest.mark.parametrize(("user", "instance"), [("rejected", "room"), ("ann", "broken")])
async def test_an_instance_that_only_refused_clients_came_to_ends_too(
    origin: Origin, monkeypatch: pytest.MonkeyPatch, user: str, instance: str
) -> None:
    """Its name is the client's choice: nothing of it may pile up."""
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.01)
    async with NetConnection(reconnect=False) as connection:
        with pytest.raises(ConnectError):
            await connection.connect(url(origin, f"probe/{instance}"), user, "User")
    await until(lambda: len(origin.instances) == 0)
    assert origin.state.instances == {}


async def test_after_a_restart_everything_is_there_and_on_app_start_does_not_run_again(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as origin:
        connection = await joined(origin)
        kept = await connection.shared_object("kept", persistent=True)
        await kept.set("k", [1, {"a": "b"}])
        await connection.call("count")
        await connection.close()
    async with running(tmp_path) as origin:
        assert probe(origin).said == [("promote", "room")]
        assert origin.state.journal.epoch == 2
        connection = await joined(origin)
        kept = await connection.shared_object("kept", persistent=True)
        assert dict(kept) == {"k": [1.0, {"a": "b"}]}
        assert await connection.call("count") == 2.0
        assert ("start", "room") not in probe(origin).said
        await connection.close()


async def test_clients_of_before_that_do_not_come_back_are_gone_after_the_grace(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as origin:
        connection = await joined(origin)
        board = await connection.shared_object("board")
        await board.set("k", 1)
        await origin.committed()
    await connection.close()
    async with running(tmp_path, replication={"reconnect_grace": 0.2}) as origin:
        assert [client for _, client, _ in origin.state.orphans()] == ["1-1"]
        assert origin.state.find("probe/room", "board", "T") is not None
        await until(lambda: ("disconnect", "ann", "failover") in probe(origin).said)
        assert origin.state.orphans() == []
        await until(lambda: origin.state.find("probe/room", "board", "T") is None)


async def test_a_visitor_does_not_end_what_clients_of_before_may_come_back_to(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as origin:
        connection = await joined(origin)
        board = await connection.shared_object("board")
        await board.set("k", 1)
        await origin.committed()
    await connection.close()
    async with running(tmp_path, replication={"reconnect_grace": 0.5}) as origin:
        visitor = await joined(origin, "bob")
        assert dict(await visitor.shared_object("board")) == {"k": 1.0}
        await visitor.shared_object("own")
        await visitor.close()
        await until(lambda: origin.state.find("probe/room", "own", "T") is None)
        assert origin.state.find("probe/room", "board", "T") is not None
        await until(lambda: origin.state.find("probe/room", "board", "T") is None)


async def test_a_temporary_object_waits_for_a_client_that_was_lost(tmp_path: Path) -> None:
    async with running(tmp_path, replication={"reconnect_grace": 0.5}) as origin:
        connection = await joined(origin)
        board = await connection.shared_object("board")
        await board.set("k", 1)
        origin.sessions.cut("cut off")
        await until(lambda: connection.reconnects == 1 and board.version > 0)
        assert dict(await connection.shared_object("board")) == {"k": 1.0}
        await connection.close()
        await until(lambda: origin.state.find("probe/room", "board", "T") is None)


async def test_a_client_that_closes_waits_for_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, replication={"reconnect_grace": 600.0}) as origin:
        connection = await joined(origin)
        await (await connection.shared_object("board")).set("k", 1)
        await connection.close()
        await until(lambda: origin.state.find("probe/room", "board", "T") is None)


@pytest.mark.parametrize(("slept", "stays"), [(1.2, True), (0.0, False)])
async def test_clients_without_a_key_find_their_objects_again_only_if_the_origin_slept(
    tmp_path: Path, slept: float, stays: bool
) -> None:
    async with running(tmp_path, replication={"reconnect_grace": 600.0}) as origin:
        connection = NetConnection(reconnect=False)
        await connection.connect(url(origin, "probe/room"), "ann", "User")
        board = await connection.shared_object("board")
        await board.set("k", 1)
        board._link.abort("lost")  # the origin sees that when it runs again
        time.sleep(slept)  # noqa: ASYNC251  # the stall itself
        await until(lambda: len(origin.sessions) == 0)
        assert (origin.state.find("probe/room", "board", "T") is not None) is stays


async def test_a_temporary_object_that_the_application_has_outlives_the_grace(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as origin:
        connection = await joined(origin)
        await connection.call("put", "board", "k", 1)
        await origin.committed()
    await connection.close()
    async with running(tmp_path, replication={"reconnect_grace": 0.2}) as origin:
        await until(lambda: ("disconnect", "ann", "failover") in probe(origin).said)
        connection = await joined(origin)
        assert dict(await connection.shared_object("board")) == {"k": 1.0}
        await connection.close()


async def test_a_client_that_comes_back_ends_the_one_that_it_was_and_finds_its_object(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as origin:
        connection = await joined(origin)
        board = await connection.shared_object("board")
        version = await board.set("k", 1)
        port = origin.rtmp_port
    rtmp = {"listen": f"127.0.0.1:{port}"}
    async with running(tmp_path, rtmp=rtmp, replication={"reconnect_grace": 0.3}) as origin:
        assert await board.set("l", 2) == version + 1
        assert dict(board) == {"k": 1.0, "l": 2.0}
        assert origin.state.orphans() == []
        gone = [("disconnect", "ann", "failover")]
        assert probe(origin).said == [("promote", "room"), *gone, ("connect", "ann")]
        await asyncio.sleep(0.35)  # the grace itself is what is tried here
        assert origin.state.find("probe/room", "board", "T") is not None
        assert [said for said in probe(origin).said if said[0] == "disconnect"] == gone
        await connection.close()


async def test_names_of_streams_are_free_at_once_after_a_takeover(tmp_path: Path) -> None:
    async with running(tmp_path) as origin:
        before = await joined(origin)
        await (await before.create_stream()).publish("film")
        async with NetConnection(reconnect=False) as other:
            await other.connect(url(origin, "probe/room"), "bob", "User")
            with pytest.raises(CallError, match="already published"):
                await (await other.create_stream()).publish("film")
        await take_over(origin)
        async with NetConnection(reconnect=False) as other:
            await other.connect(url(origin, "probe/room"), "bob", "User")
            await (await other.create_stream()).publish("film")
        await before.close()


async def test_the_hooks_of_an_instance_run_once_each_in_its_history(tmp_path: Path) -> None:
    async with running(tmp_path) as origin:
        probe(origin).said.clear()
        connection = await joined(origin)
        for _ in range(3):
            await take_over(origin)
            reconnects = connection.reconnects
            await until(lambda reconnects=reconnects: connection.reconnects > reconnects)  # type: ignore[misc]  # the default is the loop's
        hooks = [said[0] for said in probe(origin).said]
        assert hooks.count("start") == 1
        assert hooks.count("promote") == 3
        assert origin.instances.replays.running == 0
        await connection.close()


async def test_timers_of_before_a_takeover_run_no_longer(origin: Origin) -> None:
    connection = await joined(origin)
    (instance,) = origin.instances
    ticks: list[int] = []
    instance.application.every(0.001, lambda: ticks.append(1))
    await until(lambda: ticks)
    origin.authority.revoke()
    await origin.demote()
    count = len(ticks)
    await asyncio.sleep(0.01)
    assert len(ticks) == count
    await connection.close()


async def test_timers_run_while_the_instance_does(origin: Origin) -> None:
    connection = await joined(origin)
    (instance,) = origin.instances
    ticks: list[int] = []

    async def tick() -> None:
        ticks.append(1)
        raise RuntimeError("one bad tick is no reason to stop")

    cancel = instance.application.every(0.001, tick)
    await until(lambda: len(ticks) > 2)
    cancel()
    count = len(ticks)
    instance.application.every(0.001, lambda: ticks.append(2))
    await until(lambda: 2 in ticks)
    assert ticks.count(1) == count
    await connection.close()


async def test_an_application_that_cannot_be_made_stops_neither_its_origin_nor_a_takeover(
    tmp_path: Path,
) -> None:
    apps = tmp_path / "apps"
    apps.mkdir()
    (apps / "good.py").write_text(
        "from rtmp_sync import Application\nclass Good(Application): ...\n"
    )
    (apps / "odd.py").write_text(
        "from pathlib import Path\nfrom rtmp_sync import Application\n"
        "class Odd(Application):\n"
        "    def __init__(self, surroundings):\n"
        "        super().__init__(surroundings)\n"
        f"        Path({str(tmp_path / 'needed')!r}).read_bytes()\n"
    )
    (tmp_path / "needed").touch()
    again = {"directory": apps}
    async with (
        running(tmp_path / "state", apps=again) as origin,
        NetConnection(False) as connection,
    ):
        await connection.connect(url(origin, "odd"))
    (tmp_path / "needed").unlink()
    async with running(tmp_path / "state", apps=again) as origin:
        with pytest.raises(ConnectError, match="could not be started"):
            await NetConnection(reconnect=False).connect(url(origin, "odd"))
        async with NetConnection(reconnect=False) as connection:
            await connection.connect(url(origin, "good"))
