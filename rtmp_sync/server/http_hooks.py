"""Who may come in, publish and play, asked of a web server: `[hooks]`, for who writes no Python.

    POST on_connect   call=connect  app instance addr clientid flashver swfurl tcurl pageurl
    POST on_publish   call=publish  … name type
    POST on_play      call=play     … name

As application/x-www-form-urlencoded, with the names of nginx-rtmp, which web servers of such sites
know already; what stands in the query of the client's address comes with it. Any 2xx lets the
client in; everything else, also no answer in time, refuses it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import aiohttp

from rtmp_sync.errors import Reject
from rtmp_sync.stream_request import StreamRequest

if TYPE_CHECKING:
    from rtmp_sync.app import Client
    from rtmp_sync.config_sections import HooksSection
    from rtmp_sync.server.instance import Instance

__all__ = ["HttpHooks"]

AT_ONCE = 100  # requests; more wait, and their time runs

_PARAMS = {"flashver": "flashVer", "swfurl": "swfUrl", "tcurl": "tcUrl", "pageurl": "pageUrl"}


class HttpHooks:
    """All of an origin's. asked: how often, by hook and what came of it: `allowed`, `refused`, or
    `failed` when there was no answer."""

    def __init__(self, section: HooksSection) -> None:
        self._urls = {
            "connect": section.on_connect,
            "publish": section.on_publish,
            "play": section.on_play,
        }
        self._timeout = aiohttp.ClientTimeout(total=section.timeout)
        self._open_when_down = section.open_when_down
        self._session: aiohttp.ClientSession | None = None
        self.asked: Counter[tuple[str, str]] = Counter()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def ask_connect(self, instance: Instance, client: Client) -> None:
        """Raises Reject."""
        if self._urls["connect"] is None:
            return
        app = client.params.get("app")
        query = StreamRequest.parse("", "", app if isinstance(app, str) else "").query
        await self._ask("connect", instance, client, query)

    async def ask_stream(
        self,
        act: Literal["publish", "play"],
        instance: Instance,
        client: Client,
        request: StreamRequest,
    ) -> None:
        """Raises Reject."""
        fields = {**request.query, "name": request.name}
        if act == "publish":
            fields["type"] = request.kind
        await self._ask(act, instance, client, fields)

    async def _ask(
        self, act: str, instance: Instance, client: Client, fields: Mapping[str, str]
    ) -> None:
        url = self._urls[act]
        if url is None:
            return
        params = {name: client.params.get(key) for name, key in _PARAMS.items()}
        form = {
            **fields,
            **{name: text for name, text in params.items() if isinstance(text, str)},
            "call": act,
            "app": instance.app_name,
            "instance": instance.name,
            "addr": client.ip,
            "clientid": client.id,
            "user": client.user_name,
            "usertype": client.user_type,
        }
        try:
            status = await self._post(url, form)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.asked[f"on_{act}", "failed"] += 1
            reason = str(error) or "no answer in time"
            instance.log.error("http_hook_failed", hook=f"on_{act}", error=reason)
            if self._open_when_down:
                return
            raise Reject("Nobody can be asked whether this is allowed.") from None
        allowed = 200 <= status < 300
        self.asked[f"on_{act}", "allowed" if allowed else "refused"] += 1
        if not allowed:
            instance.log.info("http_hook_refused", hook=f"on_{act}", status=status)
            raise Reject("This is not allowed.")

    async def _post(self, url: str, form: Mapping[str, str]) -> int:
        """The status of the answer."""
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=AT_ONCE)
            self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout)
        async with self._session.post(url, data=form, allow_redirects=False) as response:
            return response.status
