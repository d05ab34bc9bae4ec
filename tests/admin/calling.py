"""Calls of the administration API of a real origin, as a tool makes them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import aiohttp
from yarl import URL

from rtmp_sync import NetConnection, Origin
from rtmp_sync.admin.credentials import basic_header
from tests.support.origins import running, url

PASSWORD = "open sesame"
READ, CHANGE = "reader-token-0123456789", "changer-token-0123456789"
TOKENS = f"dashboard read {READ}  # of the wall\n\nscripts change {CHANGE}\n"
SUCCESS = "NetConnection.Call.Success"


class Calls:
    """One tool's, of one origin."""

    def __init__(self, origin: Origin, session: aiohttp.ClientSession) -> None:
        self.origin = origin
        self.session = session
        self.base = f"http://{origin.admin.addresses[0]}"

    async def text(self, method: str, /, **query: str) -> tuple[int, str]:
        """What /admin/METHOD answers; `auser` and `apswd` are given unless they are in `query`."""
        asked = {"auser": "admin", "apswd": PASSWORD, **query}
        async with self.session.get(f"{self.base}/admin/{method}", params=asked) as answer:
            return answer.status, await answer.text()

    async def xml(self, method: str, /, **query: str) -> ElementTree.Element:
        """The `result`."""
        status, text = await self.text(method, **query)
        assert status == 200, text
        return ElementTree.fromstring(text)

    async def data(self, method: str, /, **query: str) -> ElementTree.Element:
        """The `data` of a call that succeeds."""
        result = await self.xml(method, **query)
        assert result.findtext("code") == SUCCESS, ElementTree.tostring(result)
        data = result.find("data")
        assert data is not None
        return data

    async def code(self, method: str, /, **query: str) -> str:
        return (await self.xml(method, **query)).findtext("code") or ""

    async def ask(
        self, path: str, *, token: str = READ, method: str = "GET", body: object = None
    ) -> tuple[int, Any]:
        """(status, JSON) of a path below /api/v1, as it stands (percent-encoded)."""
        return await self.request(
            path, {"Authorization": f"Bearer {token}"} if token else {}, method, body
        )

    async def change(self, path: str, body: object = None) -> tuple[int, Any]:
        return await self.ask(path, token=CHANGE, method="POST", body=body)

    async def request(
        self, path: str, headers: dict[str, str], method: str = "GET", body: object = None
    ) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body)
        address = URL(f"{self.base}/api/v1{path}", encoded=True)
        async with self.session.request(method, address, headers=headers, data=data) as answer:
            assert answer.content_type == "application/json"
            return answer.status, await answer.json()


def part(text: str) -> str:
    """As it stands in a path."""
    return quote(text, safe="")


def basic(password: str = PASSWORD) -> dict[str, str]:
    return {"Authorization": basic_header("admin", password)}


@asynccontextmanager
async def administered(
    folder: Path, *, sections: dict[str, Any] | None = None, **admin: Any
) -> AsyncIterator[Calls]:
    """An origin with the tests' applications, and how it is called. admin: of `[admin]`."""
    (folder / "password").write_text(PASSWORD)
    (folder / "tokens").write_text(TOKENS)
    section = {
        "user": "admin",
        "password_file": folder / "password",
        "tokens_file": folder / "tokens",
        "commands": ["*"],
        **admin,
    }
    async with (
        running(folder / "state", admin=section, **(sections or {})) as origin,
        aiohttp.ClientSession() as http,
    ):
        yield Calls(origin, http)


@asynccontextmanager
async def client_of(
    calls: Calls, app: str, name: str = "", *, user_type: str = "User", **params: Any
) -> AsyncIterator[NetConnection]:
    """A client of the origin."""
    connection = NetConnection(reconnect=False)
    await connection.connect(url(calls.origin, app), name, user_type, **params)
    try:
        yield connection
    finally:
        await connection.close()


def texts(data: ElementTree.Element) -> list[str]:
    """The items of an array: `_0`, `_1`, …"""
    items = [element for element in data if element.tag.startswith("_")]
    assert [element.tag for element in items] == [f"_{index}" for index in range(len(items))]
    return [element.text or "" for element in items]
