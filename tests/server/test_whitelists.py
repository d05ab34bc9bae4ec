"""Whitelist files: reloaded as a whole, the same on both origins, and never half of one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from rtmp_sync import CallError, ConfigError, NetConnection, Origin
from rtmp_sync.admin.credentials import basic_header
from rtmp_sync.protocol.events import CallAnswered
from rtmp_sync.server import whitelists as module
from rtmp_sync.server.authority import Deposed
from tests.support.origins import APPS, running, take_over, until, url
from tests.support.peer import Peer
from tests.support.standby import Standby, paired

PASSWORD = "open sesame"
ECHO_ONLY = '[User]\n"*" = false\necho = true\n'
ADD_ONLY = '[User]\n"*" = false\nadd = true\n'

Post = Callable[..., Awaitable[tuple[int, dict[str, Any]]]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "probe.toml", ECHO_ONLY)


def write(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


def remove(file: Path) -> None:
    file.unlink()


def sections(file: Path) -> dict[str, dict[str, Any]]:
    password = file.with_name("password")
    password.write_text(PASSWORD)
    return {
        "apps": {"directory": APPS, "probe": {"whitelist": file}},
        "admin": {"user": "admin", "password_file": password},
    }


@pytest.fixture
async def origin(tmp_path: Path, file: Path) -> AsyncIterator[Origin]:
    async with running(tmp_path / "state", **sections(file)) as origin:
        yield origin


@pytest.fixture
async def pair(tmp_path: Path, file: Path) -> AsyncIterator[tuple[Origin, Standby]]:
    own = {"replication": {"peer": "127.0.0.1:1"}, **sections(file)}
    async with paired(tmp_path, mode="semi", **own) as both:
        yield both


@pytest.fixture
async def post() -> AsyncIterator[Post]:
    async with aiohttp.ClientSession(
        headers={"Authorization": basic_header("admin", PASSWORD)}
    ) as http:

        async def ask(origin: Origin, path: str, **said: object) -> tuple[int, dict[str, Any]]:
            to = f"http://{origin.admin.addresses[0]}{path}"
            async with http.post(to, data=json.dumps(said)) as answer:
                return answer.status, json.loads(await answer.text())

        yield ask


async def allowed(origin: Origin) -> list[str]:
    """Which of the two methods a client may call."""
    found = []
    async with NetConnection(reconnect=False) as ann:
        await ann.connect(url(origin, "probe"), "ann", "User")
        for name in ("echo", "add"):
            try:
                await ann.call(name, 1.0)
            except CallError as error:
                assert "Method not found" in error.description  # noqa: PT017  # one of two ends
            else:
                found.append(name)
    return found


async def test_the_file_counts_from_the_start_and_from_a_reload_on(
    origin: Origin, file: Path, post: Post
) -> None:
    assert await allowed(origin) == ["echo"]
    write(file, ADD_ONLY)
    assert await allowed(origin) == ["echo"]
    code, answer = await post(origin, "/allow/reload")
    assert (code, answer["result"], answer["standby"]) == (200, "reloaded: probe", None)
    assert await allowed(origin) == ["add"]
    assert (await post(origin, "/allow/reload"))[1]["result"] == "reloaded: nothing new"
    events = [event for event in origin.history.events() if event["event"].startswith("order")]
    assert [(one["event"], one["order"], one["user"]) for one in events][:2] == [
        ("order", "allow reload", "admin"),
        ("order_done", "allow reload", "admin"),
    ]


async def test_a_reload_that_read_an_older_file_does_not_undo_a_newer_one(
    origin: Origin, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whitelists = origin.instances.whitelists
    read, has_read, go_on = whitelists._read, asyncio.Event(), asyncio.Event()

    async def read_slowly() -> dict[str, str]:
        texts = await read()
        if not has_read.is_set():
            has_read.set()
            await go_on.wait()
        return texts

    monkeypatch.setattr(whitelists, "_read", read_slowly)
    older = asyncio.create_task(whitelists.reload())
    await has_read.wait()
    write(file, ADD_ONLY)
    newer = asyncio.create_task(whitelists.reload())
    await asyncio.wait([newer], timeout=0.2)  # it may not get anywhere yet
    go_on.set()
    assert (await older).changed == []
    assert (await newer).changed == ["probe"]
    assert await allowed(origin) == ["add"]


async def test_a_wrong_file_changes_nothing_and_is_named_with_line_and_key(
    origin: Origin, file: Path, post: Post
) -> None:
    write(file, ADD_ONLY + "nonsense = true\nput = 5\n")
    code, answer = await post(origin, "/allow/reload")
    assert (code, answer["done"]) == (409, False)
    assert "probe.toml, line 5, [User], put = 5: give true" in answer["result"]
    write(file, ADD_ONLY + "nonsense = true\n")
    assert "line 4, [User], nonsense" in (await post(origin, "/allow/reload"))[1]["result"]
    assert await allowed(origin) == ["echo"]


async def test_a_file_that_is_gone_is_an_error_too(tmp_path: Path, file: Path, post: Post) -> None:
    async with running(tmp_path / "state", **sections(file)) as origin:
        remove(file)
        assert "cannot be read" in (await post(origin, "/allow/reload"))[1]["result"]
        assert await allowed(origin) == ["echo"]


async def test_an_origin_does_not_start_with_a_wrong_file(tmp_path: Path, file: Path) -> None:
    write(file, "[User]\necho = 1\n")
    with pytest.raises(ConfigError, match=r"line 2, \[User\], echo"):
        async with running(tmp_path / "state", **sections(file)):
            pass


async def test_a_reload_waits_for_a_file_system_that_hangs_only_so_long(
    origin: Origin, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READ_SECONDS", 0.0)
    code, answer = await post(origin, "/allow/reload")
    assert (code, "could not be read within" in answer["result"]) == (409, True)


async def test_the_standby_has_the_rules_before_the_command_returns_and_goes_on_with_them(
    pair: tuple[Origin, Standby], file: Path, post: Post
) -> None:
    origin, standby = pair
    write(file, ADD_ONLY)
    standby.hold_back()
    before = origin.state.journal.head
    reloading = asyncio.ensure_future(post(origin, "/allow/reload"))
    await until(lambda: origin.state.journal.head > before)
    await until(lambda: origin.commit.head > before)
    assert origin.commit.level == before
    assert not reloading.done()
    standby.take_all()
    code, answer = await reloading
    there = standby.instances.whitelists
    assert (code, answer["standby"], answer["result"]) == (200, "B", "reloaded: probe; B has it")
    assert standby.state.journal.head >= answer["seq"]
    verdict = await there.judge("probe", "User", "add", of_file=False)
    assert verdict.allowed
    assert not there.access("probe").whitelist.find("User", "add")  # its file was older
    await standby.go_away()
    await standby.promote()
    assert there.access("probe").whitelist.methods("User") == {"add"}


async def test_a_promoted_origin_leaves_the_pairs_rules_whatever_its_file_says(
    pair: tuple[Origin, Standby], file: Path, post: Post
) -> None:
    origin, _ = pair
    write(file, ADD_ONLY)
    await take_over(origin)
    assert await allowed(origin) == ["echo"]
    await post(origin, "/allow/reload")
    await take_over(origin)
    assert await allowed(origin) == ["add"]


async def test_no_call_is_decided_by_half_of_a_whitelist(
    origin: Origin, file: Path, post: Post
) -> None:
    """Of two calls that come in one go exactly one is allowed, by the old rules or the new ones."""
    peer = Peer()
    await peer.connect(origin.rtmp_port, "probe", "ann", "User")
    pairs = 0

    async def call() -> None:
        nonlocal pairs
        while not reloaded.is_set() or pairs < 50:
            sent = [peer.rtmp.call(name, 1.0) for name in ("echo", "add")]
            peer.send(b"".join(data for _, data in sent))
            pairs += 1
            await peer.event(CallAnswered, 2 * pairs)

    reloaded = asyncio.Event()
    calling = asyncio.ensure_future(call())
    for number in range(20):
        write(file, (ADD_ONLY, ECHO_ONLY)[number % 2])
        assert (await post(origin, "/allow/reload"))[0] == 200
    reloaded.set()
    await calling
    answers = [event.ok for event in peer.events if isinstance(event, CallAnswered)]
    by_pair = list(zip(answers[::2], answers[1::2], strict=True))
    assert set(by_pair) == {(True, False), (False, True)}
    peer.close()


@pytest.mark.parametrize(
    ("said", "because", "arguments"),
    [
        ({"method": "echo"}, 'the whitelist file: ["User"] "echo" = true', ["value: anything"]),
        ({"method": "hidden"}, 'the whitelist file: ["User"] "*" = false', []),
        ({"method": "__class__"}, "the application has no such method with @allow", []),
    ],
)
async def test_explains_a_call_without_making_it(
    origin: Origin, post: Post, said: dict[str, str], because: str, arguments: list[str]
) -> None:
    code, answer = await post(origin, "/allow/explain", app="probe", user_type="User", **said)
    assert (code, answer["because"], answer["arguments"]) == (200, because, arguments)
    assert answer["allowed"] is (said["method"] == "echo")


async def test_explains_what_a_reload_would_bring(origin: Origin, file: Path, post: Post) -> None:
    write(file, '[User]\necho = { allow = true, rate = "30/m", burst = 5 }\n')
    asked = {"app": "probe", "user_type": "User", "method": "echo"}
    assert (await post(origin, "/allow/explain", **asked))[1]["limits"] == []
    limits = (await post(origin, "/allow/explain", **asked, file=True))[1]["limits"]
    assert limits == [{"of": '["User"] "echo"', "per_second": 0.5, "burst": 5, "each_client": True}]
    write(file, "[User]\necho = 1\n")
    code, answer = await post(origin, "/allow/explain", **asked, file=True)
    assert (code, "line 2, [User], echo" in answer["error"]) == (400, True)
    for wrong in ({"app": "nowhere"}, {"app": 5}, {"more": 1}):
        assert (await post(origin, "/allow/explain", **{**asked, **wrong}))[0] == 400


async def test_who_does_not_serve_reloads_nothing(pair: tuple[Origin, Standby], file: Path) -> None:
    _, standby = pair
    for text in (ADD_ONLY, ECHO_ONLY):
        write(file, text)
        with pytest.raises(Deposed):
            await standby.instances.whitelists.reload()
    assert standby.instances.whitelists.access("probe").whitelist.methods("User") == {"echo"}
