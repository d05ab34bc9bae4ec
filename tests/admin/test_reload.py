"""/reload, /unload and /applications, which commands use."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from rtmp_sync import NetConnection, Origin
from rtmp_sync.admin.credentials import basic_header
from tests.support.origins import running, url

PASSWORD = "open sesame"
ROOM = "from rtmp_sync import Application\nclass Room(Application):\n    "
STAYS = ROOM + "async def on_reload(self, old): "


def write(file: Path, text: str) -> None:
    file.write_text(text)


Ask = Callable[..., Awaitable[tuple[int, Any]]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "apps"
    folder.mkdir()
    (folder / "room.py").write_text(ROOM + "public_types = {'User'}\n")
    return folder / "room.py"


@pytest.fixture
async def origin(tmp_path: Path, file: Path) -> AsyncIterator[Origin]:
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    admin = {"user": "admin", "password_file": password}
    async with running(tmp_path / "state", apps={"directory": file.parent}, admin=admin) as origin:
        yield origin


@pytest.fixture
async def ask(origin: Origin) -> AsyncIterator[Ask]:
    async with aiohttp.ClientSession(f"http://{origin.admin.addresses[0]}") as http:

        async def sent(path: str, *, user: str = "admin", **said: object) -> tuple[int, Any]:
            headers = {"Authorization": basic_header(user, PASSWORD)}
            method, data = ("POST", json.dumps(said)) if said else ("GET", None)
            async with http.request(method, path, data=data, headers=headers) as answer:
                text = await answer.text()
                return answer.status, json.loads(text) if text.startswith("{") else text

        yield sent


async def test_a_reload_names_what_it_did_and_is_in_the_history(
    origin: Origin, file: Path, ask: Ask
) -> None:
    async with NetConnection(reconnect=False) as ann:
        await ann.connect(url(origin, "room/one"), "ann", "User")
        _, before = await ask("/applications")
        write(file, STAYS + "pass\n")
        status, answer = await ask("/reload", app="room")
        assert (status, answer["done"], answer["replaced"]) == (200, True, ["room/one"])
        _, after = await ask("/applications")
        assert after["applications"]["room"]["digest"] == answer["digest"]
        assert before["applications"]["room"]["digest"] != answer["digest"]
    noted = [one for one in origin.history.events() if one.get("order") == "reload"]
    assert [(one["event"], one["scope"], one["user"]) for one in noted] == [
        ("order", "room", "admin"),
        ("order_done", "room", "admin"),
    ]


async def test_a_wrong_file_is_refused_with_its_line(origin: Origin, file: Path, ask: Ask) -> None:
    write(file, "x = 1\ndef (\n")
    status, answer = await ask("/reload", app="room")
    assert (status, answer["done"]) == (409, False)
    assert answer["result"].startswith("the old code stays: ")
    assert "SyntaxError" in answer["result"]
    assert "line 2" in answer["result"]


async def test_an_instance_that_keeps_the_old_code_is_a_refusal(
    origin: Origin, file: Path, ask: Ask
) -> None:
    async with NetConnection(reconnect=False) as ann:
        await ann.connect(url(origin, "room/one"), "ann", "User")
        write(file, STAYS + "1 / 0\n")
        status, answer = await ask("/reload", app="room")
    assert status == 409
    assert "room/one keeps the old code: ZeroDivisionError" in answer["result"]
    assert "line 3" in answer["result"]


async def test_unload_ends_the_instances_and_counts_their_clients(origin: Origin, ask: Ask) -> None:
    async with NetConnection(reconnect=False) as ann:
        await ann.connect(url(origin, "room/one"), "ann", "User")
        status, answer = await ask("/unload", app="room", instance="one")
    assert (status, answer["ended"], answer["disconnected"]) == (200, ["room/one"], 1)
    assert (await ask("/unload", app="room"))[1]["result"] == "nothing was running"


async def test_what_is_not_there_or_not_said_right_is_named(ask: Ask) -> None:
    for path in ("/reload", "/unload"):
        status, answer = await ask(path, app="none")
        assert (status, answer["result"]) == (404, "There is no application none.")
        assert (await ask(path, wrong=1))[0] == 400
        assert (await ask(path, app="room", user="eve"))[0] == 401
    assert (await ask("/unload", app="room", instance="none"))[0] == 404
