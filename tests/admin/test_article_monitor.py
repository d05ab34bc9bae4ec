"""The monitor that operators of Flash Media Server have: a script's GET of /admin/ping, and a
search for two words in whatever came. Its functions are here as they are in the article's VBScript.
"""

from __future__ import annotations

import asyncio
import re
import urllib.error
import urllib.request
from collections.abc import AsyncIterator

import pytest

from rtmp_sync.admin.server import AdminServer
from rtmp_sync.server.own_health import SelfTest
from tests.admin.conftest import PASSWORD, ShownOrigin


def retrieve_data(url: str) -> str:
    """`retrieveData`: its "failed" is overwritten by the empty `dData` on its last line."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            data: bytes = answer.read()
    except urllib.error.HTTPError as refusal:  # WinHttp has no opinion on the status
        data = refusal.read()
    except OSError:
        data = b""
    return data.decode("utf-8")


def validate2compare(string_in: str, word_in: str) -> bool:
    """`Validate2compare`: a RegExp with IgnoreCase and Global."""
    return len(re.findall(word_in, string_in, re.IGNORECASE)) > 0


def main_procedure(primary: str, port: int, user: str, password: str) -> bool:
    """`initialize`, up to its `run1`: whether the primary is taken to be up."""
    url = f"http://{primary}:{port}/admin/ping?auser={user}&apswd={password}"
    url = url.replace(" ", "%20")  # as WinHttp does
    data = retrieve_data(url)
    if validate2compare(data.lower(), "rejected"):
        return True
    return validate2compare(data.lower(), "success")


@pytest.fixture
async def server(origin: ShownOrigin) -> AsyncIterator[AdminServer]:
    server = AdminServer(origin)  # type: ignore[arg-type] # it has what is read of an Origin
    await server.start()
    yield server
    await server.stop()


async def monitored(server: AdminServer, *, listener: int = 0, password: str = PASSWORD) -> bool:
    host, port = server.addresses[listener]
    return await asyncio.to_thread(main_procedure, host, port, "admin", password)


@pytest.mark.parametrize("listener", [0, 1], ids=["admin", "health"])
async def test_a_healthy_origin_is_up(server: AdminServer, listener: int) -> None:
    assert await monitored(server, listener=listener)


async def test_wrong_credentials_are_no_failure(server: AdminServer) -> None:
    """The script takes "rejected" for a sign of life: a changed password is no reason to fail
    over."""
    assert await monitored(server, password="changed")


@pytest.mark.parametrize(
    "found",
    [SelfTest(2.0, persist_failed=False), SelfTest(0.0, persist_failed=True, rtmp=False)],
    ids=["loop", "port"],
)
async def test_an_origin_that_is_not_well_is_down(
    server: AdminServer, origin: ShownOrigin, found: SelfTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither word may be anywhere in the answer, nor a part of another word."""
    monkeypatch.setattr(origin, "test", found)
    assert not await monitored(server)


async def test_an_origin_that_does_not_answer_is_down(server: AdminServer) -> None:
    host, port = server.addresses[0]
    await server.stop()
    assert not await asyncio.to_thread(main_procedure, host, port, "admin", PASSWORD)
