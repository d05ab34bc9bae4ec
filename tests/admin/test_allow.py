"""/allow over HTTP: who may, and whom to ask (the rest: tests/server/test_whitelists.py)."""

from __future__ import annotations

import json

import pytest

from rtmp_sync.admin.credentials import basic_header
from tests.admin.conftest import Http, ShownOrigin

Headers = dict[str, str]


@pytest.mark.parametrize("path", ["/allow/reload", "/allow/explain"])
async def test_needs_credentials_and_a_post(http: Http, admin: Headers, path: str) -> None:
    wrong = {"Authorization": basic_header("admin", "wrong")}
    for headers in ({}, wrong):
        assert (await http.ask(path, method="POST", headers=headers))[0] == 401
    assert (await http.ask(path, headers=admin))[0] == 405
    assert (await http.ask(path, on="health", method="POST", headers=admin))[0] == 404


async def test_an_origin_that_does_not_serve_says_whom_to_ask(
    http: Http, origin: ShownOrigin, admin: Headers
) -> None:
    origin.watchdog.role, origin.watchdog.state = "standby", "READY"
    origin.watchdog.record.holder = "B"
    code, text = await http.ask("/allow/reload", method="POST", headers=admin)
    assert (code, json.loads(text)["ask"]) == (409, "B")
    assert [event["event"] for event in origin.events[-2:]] == ["order", "order_refused"]
