"""New code for an application while it is in use: who stays, who goes, and what stays as it was."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rtmp_sync import CallError, ConfigError, NetConnection, Origin
from rtmp_sync.server import application_code
from rtmp_sync.server.authority import Deposed
from rtmp_sync.server.reload import NotReloaded, Reloaded, reload
from rtmp_sync.wire.constants import CONNECT_APP_SHUTDOWN
from tests.support.origins import running, until, url
from tests.support.standby import Standby, paired

ROOM = "room/one"
CODE = """
import asyncio
from rtmp_sync import Application, Client, allow

class Room(Application):
    public_types = frozenset({"User"})
    ticks = []
    heard = []

    def __init__(self, surroundings):
        super().__init__(surroundings)
        self.known = []
        self.release = asyncio.Event()

    async def on_app_start(self):
        self.begin()

    def begin(self):
        self.every(0.001, lambda: self.ticks.append(self.version(None)))
        self.shared_object("board").on_sync = self.heard.append

    @allow("User")
    def version(self, client):
        return "VERSION"

    @allow("User", replay=True)
    def learn(self, client: Client, what: str) -> None:
        self.known.append(["VERSION", what])
        self.vars["last"] = what

    @allow("User")
    def recall(self, client):
        return [self.known, self.vars.get("last"), len(self.clients)]

    @allow("User")
    async def linger(self, client):
        await self.release.wait()
        return "VERSION"
"""
STAYS = """
    async def on_reload(self, old):
        self.known = old.known
        self.begin()
        old.release.set()
