"""An RTMP/AMF origin application server that runs as a redundant pair.

    from rtmp_sync import Application, Client, allow        an application (see `apps/`)
    from rtmp_sync import NetConnection                     a client for scripts and tests
    from rtmp_sync import Config, Origin                    an origin inside another program

Names are imported when they are first used: the small helper processes of an origin import
this package too, and need none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rtmp_sync import codec as codec  # first: it chooses the build of the codecs
from rtmp_sync.errors import (
    CallError,
    ConfigError,
    ConnectError,
    ConnectionLost,
    LocalProtocolError,
    MessageTooLong,
    ProtocolError,
    Reject,
    RemoteProtocolError,
    RtmpSyncError,
    StoreError,
    StoreTimeout,
)

if TYPE_CHECKING:
    from rtmp_sync.app import Application, Client, SharedObject, allow
    from rtmp_sync.config import Config
    from rtmp_sync.server.client import NetConnection
    from rtmp_sync.server.origin import Origin
    from rtmp_sync.server.server_stream import ServerStream
    from rtmp_sync.stream_request import StreamRequest

__all__ = [  # noqa: RUF022  # grouped by what they are for
    # writing an application
    "Application",
    "Client",
    "ServerStream",
    "SharedObject",
    "StreamRequest",
    "allow",
    # the client
    "NetConnection",
    # running an origin
    "Config",
    "Origin",
    # errors
    "CallError",
    "ConfigError",
    "ConnectError",
    "ConnectionLost",
    "LocalProtocolError",
    "MessageTooLong",
    "ProtocolError",
    "Reject",
    "RemoteProtocolError",
    "RtmpSyncError",
    "StoreError",
    "StoreTimeout",
]

_LAZY = {
    "Application": "rtmp_sync.app",
    "Client": "rtmp_sync.app",
    "ServerStream": "rtmp_sync.server.server_stream",
    "SharedObject": "rtmp_sync.app",
    "StreamRequest": "rtmp_sync.stream_request",
    "allow": "rtmp_sync.app",
    "NetConnection": "rtmp_sync.server.client",
    "Config": "rtmp_sync.config",
    "Origin": "rtmp_sync.server.origin",
}


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
