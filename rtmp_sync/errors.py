"""Every error that rtmp_sync raises.

RtmpSyncError
├── ProtocolError
│   ├── LocalProtocolError    you asked for something the protocol cannot say
│   └── RemoteProtocolError   the peer's bytes are wrong; its connection ends
│       └── MessageTooLong    announced above the limit
├── ConfigError               a configuration key, its value and what would be right
├── Reject                    raised by an application to refuse a client
├── CallError                 a remote call was answered with `_error`
├── ConnectError              the connection was refused or could not be made
├── ConnectionLost            the connection ended before the answer came
└── StoreError                the coordinator's store refused, or could not be reached
    └── StoreTimeout          the outcome is unknown
"""

from __future__ import annotations

__all__ = [
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


class RtmpSyncError(Exception):
    """Base of all errors of this package."""


class ProtocolError(RtmpSyncError):
    """RTMP, AMF or the replication protocol was violated."""


class LocalProtocolError(ProtocolError):
    """This side tried to send what the protocol cannot express."""


class RemoteProtocolError(ProtocolError):
    """The peer sent what the protocol does not allow, or more than a limit."""


class MessageTooLong(RemoteProtocolError):
    """The peer announced a message above the limit."""


class ConfigError(RtmpSyncError):
    """A wrong configuration: `key`, its `value` and the `fix`, on one line."""

    def __init__(self, key: str, value: object, fix: str) -> None:
        self.key = key
        self.value = value
        self.fix = fix
        super().__init__(f"{key} = {value!r}: {fix}")


class Reject(RtmpSyncError):
    """Raised in `Application.on_connect` to refuse the client: NetConnection.Connect.Rejected; in
    `on_publish` and `on_play` to refuse a stream.

    description: text for the client. info: any value, which it gets as `application` of the answer.
    redirect: an rtmp:// address that it should try instead (FMS's `ex: {code: 302, redirect: …}`).
    """

    def __init__(
        self, description: str = "", *, info: object = None, redirect: str | None = None
    ) -> None:
        self.description = description
        self.info = info
        self.redirect = redirect
        super().__init__(description)


class CallError(RtmpSyncError):
    """A remote call was answered with `_error`, or a request for a stream or an object with an
    error's status; raised by a method, it is the answer to its caller.

    code: e.g. "NetConnection.Call.Failed". description: a sentence. info: the whole value that
    came.
    """

    def __init__(self, code: str, description: str = "", info: object = None) -> None:
        self.code = code
        self.description = description
        self.info = info
        super().__init__(f"{code}: {description}" if description else code)


class ConnectError(RtmpSyncError):
    """The server refused the connection, or it could not be made.

    code: the server's, or "NetConnection.Connect.Failed". description: a sentence. info: the whole
    information object that came, None if none did.
    """

    def __init__(self, code: str, description: str = "", info: object = None) -> None:
        self.code = code
        self.description = description
        self.info = info
        super().__init__(f"{code}: {description}" if description else code)


class ConnectionLost(RtmpSyncError):
    """The connection ended; whether the request took effect is unknown."""


class StoreError(RtmpSyncError):
    """The coordinator's store refused an operation: it is known not to have happened."""


class StoreTimeout(StoreError):
    """The store did not answer in time: the operation may have happened, or may yet."""
