"""What the other origin must know of a client: in the journal, and with a replayed call."""

from __future__ import annotations

from rtmp_sync.app import Client
from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.wire.packing import pack, unpack

__all__ = ["client_of", "info_of", "session_key_in"]


def info_of(client: Client, session_key: bytes | None) -> bytes:
    """Enough to make a `Client` of it, and to know it again when it comes back."""
    return pack(
        [
            client.user_name,
            client.user_type,
            client.agent,
            client.address,
            client.page_url,
            session_key or b"",
        ]
    )


def session_key_in(info: bytes) -> bytes:
    """b"" for a client without one. Raises RemoteProtocolError."""
    return _fields(info)[1]


def client_of(client_id: str, info: bytes) -> Client:
    """The client as an application sees it, without a connection. Raises RemoteProtocolError."""
    (user_name, user_type, agent, address, page_url), _ = _fields(info)
    return Client(
        client_id,
        user_name=user_name,
        user_type=user_type,
        agent=agent,
        address=address,
        page_url=page_url,
    )


def _fields(info: bytes) -> tuple[list[str], bytes]:
    fields = unpack(info, "client info")
    if not isinstance(fields, tuple) or [type(field) for field in fields] != [*[str] * 5, bytes]:
        raise RemoteProtocolError("client info: malformed")
    return list(fields[:5]), fields[5]
