"""etcd's v3 API over its JSON gateway, which every member offers on its client port.

A request goes to the member that answered last, and after a part of the deadline to the next
one as well, so a frozen member costs a fraction of it. The first definite answer counts for
all: a transaction whose compare failed can't land later, and one that was done is not done
twice, because its own compare fails then.

Errors are gRPC status codes (google.rpc.Code). Few of them say for sure that nothing happened;
"no leader" or "timed out" does not.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import aiohttp

from rtmp_sync.config_values import Address
from rtmp_sync.coordinators.etcd_client import (
    Compare,
    Delete,
    EtcdFull,
    EtcdUnreachable,
    HasValue,
    KeyValue,
    LeaseGone,
    Put,
    TxnAnswer,
    Write,
)
from rtmp_sync.errors import StoreError, StoreTimeout

__all__ = ["Account", "GatewayClient"]

# gRPC codes with which etcd refuses before it does anything, or when it finds while doing a
# transaction that it must not: invalid argument, not found (a lease), already exists,
# permission denied, resource exhausted (too many requests; no space, see EtcdFull), failed
# precondition, out of range, unimplemented, unauthenticated.
_NOTHING_HAPPENED = frozenset({3, 5, 6, 7, 8, 9, 11, 12, 16})
_NOT_FOUND = 5
_RESOURCE_EXHAUSTED = 8
_UNAUTHENTICATED = 16  # also what a token that has expired gives
_INVALID_ARGUMENT = 3  # what etcd 3.4 says of a token that it does not know any more

# A record has at most 64 KiB; base64 and two keys of it are far below.
MAX_ANSWER_BYTES = 1024 * 1024
MAX_TEXT_BYTES = 200  # of one that is not JSON, for people

# A watch whose member's host is gone looks like a quiet one.
WATCH_SILENCE_SECONDS = 30.0
WATCH_AGAIN_SECONDS = 0.5

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Account:
    """An etcd user."""

    name: str
    password: str


@dataclass(frozen=True, slots=True)
class _Failed:
    """An attempt at one member. sent: it may have reached etcd. sure: etcd said no."""

    text: str
    sent: bool = True
    sure: bool = False
    code: int = 0


class GatewayClient:
    """members: their client addresses. tls: for https. All within one event loop."""

    def __init__(
        self,
        members: Sequence[Address],
        *,
        deadline_seconds: float,
        tls: ssl.SSLContext | None = None,
        account: Account | None = None,
    ) -> None:
        scheme = "https" if tls is not None else "http"
        self._members = deque(f"{scheme}://{member}/v3" for member in members)
        self._deadline_seconds = deadline_seconds
        self._tls = tls
        self._account = account
        self._token = ""
        self._session: aiohttp.ClientSession | None = None
        self._watches: list[asyncio.Task[None]] = []

    async def txn(
        self,
        compares: Sequence[Compare | HasValue] = (),
        writes: Sequence[Write] = (),
        *,
        read: Sequence[str] = (),
    ) -> TxnAnswer:
        ranges = [{"request_range": {"key": _text(key)}} for key in read]
        body = {
            "compare": [_compare(compare) for compare in compares],
            "success": [*map(_write, writes), *ranges],
            "failure": ranges,
        }
        answer = await self._ask("/kv/txn", body)
        try:
            found = [reply["response_range"] for reply in answer.get("responses", ())[-len(read) :]]
            return TxnAnswer(bool(answer.get("succeeded")), tuple(map(_found, found)))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise StoreTimeout("etcd: an answer of another shape") from None

    async def grant(self, ttl_seconds: int) -> int:
        lease = _number(await self._ask("/lease/grant", {"TTL": str(ttl_seconds)}), "ID")
        if lease == 0:  # that would be a key without a lease: one that never ends
            raise StoreTimeout("etcd: an answer of another shape")
        return lease

    async def keepalive(self, lease: int) -> bool:
        answer = await self._ask("/lease/keepalive", {"ID": str(lease)})
        result = answer.get("result")
        if not isinstance(result, dict):
            raise StoreTimeout(f"etcd: {answer.get('error', 'no answer')}")
        return _number(result, "TTL") > 0

    def watch(self, prefix: str, told: Callable[[], None]) -> None:
        """At every member at once: one that is frozen or cut off tells nothing."""
        for member in self._members:
            self._watches.append(asyncio.ensure_future(self._watch_at(member, prefix, told)))

    async def close(self) -> None:
        for watch in self._watches:
            watch.cancel()
        if self._watches:
            await asyncio.wait(self._watches)
        if self._session is not None:
            await self._session.close()

    # -- one request --------------------------------------------------------------------

    async def _ask(self, path: str, body: Json) -> Json:
        """Raises StoreError, StoreTimeout."""
        if self._account is not None and not self._token:
            await self._log_in(self._account)
        answer = await self._race(path, body)
        if isinstance(answer, _Failed) and self._account is not None and _token_is_over(answer):
            answer = await self._ask_again(self._account, answer, path, body)
        return _definite(answer)

    async def _ask_again(
        self, account: Account, former: _Failed, path: str, body: Json
    ) -> Json | _Failed:
        """With a new token. former: what came of the old one, which may not be sure."""
        try:
            await self._log_in(account)
        except StoreError as error:
            if former.sure:
                raise
            raise StoreTimeout(str(error)) from None
        answer = await self._race(path, body)
        return _worst((former, answer)) if isinstance(answer, _Failed) else answer

    async def _log_in(self, account: Account) -> None:
        self._token = ""
        body = {"name": account.name, "password": account.password}
        try:
            answer = _definite(await self._race("/auth/authenticate", body))
        except StoreTimeout as error:  # nothing was asked yet
            raise StoreError(str(error)) from None
        self._token = str(answer.get("token", ""))

    async def _race(self, path: str, body: Json) -> Json | _Failed:
        """Ask one member after the other, without giving up those already asked.

        Who says that the token is over is believed at once: each member lets those tokens run
        out that it is not shown, and one that is frozen would keep all of them from being asked.
        """
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._deadline_seconds
        patience = self._deadline_seconds / (2 * len(self._members))
        to_ask = deque(self._members)
        asked: dict[asyncio.Task[Json | _Failed], str] = {}
        failures: list[_Failed] = []
        try:
            while (to_ask or asked) and (left := give_up_at - loop.time()) > 0:
                if to_ask:
                    member = to_ask.popleft()
                    asked[asyncio.ensure_future(self._attempt(member, path, body))] = member
                wait = min(left, patience) if to_ask else left
                done, _ = await asyncio.wait(
                    asked, timeout=wait, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    member, answer = asked.pop(task), task.result()
                    if not isinstance(answer, _Failed):
                        self._prefer(member)
                        return answer
                    failures.append(answer)
                    if self._account is not None and _token_is_over(answer):
                        sure = not asked and not any(map(_may_have_happened, failures))
                        return replace(answer, sure=sure)
                    if answer.sure:
                        to_ask.clear()
        finally:
            await _give_up(asked)
        failures += [_Failed("does not answer")] * len(asked)
        return _worst(failures)

    async def _attempt(self, member: str, path: str, body: Json) -> Json | _Failed:
        try:
            async with self._http().post(
                member + path, json=body, headers=self._headers()
            ) as response:
                content = await _content(response)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            return _Failed(f"cannot be reached ({_reason(error)})", sent=False)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return _Failed(_reason(error))
        try:
            answer = json.loads(content)
        except ValueError:  # what stands before the API speaks no JSON
            text = content[:MAX_TEXT_BYTES].decode(errors="replace").strip()
            return _Failed(text, sure=400 <= response.status < 500)
        if not isinstance(answer, dict):
            return _Failed("an answer of another shape")
        if response.status == 200:
            return answer
        code = answer.get("code", 0)
        return _Failed(str(answer.get("error", "")), sure=code in _NOTHING_HAPPENED, code=code)

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, ssl=self._tls or True)
            timeout = aiohttp.ClientTimeout(
                total=None, sock_connect=self._deadline_seconds / 2, sock_read=WATCH_SILENCE_SECONDS
            )
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        return self._session

    def _headers(self) -> dict[str, str]:
        return {"Authorization": self._token} if self._token else {}

    def _prefer(self, member: str) -> None:
        while self._members[0] != member:
            self._members.rotate(-1)

    # -- watching -----------------------------------------------------------------------

    async def _watch_at(self, member: str, prefix: str, told: Callable[[], None]) -> None:
        request = {
            "create_request": {"key": _text(prefix), "range_end": _text(_end_of(prefix))},
        }
        # etcd ends the stream when this member has no leader: it would hear of nothing.
        needs_leader = {"Grpc-Metadata-hasleader": "true"}
        while True:
            try:
                async with self._http().post(
                    member + "/watch", json=request, headers=needs_leader | self._headers()
                ) as response:
                    # The first message says that the watch was made.
                    async for _ in response.content.iter_any():
                        told()
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass  # whoever asks etcd will find out what it is
            await asyncio.sleep(WATCH_AGAIN_SECONDS)


def _definite(answer: Json | _Failed) -> Json:
    if not isinstance(answer, _Failed):
        return answer
    text = f"etcd: {answer.text}"
    if answer.code == _NOT_FOUND:
        raise LeaseGone(text)
    if answer.sure and answer.code == _RESOURCE_EXHAUSTED:
        raise EtcdFull(text)
    if answer.sure:
        raise StoreError(text)
    raise StoreTimeout(text) if answer.sent else EtcdUnreachable(text)


def _worst(failures: Sequence[_Failed]) -> _Failed:
    """What is known after all of them: nothing happened only if that is so of each."""
    unsure = [failure for failure in failures if _may_have_happened(failure)]
    return (unsure or sorted(failures, key=lambda failure: failure.sure))[-1]


def _may_have_happened(failure: _Failed) -> bool:
    return failure.sent and not failure.sure


def _token_is_over(failure: _Failed) -> bool:
    told = failure.code in (_UNAUTHENTICATED, _INVALID_ARGUMENT)
    return told and ("token" in failure.text or "user name is empty" in failure.text)


async def _give_up(attempts: dict[asyncio.Task[Json | _Failed], str]) -> None:
    for task in attempts:
        task.cancel()
    if attempts:
        await asyncio.wait(attempts)


async def _content(response: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for piece in response.content.iter_any():
        content += piece
        if len(content) > MAX_ANSWER_BYTES:
            raise ValueError(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
    return bytes(content)


def _compare(compare: Compare | HasValue) -> Json:
    head = {"key": _text(compare.key), "result": "EQUAL"}
    if isinstance(compare, HasValue):
        return {**head, "target": "VALUE", "value": b64encode(compare.value).decode()}
    return {**head, "target": "MOD", "mod_revision": str(compare.mod_revision)}


def _write(write: Write) -> Json:
    match write:
        case Put(key, value, lease):
            put = {"key": _text(key), "value": b64encode(value).decode(), "lease": str(lease)}
            return {"request_put": put}
        case Delete(key):
            return {"request_delete_range": {"key": _text(key)}}


def _found(answer: Json) -> KeyValue | None:
    if not (found := answer.get("kvs")):
        return None
    kv = found[0]
    return KeyValue(
        b64decode(kv.get("value", "")), int(kv["mod_revision"]), int(kv.get("lease", 0))
    )


def _number(answer: Json, name: str) -> int:
    """Members that are zero are left out of an answer."""
    try:
        return int(answer.get(name, 0))
    except (TypeError, ValueError):
        raise StoreTimeout("etcd: an answer of another shape") from None


def _text(key: str) -> str:
    return b64encode(key.encode()).decode()


def _end_of(prefix: str) -> str:
    """The first key after all those with the prefix."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
