"""One client as an application sees it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Hashable, Mapping
from ipaddress import ip_address
from types import EllipsisType, MappingProxyType
from typing import Any, Final, Literal, Protocol

from rtmp_sync.bandwidth_limit import BandwidthLimit
from rtmp_sync.errors import ConnectionLost
from rtmp_sync.server.traffic import Traffic

__all__ = ["Client", "ClientLink", "Transport"]

Transport = Literal["rtmp", "rtmps", "http", "websocket"]
_NO_LIMIT: Final = BandwidthLimit()


class ClientLink(Protocol):
    """How a Client reaches its connection; an orphan of a takeover has none."""

    def call(self, name: str, arguments: tuple[object, ...]) -> Awaitable[object]: ...

    def notify(self, name: str, arguments: tuple[object, ...], made: dict[Hashable, bytes]) -> None:
        """made: this very call as it was sent to other clients, by the form it has for them."""

    def disconnect(self, description: str, info: object = None) -> None: ...

    def redirect(self, url: str, description: str) -> bool: ...

    def ping(self) -> Awaitable[float]: ...

    def limit_to_server(self, rate: int | None) -> None:
        """No more bytes a second are read of it from now on."""

    def limit_to_client(self, rate: int | None) -> None:
        """No more bytes a second are sent to it from now on."""

    @property
    def traffic(self) -> Traffic: ...


class Client:
    """One accepted NetConnection.

    id: unique in the pair's life. user_name and user_type: the first two user arguments of
    connect. agent: its flashVer. address: "ip:port", the client's own where a load balancer tells
    it. page_url: the page that its player is on. params: its connect object. arguments: all user
    arguments. transport: how it came; over "http" and "websocket" it plays one stream and has no
    methods.
    since: when it came, in seconds of wall time.
    read_access, write_access: shared objects and streams it may use, as name prefixes
    separated by ";" ("/" allows all, "" none), as in FMS. audio_sample_access,
    video_sample_access: streams whose raw sound and pictures its player may look into, likewise.
    attributes: whatever the application wants to keep of it; memory of this process.

    Source: FMS's server-side class Client; agent, params and arguments are what it sends in
    `connect` (RTMP 1.0, 7.2.1.1) and nobody has checked them.
    """

    __slots__ = (
        "_bandwidth_limit",
        "_granted",
        "_link",
        "_user_type",
        "address",
        "agent",
        "arguments",
        "attributes",
        "audio_sample_access",
        "id",
        "page_url",
        "params",
        "read_access",
        "since",
        "transport",
        "user_name",
        "video_sample_access",
        "write_access",
    )

    def __init__(
        self,
        id: str,
        *,
        user_name: str = "",
        user_type: str = "",
        agent: str = "",
        address: str = "",
        page_url: str = "",
        params: Mapping[str, object] = MappingProxyType({}),
        arguments: tuple[object, ...] = (),
        link: ClientLink | None = None,
        transport: Transport = "rtmp",
    ) -> None:
        self.id = id
        self.user_name = user_name
        self._user_type = user_type
        self._granted = False
        self.agent = agent
        self.address = address
        self.page_url = page_url
        self.params = params
        self.arguments = arguments
        self.transport = transport
        self.since = time.time()
        self.read_access = "/"
        self.write_access = "/"
        self.audio_sample_access = ""
        self.video_sample_access = ""
        self.attributes: dict[str, Any] = {}
        self._bandwidth_limit = _NO_LIMIT
        self._link = link

    def __repr__(self) -> str:
        return f"<Client {self.id} {self.user_name!r} {self.user_type!r}>"

    @property
    def connected(self) -> bool:
        """False for a client of before a takeover that has not come back, and after its end."""
        return self._link is not None

    @property
    def ip(self) -> str:
        """Its address without the port."""
        try:
            return str(ip_address(self.address))  # a reverse proxy tells no port
        except ValueError:
            return self.address.rpartition(":")[0].strip("[]")

    @property
    def uri(self) -> str:
        """Where it says that it connected to (tcUrl); "" if it does not."""
        return self._said("tcUrl")

    @property
    def referrer(self) -> str:
        """What asked for the connection: the address of the player's SWF file; "" if untold."""
        return self._said("swfUrl")

    @property
    def protocol(self) -> Transport:
        """FMS's name of `transport`."""
        return self.transport

    @property
    def traffic(self) -> Traffic:
        """What its connection has moved so far, in bytes and messages; nothing once it is gone."""
        return self._link.traffic if self._link is not None else Traffic()

    @property
    def bandwidth_limit(self) -> BandwidthLimit:
        """Bytes a second that it may send (`to_server`) and that it is sent (`to_client`); None:
        any number. At first those of the configuration."""
        return self._bandwidth_limit

    def set_bandwidth_limit(
        self,
        *,
        to_server: int | EllipsisType | None = ...,
        to_client: int | EllipsisType | None = ...,
    ) -> None:
        """Other limits from now on, in bytes a second; None: any number; what is not given stays.

        Who sends more is read later (`rtmp.max_byte_rate` counts, too, if that is less). Of a live
        stream that is more than what may be sent pictures are left out, then sound; recordings and
        all else come later. A second's worth may pass at once. It is of this connection: set it
        again in `on_connect`. Raises ValueError for less than 1,024, and for what is no whole
        number. FMS: Client.setBandwidthLimit.
        """
        old = self._bandwidth_limit
        new = BandwidthLimit(
            old.to_server if isinstance(to_server, EllipsisType) else to_server,
            old.to_client if isinstance(to_client, EllipsisType) else to_client,
        )
        self._bandwidth_limit = new
        if self._link is None:
            return
        if new.to_server != old.to_server:
            self._link.limit_to_server(new.to_server)
        if new.to_client != old.to_client:
            self._link.limit_to_client(new.to_client)

    @property
    def user_type(self) -> str:
        """What the client may call depends on it. Setting it in `on_connect` grants it,
        whether it is public or not."""
        return self._user_type

    @user_type.setter
    def user_type(self, user_type: str) -> None:
        self._user_type = user_type
        self._granted = True

    @property
    def granted(self) -> bool:
        """Whether the application gave the client its type."""
        return self._granted

    async def call(self, name: str, *arguments: object) -> Any:
        """Call a method of the client; its result, as long as that takes: use `asyncio.timeout`.

        Raises CallError when it answers with an error, ConnectionLost when it goes away or is gone,
        LocalProtocolError for arguments that AMF cannot express.
        """
        return await self._linked().call(name, arguments)

    def notify(
        self, name: str, *arguments: object, made: dict[Hashable, bytes] | None = None
    ) -> None:
        """Call a method of the client without an answer; nothing happens if it is gone.

        made: one dict for the same call to several clients: it is then encoded once.
        LocalProtocolError for arguments that AMF cannot express.
        """
        if self._link is not None:
            self._link.notify(name, arguments, {} if made is None else made)

    async def ping(self) -> float:
        """The round trip to the client, in seconds. Raises ConnectionLost when it goes away."""
        return await self._linked().ping()

    def disconnect(self, description: str = "", *, info: object = None) -> None:
        """End the connection, telling the client why: the status NetConnection.Connect.Closed
        with `description`, and `info` as its `application`. `on_disconnect` says "closed"."""
        if self._link is not None:
            self._link.disconnect(description, info)

    def redirect(self, url: str, description: str = "") -> bool:
        """Ask the client to connect to another address instead, which it does by itself
        (E-RTMP's reconnect request). False, and nothing was asked, of one that cannot do so.
        Who has not come in yet is sent elsewhere by `raise Reject(redirect=url)`."""
        return self._link is not None and self._link.redirect(url, description)

    def unlink(self) -> None:
        """The connection has ended."""
        self._link = None

    def _linked(self) -> ClientLink:
        if self._link is None:
            raise ConnectionLost(f"client {self.id} is not connected")
        return self._link

    def _said(self, parameter: str) -> str:
        value = self.params.get(parameter)
        return value if isinstance(value, str) else ""
