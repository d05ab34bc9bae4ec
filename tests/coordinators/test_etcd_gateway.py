"""The gateway's client, against members that answer as a test says: what is known not to have
happened, and what may have."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from rtmp_sync.config_values import Address
from rtmp_sync.coordinators.etcd_client import (
    Compare,
    EtcdFull,
    EtcdUnreachable,
    KeyValue,
    LeaseGone,
    Put,
)
from rtmp_sync.coordinators.etcd_gateway import MAX_ANSWER_BYTES, Account, GatewayClient
from rtmp_sync.errors import StoreError, StoreTimeout

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
NOBODY = Address("127.0.0.1", 1)
WELL = {"succeeded": True, "responses": [{"response_put": {}}, {"response_range": {}}]}


def says(body: Any, status: int = 200) -> Answer:
    async def answer(_request: web.Request) -> web.Response:
        return web.json_response(body, status=status)

    return answer


def refuses(code: int, text: str = "etcdserver: no", status: int = 400) -> Answer:
    return says({"error": text, "message": text, "code": code}, status)


async def hangs(_request: web.Request) -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError


class Members:
    """Servers of a test, and clients of them."""

    def __init__(self) -> None:
        self._servers: list[TestServer] = []
        self._clients: list[GatewayClient] = []

    async def member(self, answer: Answer) -> Address:
        app = web.Application()
        app.router.add_post("/{path:.*}", answer)
        server = TestServer(app, host="127.0.0.1")
        await server.start_server()
        self._servers.append(server)
        assert server.port is not None
        return Address("127.0.0.1", server.port)

    def client(self, *members: Address, seconds: float = 10, **options: Any) -> GatewayClient:
        made = GatewayClient(members, deadline_seconds=seconds, **options)
        self._clients.append(made)
        return made

    async def close(self) -> None:
        for client in self._clients:
            await client.close()
        for server in self._servers:
            await server.close()


@pytest.fixture
async def members() -> AsyncIterator[Members]:
    made = Members()
    yield made
    await made.close()


async def write(client: GatewayClient) -> bool:
    answer = await client.txn([Compare("k", 0)], [Put("k", b"v")], read=["k"])
    return answer.succeeded


# -- one member ----------------------------------------------------------------------


async def test_a_transaction_is_asked_for_as_etcd_reads_it(members: Members) -> None:
    asked: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append((request.path, await request.json()))
        kv = {"key": "aw==", "value": b64encode(b"v").decode(), "mod_revision": "7", "lease": "9"}
        found = {"response_range": {"kvs": [kv], "count": "1"}}
        return web.json_response({"succeeded": True, "responses": [{"response_put": {}}, found]})

    client = members.client(await members.member(answer))
    told = await client.txn([Compare("k", 3)], [Put("k", b"v", 9)], read=["k"])
    assert (told.succeeded, told.found) == (True, (KeyValue(b"v", 7, 9),))
    path, body = asked[0]
    key = b64encode(b"k").decode()
    assert path == "/v3/kv/txn"
    assert body == {
        "compare": [{"key": key, "result": "EQUAL", "target": "MOD", "mod_revision": "3"}],
        "success": [
            {"request_put": {"key": key, "value": b64encode(b"v").decode(), "lease": "9"}},
            {"request_range": {"key": key}},
        ],
        "failure": [{"request_range": {"key": key}}],
    }


@pytest.mark.parametrize("code", [3, 7, 8, 9, 16])
async def test_what_etcd_refuses_has_not_happened(members: Members, code: int) -> None:
    client = members.client(await members.member(refuses(code, "etcdserver: why")))
    with pytest.raises(StoreError, match="etcdserver: why") as raised:
        await write(client)
    assert not isinstance(raised.value, StoreTimeout)


async def test_a_lease_that_is_gone_is_told_from_other_refusals(members: Members) -> None:
    client = members.client(await members.member(refuses(5, status=404)))
    with pytest.raises(LeaseGone):
        await write(client)


async def test_an_etcd_without_space_is_told_from_other_refusals(members: Members) -> None:
    client = members.client(await members.member(refuses(8)))
    with pytest.raises(EtcdFull):
        await write(client)


@pytest.mark.parametrize("code", [0, 1, 2, 4, 10, 13, 14])
async def test_no_leader_or_no_time_tells_nothing(members: Members, code: int) -> None:
    client = members.client(await members.member(refuses(code, status=503)))
    with pytest.raises(StoreTimeout):
        await write(client)


@pytest.mark.parametrize(
    "answer",
    [
        says([]),
        says({"succeeded": True, "responses": [{}]}),
        says({"succeeded": True, "responses": [{"response_range": {"kvs": [{"value": "%"}]}}]}),
        says("x" * (MAX_ANSWER_BYTES + 1)),
        says({"succeeded": True, "responses": [{"response_range": 1}]}),
    ],
)
async def test_an_answer_of_another_shape_tells_nothing(members: Members, answer: Answer) -> None:
    with pytest.raises(StoreTimeout):
        await write(members.client(await members.member(answer)))


@pytest.mark.parametrize(("status", "error"), [(400, StoreError), (502, StoreTimeout)])
async def test_what_is_not_json_is_passed_on_to_people(
    members: Members, status: int, error: type[StoreError]
) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="CommonName is ignored\n", status=status)

    with pytest.raises(StoreError, match="CommonName is ignored") as raised:
        await write(members.client(await members.member(answer)))
    assert type(raised.value) is error


async def test_a_member_that_ends_the_connection_tells_nothing(members: Members) -> None:
    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    with pytest.raises(StoreTimeout):
        await write(members.client(await members.member(answer)))


async def test_a_member_that_does_not_answer_is_given_up(members: Members) -> None:
    with pytest.raises(StoreTimeout):
        await write(members.client(await members.member(hangs), seconds=0.2))


async def test_where_nobody_listens_nothing_happens(members: Members) -> None:
    with pytest.raises(EtcdUnreachable):
        await write(members.client(NOBODY, NOBODY))


# -- several -------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [hangs, refuses(14, status=503), says([])])
async def test_the_next_member_is_asked_when_one_is_not_well(members: Members, bad: Answer) -> None:
    client = members.client(await members.member(bad), NOBODY, await members.member(says(WELL)))
    assert await write(client)


async def test_the_member_that_answered_is_asked_first_from_then_on(members: Members) -> None:
    asked = 0

    async def answer(_request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.json_response({"error": "no leader", "code": 14}, status=503)

    client = members.client(await members.member(answer), await members.member(says(WELL)))
    for _ in range(3):
        assert await write(client)
    assert asked == 1


async def test_a_refusal_is_not_sure_while_another_member_may_have_done_it(
    members: Members,
) -> None:
    for unsure in (hangs, refuses(14, status=503)):
        client = members.client(
            await members.member(unsure), await members.member(refuses(8)), seconds=0.5
        )
        with pytest.raises(StoreTimeout):
            await write(client)


async def test_a_late_answer_of_the_first_member_counts(members: Members) -> None:
    asked = asyncio.Event()

    async def late(_request: web.Request) -> web.Response:
        await asked.wait()
        return web.json_response(WELL)

    async def second(request: web.Request) -> web.Response:
        asked.set()
        return await hangs(request)

    client = members.client(await members.member(late), await members.member(second))
    assert await write(client)


# -- a lease -------------------------------------------------------------------------


async def test_a_lease_is_granted_and_found_alive_or_gone(members: Members) -> None:
    grants = members.client(await members.member(says({"ID": "77", "TTL": "5"})))
    assert await grants.grant(5) == 77
    alive = members.client(await members.member(says({"result": {"ID": "77", "TTL": "5"}})))
    assert await alive.keepalive(77)
    gone = members.client(await members.member(says({"result": {"ID": "77"}})))
    assert not await gone.keepalive(77)


async def test_a_grant_without_a_lease_is_none(members: Members) -> None:
    """A key with the lease 0 would live for ever."""
    with pytest.raises(StoreTimeout):
        await members.client(await members.member(says({"TTL": "5"}))).grant(5)


async def test_an_error_in_the_stream_is_no_word_about_the_lease(members: Members) -> None:
    answer = says({"error": {"grpc_code": 14, "message": "etcdserver: no leader"}})
    with pytest.raises(StoreTimeout, match="no leader"):
        await members.client(await members.member(answer)).keepalive(77)


# -- an account ----------------------------------------------------------------------


async def test_an_account_logs_in_and_does_so_again_when_its_token_is_over(
    members: Members,
) -> None:
    tokens: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith("/auth/authenticate"):
            assert json.loads(await request.text()) == {"name": "pair", "password": "pass"}
            tokens.append(f"token {len(tokens)}")
            return web.json_response({"token": tokens[-1]})
        if request.headers.get("Authorization") == "token 1":
            return web.json_response(WELL)
        return web.json_response(
            {"error": "etcdserver: invalid auth token", "code": 16}, status=401
        )

    account = Account("pair", "pass")
    client = members.client(await members.member(answer), account=account)
    assert await write(client)
    assert tokens == ["token 0", "token 1"]


class Tokens:
    """Members that give tokens and take the last one; one of them freezes after the first."""

    def __init__(self) -> None:
        self.given = 0
        self.taken = ""

    def _give(self) -> web.Response:
        self.given += 1
        return web.json_response({"token": f"token {self.given}"})

    async def freezes(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/auth/authenticate") and self.given == 0:
            return self._give()
        return await hangs(request)

    async def runs(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/auth/authenticate"):
            return self._give()
        if request.headers.get("Authorization") == self.taken:
            return web.json_response(WELL)
        return web.json_response(
            {"error": "etcdserver: invalid auth token", "code": 16}, status=401
        )


async def test_a_frozen_member_does_not_keep_a_new_token_from_being_asked_for(
    members: Members,
) -> None:
    """The others have let run out what only the frozen one was shown."""
    tokens = Tokens()
    tokens.taken = "token 2"
    frozen, well = await members.member(tokens.freezes), await members.member(tokens.runs)
    client = members.client(frozen, well, seconds=2, account=Account("pair", "pass"))
    assert await write(client)


async def test_a_refused_token_tells_nothing_of_what_another_member_was_asked(
    members: Members,
) -> None:
    for first, error in ((Tokens.freezes, StoreTimeout), (Tokens.runs, StoreError)):
        tokens = Tokens()
        one = await members.member(partial(first, tokens))
        client = members.client(
            one, await members.member(tokens.runs), seconds=1, account=Account("pair", "pass")
        )
        with pytest.raises(StoreError) as raised:
            await write(client)
        assert type(raised.value) is error


async def test_a_wrong_password_is_refused_and_nothing_is_written(members: Members) -> None:
    text = "etcdserver: authentication failed, invalid user ID or password"
    client = members.client(
        await members.member(refuses(3, text)), account=Account("pair", "wrong")
    )
    with pytest.raises(StoreError, match="authentication failed"):
        await write(client)