"""


def write(apps: Path, version: str, more: str = STAYS) -> None:
    (apps / "room.py").write_text(CODE.replace("VERSION", version) + more)


@pytest.fixture
def apps(tmp_path: Path) -> Path:
    folder = tmp_path / "apps"
    folder.mkdir()
    write(folder, "first")
    return folder


@pytest.fixture
async def origin(tmp_path: Path, apps: Path) -> AsyncIterator[Origin]:
    async with running(tmp_path / "state", apps={"directory": apps}) as origin:
        yield origin


@pytest.fixture
async def ann(origin: Origin) -> AsyncIterator[NetConnection]:
    async with NetConnection(reconnect=False) as client:
        await client.connect(url(origin, ROOM), "ann", "User")
        yield client


async def again(origin: Origin, name: str | None = None) -> Reloaded:
    return await reload(origin.instances, origin.sessions, "room", name)


def application(origin: Origin, scope: str = ROOM) -> Any:
    instance = origin.instances.running(scope)
    assert instance is not None
    return instance.application


async def test_clients_stay_with_all_that_is_replicated_and_calls_get_the_new_code(
    origin: Origin, apps: Path, ann: NetConnection
) -> None:
    await ann.call("learn", "a")
    board = await ann.shared_object("board")
    await board.set("k", "v")
    old = application(origin)
    write(apps, "other")
    done = await again(origin)
    assert (done.replaced, done.ended, done.failed) == ([ROOM], [], {})
    assert await ann.call("version") == "other"
    await ann.call("learn", "b")
    assert await ann.call("recall") == [[["first", "a"], ["other", "b"]], "b", 1]
    await board.set("k2", "v2")
    assert application(origin).shared_object("board")["k"] == "v"
    await until(lambda: [{"code": "change", "name": "k2"}] in application(origin).heard)
    assert [{"code": "change", "name": "k2"}] not in old.heard


async def test_timers_of_the_old_object_stop_and_those_of_the_new_one_run(
    origin: Origin, apps: Path, ann: NetConnection
) -> None:
    old = application(origin)
    await until(lambda: old.ticks)
    write(apps, "other")
    await again(origin)
    ticked = len(old.ticks)
    await until(lambda: len(application(origin).ticks) > 3)
    assert len(old.ticks) == ticked


async def test_a_call_that_runs_ends_on_the_object_where_it_began(
    origin: Origin, apps: Path, ann: NetConnection
) -> None:
    lingering = asyncio.ensure_future(ann.call("linger"))
    await ann.call("version")
    write(apps, "other")
    await again(origin)
    assert await lingering == "first"


async def test_without_on_reload_the_clients_are_told_and_the_next_one_gets_the_new_code(
    origin: Origin, apps: Path, ann: NetConnection
) -> None:
    told: list[Any] = []
    ann.on_status = told.append
    write(apps, "other", "")
    done = await again(origin)
    assert (done.replaced, done.ended, done.disconnected) == ([], [ROOM], 1)
    await until(lambda: told and told[-1]["code"] != "NetConnection.Connect.Success")
    assert CONNECT_APP_SHUTDOWN in [one["code"] for one in told]
    assert origin.instances.running(ROOM) is None
    async with NetConnection(reconnect=False) as bob:
        await bob.connect(url(origin, ROOM), "bob", "User")
        assert await bob.call("version") == "other"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\ndef (\n", r"room\.py.*SyntaxError.*line 2"),
        ("x = 1\nimport no_such_module_at_all\n", r"room\.py.*ModuleNotFoundError.*line 2"),
        ("x = 1\n", "defines 0 Application classes"),
        (None, r"room\.py.*FileNotFoundError"),
    ],
)
async def test_a_file_that_is_wrong_leaves_the_old_code_and_is_named_with_its_line(
    origin: Origin, apps: Path, ann: NetConnection, text: str | None, said: str
) -> None:
    old, file = application(origin), apps / "room.py"
    file.unlink()
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match=said):
        await again(origin)
    assert application(origin) is old
    assert sys.modules[type(old).__module__].Room is type(old)
    assert await ann.call("version") == "first"


async def test_an_on_reload_that_raises_leaves_the_old_object_with_its_timers_and_listeners(
    origin: Origin, apps: Path, ann: NetConnection
) -> None:
    board = await ann.shared_object("board")
    old = application(origin)
    write(apps, "other", STAYS.replace("old.release.set()", "old.nonsense()"))
    with pytest.raises(NotReloaded, match=rf"{ROOM} keeps the old code: AttributeError.*line \d+"):
        await again(origin)
    assert application(origin) is old
    assert await ann.call("version") == "first"
    ticked = len(old.ticks)
    await until(lambda: len(old.ticks) > ticked)
    await board.set("k", "v")
    await until(lambda: [{"code": "change", "name": "k"}] in old.heard)
    async with NetConnection(reconnect=False) as bob:
        await bob.connect(url(origin, "room/two"), "bob", "User")
        assert await bob.call("version") == "first"
    write(apps, "other")
    await again(origin)
    ticked = len(old.ticks)
    await until(lambda: len(application(origin).ticks) > 3)
    assert len(old.ticks) == ticked


async def test_what_on_reload_raises_after_waiting_is_logged_and_the_new_object_stays(
    origin: Origin, apps: Path, ann: NetConnection
) -> None:
    late = STAYS + "        await asyncio.sleep(0)\n        self.known.append(1 / 0)\n"
    write(apps, "other", late)
    assert (await again(origin)).replaced == [ROOM]
    assert await ann.call("version") == "other"


async def test_one_instance_alone_is_reloaded_and_others_keep_their_rules_with_their_code(
    origin: Origin, apps: Path, ann: NetConnection
) -> None:
    async with NetConnection(reconnect=False) as bob:
        await bob.connect(url(origin, "room/two"), "bob", "User")
        text = CODE.replace("VERSION", "other") + STAYS
        new = '\n    @allow("User")\n    def new(self, client):\n        return "new"\n'
        (apps / "room.py").write_text(
            text.replace("    def version(self", "    def gone(self") + new
        )
        (apps / "room.py").write_text(
            (apps / "room.py").read_text().replace("self.version(None)", "1")
        )
        assert (await again(origin, "one")).replaced == [ROOM]
        assert await ann.call("new") == "new"
        with pytest.raises(CallError, match="Method not found"):
            await ann.call("version")
        assert await bob.call("version") == "first"
        with pytest.raises(CallError, match="Method not found"):
            await bob.call("new")
        assert (await again(origin)).replaced == [ROOM, "room/two"]
        assert await bob.call("new") == "new"


async def test_a_reload_that_read_an_older_file_does_not_undo_a_newer_one(
    origin: Origin, apps: Path, ann: NetConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = origin.instances.code
    load, has_read, go_on = code.load, asyncio.Event(), asyncio.Event()

    async def load_slowly(app: str) -> Any:
        loaded = await load(app)
        if not has_read.is_set():
            has_read.set()
            await go_on.wait()
        return loaded

    monkeypatch.setattr(code, "load", load_slowly)
    write(apps, "older")
    older = asyncio.create_task(again(origin))
    await has_read.wait()
    write(apps, "newer")
    newer = asyncio.create_task(again(origin))
    await asyncio.wait([newer], timeout=0.2)  # it may not get anywhere yet
    go_on.set()
    await older
    await newer
    assert await ann.call("version") == "newer"


async def test_a_file_that_does_not_come_to_an_end_is_waited_for_only_so_long(
    origin: Origin, apps: Path, ann: NetConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application_code, "LOAD_SECONDS", 0.0)
    with pytest.raises(ConfigError, match="was not read and run within"):
        await again(origin)
    assert await ann.call("version") == "first"


async def test_a_rule_for_a_method_that_the_new_code_lacks_leaves_the_old_code(
    tmp_path: Path, apps: Path
) -> None:
    rules = tmp_path / "room.toml"
    rules.write_text("[User]\nversion = true\n")
    own = {"apps": {"directory": apps, "room": {"whitelist": rules}}}
    async with running(tmp_path / "state", **own) as origin:
        (apps / "room.py").write_text(
            (apps / "room.py").read_text().replace("def version", "def v")
        )
        with pytest.raises(ConfigError, match=r"room\.toml, line 2, \[User\], version"):
            await again(origin)


async def test_an_origin_that_serves_no_longer_reloads_nothing(origin: Origin, apps: Path) -> None:
    await origin.close_gate()
    await origin.demote()
    with pytest.raises(Deposed):
        await again(origin)


# A pair


@pytest.fixture
async def pair(tmp_path: Path, apps: Path) -> AsyncIterator[tuple[Origin, Standby, NetConnection]]:
    """The standby reads a folder of its own."""
    sections: dict[str, Any] = {"apps": {"directory": apps}, "replication": {"peer": "127.0.0.1:1"}}
    async with (
        paired(tmp_path, **sections) as (origin, standby),
        NetConnection(reconnect=False) as ann,
    ):
        theirs = tmp_path / "theirs"
        theirs.mkdir()
        write(theirs, "first")
        config = standby.instances.code._config
        own = config.model_copy(
            update={"apps": config.apps.model_copy(update={"directory": theirs})}
        )
        standby.instances.code._config = own
        await ann.connect(url(origin, ROOM), "ann", "User")
        yield origin, standby, ann


def learned(standby: Standby) -> list[Any]:
    found = standby.application(ROOM)
    return list(found.known) if found is not None else []


async def test_the_standby_reloads_between_the_calls_of_the_old_and_of_the_new_code(
    pair: tuple[Origin, Standby, NetConnection], apps: Path, tmp_path: Path
) -> None:
    origin, standby, ann = pair
    for folder in (apps, tmp_path / "theirs"):
        write(folder, "other")
    await ann.call("learn", "a")
    standby.hold_back()
    calls = [ann.call("learn", "b")]
    waiting = [asyncio.ensure_future(one) for one in calls]
    await until(lambda: application(origin).known == [["first", "a"], ["first", "b"]])
    done = await again(origin)
    waiting.append(asyncio.ensure_future(ann.call("learn", "c")))
    await until(lambda: len(application(origin).known) == 3)
    standby.take_all()
    await asyncio.gather(*waiting)
    await until(lambda: len(learned(standby)) == 3)
    assert learned(standby) == [["first", "a"], ["first", "b"], ["other", "c"]]
    code = standby.instances.code
    assert (code.followed("room"), code.trouble) == (done.mark.number, {})
    assert code.digest("room") == done.mark.digest


async def test_a_standby_with_another_file_or_a_wrong_one_says_so(
    pair: tuple[Origin, Standby, NetConnection], apps: Path, tmp_path: Path
) -> None:
    origin, standby, ann = pair
    trouble = standby.instances.code.trouble
    write(apps, "other")
    await again(origin)
    await until(lambda: "another file" in trouble.get("room", ""))
    (tmp_path / "theirs" / "room.py").write_text("x = 1\ndef (\n")
    await again(origin)
    await until(lambda: "SyntaxError" in trouble.get("room", ""))
    assert "line 2" in trouble["room"]
    await ann.call("learn", "a")
    await until(lambda: learned(standby) == [["first", "a"]])
    write(tmp_path / "theirs", "other")
    await again(origin)
    await until(lambda: not trouble)


async def test_a_standby_that_was_away_reloads_when_it_is_back(
    pair: tuple[Origin, Standby, NetConnection], apps: Path, tmp_path: Path
) -> None:
    origin, standby, _ = pair
    await standby.go_away()
    for folder in (apps, tmp_path / "theirs"):
        write(folder, "other")
    done = await again(origin)
    await standby.come_back()
    code = standby.instances.code
    await until(lambda: code.mark("room").number == done.mark.number)
    standby.instances.follow_code()
    replays = standby.instances.replays
    assert replays._reloading is None  # what has only just been done may still come by itself
    standby.instances.follow_code()
    assert replays._reloading is not None
    await until(lambda: code.digest("room") == done.mark.digest)
    assert not code.trouble


async def test_a_promoted_origin_goes_on_with_its_own_code_and_notes_that_for_the_pair(
    pair: tuple[Origin, Standby, NetConnection], apps: Path
) -> None:
    origin, standby, _ = pair
    write(apps, "other")
    done = await again(origin)
    code = standby.instances.code
    await until(lambda: code.trouble)
    await standby.go_away()
    await standby.promote()
    assert code.mark("room") == (done.mark.number + 1, code.digest("room"))
    assert not code.trouble
