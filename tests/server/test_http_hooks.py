"""A web server decides who comes in, publishes and plays; without its word nobody does."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from rtmp_sync.protocol.events import StatusReceived
from rtmp_sync.wire.constants import (
    CONNECT_REJECTED,
    PLAY_FAILED,
    PLAY_START,
    PUBLISH_BAD_NAME,
    PUBLISH_START,
)
from tests.server.conftest import probe
from tests.support.origins import running
from tests.support.peer import Peer


class Judge:
    """A web server that says `status` to everything, once it may answer. asked: the forms."""

    def __init__(self) -> None:
        self.status = 200
        self.asked: list[dict[str, str]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        app = web.Application()
        app.router.add_route("*", "/{hook}", self._answer)
        self.server = TestServer(app)

    async def _answer(self, request: web.Request) -> web.Response:
        form = {key: str(value) for key, value in (await request.post()).items()}
        self.asked.append({"hook": request.match_info["hook"], **form})
        await self.may_answer.wait()
        return web.Response(status=self.status, headers={"Location": "/elsewhere"})

    def hooks(self, *names: str, **more: Any) -> dict[str, Any]:
        return {name: str(self.server.make_url(f"/{name}")) for name in names} | more


@pytest.fixture
async def judge() -> AsyncIterator[Judge]:
    judge = Judge()
    await judge.server.start_server()
    yield judge
    judge.may_answer.set()
    await judge.server.close()


async def told(peer: Peer, code: str) -> None:
    """Wait for that status and no other one before it."""
    while True:
        status = await peer.event(StatusReceived)
        if status.info["code"] == code:
            return
        assert status.info["level"] != "error", status.info
        peer.events.remove(status)


async def test_a_connect_is_described_as_nginx_rtmp_does(tmp_path: Path, judge: Judge) -> None:
    async with running(tmp_path, hooks=judge.hooks("on_connect")) as origin:
        peer = Peer()
        params = {"flashVer": "LNX 9", "tcUrl": "rtmp://a/probe", "pageUrl": "http://p/"}
        app = "probe/room?key=k&app=forged"
        assert (await peer.connect(origin.rtmp_port, app, "me", "User", **params)).ok
        (asked,) = judge.asked
        assert asked.pop("addr") == "127.0.0.1"
        assert asked.pop("clientid")
        assert asked == {
            "hook": "on_connect",
            "call": "connect",
            "app": "probe",
            "instance": "room",
            "user": "me",
            "usertype": "User",
            "key": "k",
            "flashver": "LNX 9",
            "tcurl": "rtmp://a/probe",
            "pageurl": "http://p/",
        }
        peer.close()


@pytest.mark.parametrize("status", [302, 403, 404, 500])
async def test_whatever_is_no_2xx_refuses_before_the_application_is_asked(
    tmp_path: Path, judge: Judge, status: int
) -> None:
    judge.status = status
    async with running(tmp_path, hooks=judge.hooks("on_connect")) as origin:
        probe(origin).said.clear()
        peer = Peer()
        answer = await peer.connect(origin.rtmp_port, "probe", "me", "User")
        assert not answer.ok
        assert answer.info["code"] == CONNECT_REJECTED
        assert ("connect", "me") not in probe(origin).said
        assert len(judge.asked) == 1  # no redirect was followed
        peer.close()


@pytest.mark.parametrize(
    ("act", "good", "bad"),
    [("publish", PUBLISH_START, PUBLISH_BAD_NAME), ("play", PLAY_START, PLAY_FAILED)],
)
async def test_streams_are_asked_about_with_their_names_and_queries(
    tmp_path: Path, judge: Judge, act: str, good: str, bad: str
) -> None:
    async with running(tmp_path, hooks=judge.hooks(f"on_{act}")) as origin:
        for status, code in ((204, good), (403, bad)):
            judge.status = status
            peer = Peer()
            await peer.join(origin.rtmp_port)
            peer.tell(act, "s?token=t&name=forged")
            await told(peer, code)
            peer.close()
        asked = judge.asked[0]
        assert (asked["hook"], asked["call"]) == (f"on_{act}", act)
        assert (asked["name"], asked["token"]) == ("s", "t")
        assert asked.get("type") == ("live" if act == "publish" else None)


@pytest.mark.parametrize("open_when_down", [False, True])
@pytest.mark.parametrize("trouble", ["no server", "no answer"])
async def test_without_an_answer_nobody_comes_in_unless_that_is_wanted(
    tmp_path: Path, judge: Judge, trouble: str, open_when_down: bool
) -> None:
    hooks = judge.hooks("on_connect", timeout=0.2, open_when_down=open_when_down)
    judge.may_answer.clear()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        if trouble == "no server":
            hooks["on_connect"] = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        await refused_or_let_in(tmp_path, hooks, open_when_down)


async def refused_or_let_in(tmp_path: Path, hooks: dict[str, Any], let_in: bool) -> None:
    async with running(tmp_path, hooks=hooks) as origin:
        peer = Peer()
        with capture_logs() as lines:
            answer = await peer.connect(origin.rtmp_port, "probe", "me", "User")
        assert answer.ok is let_in
        assert [line["hook"] for line in lines if line["event"] == "http_hook_failed"] == [
            "on_connect"
        ]
        peer.close()


async def test_while_one_client_is_asked_about_others_are_served(
    tmp_path: Path, judge: Judge
) -> None:
    async with running(tmp_path, hooks=judge.hooks("on_publish")) as origin:
        judge.may_answer.clear()
        slow, other = Peer(), Peer()
        await slow.join(origin.rtmp_port)
        slow.tell("publish", "s")
        await other.join(origin.rtmp_port)
        assert not [event for event in slow.events if isinstance(event, StatusReceived)]
        judge.may_answer.set()
        await told(slow, PUBLISH_START)
        slow.close()
        other.close()


async def test_browsers_are_asked_about_too(tmp_path: Path, judge: Judge) -> None:
    judge.status = 403
    http = {"listen": "127.0.0.1:0"}
    async with running(tmp_path, hooks=judge.hooks("on_play"), http=http) as origin:
        url = f"http://127.0.0.1:{origin.http_port}/probe/live/s.flv?key=k"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            assert response.status == 403
        assert judge.asked[0]["key"] == "k"
