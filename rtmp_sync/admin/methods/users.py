"""Clients: who is connected, what each moved, and how to send one away."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from rtmp_sync.admin.holder import must_serve
from rtmp_sync.admin.method import SPREAD, Answer, Argument, Call, Done, Method
from rtmp_sync.admin.net_streams import stream_id
from rtmp_sync.admin.subjects import (
    APP_INST,
    USER,
    client_of,
    instance_of,
    wall_time,
)
from rtmp_sync.admin.traffic_figures import Moved, moved


class Users(Answer):
    """Who is connected. On a standby nobody is."""

    users: Annotated[list[str], SPREAD]
    """Ids of clients, in the order in which they came; one that connects again has another."""


class MessageQueue(Answer):
    """What waits for a client, if it came over RTMP."""

    total_queues: int
    """Always 1."""
    bytes: int
    """What it has not read, or that the other origin has not acknowledged."""


class Limits(Answer):
    """Bytes a second, as `[apps.NAME]` or the application has set them."""

    to_server: int | None
    """What it may send; none: any number."""
    to_client: int | None
    """What it is sent; none: any number."""


class UserStats(Moved):
    """One client."""

    connect_time: datetime
    """When it was accepted."""
    protocol: str
    """`rtmp`, `rtmps` (over TLS), `http` or `websocket`."""
    msg_queue: MessageQueue
    bandwidth_limit: Limits
    stream_ids: list[str]
    """Its message streams, as `getNetStreams` has them."""
    user_name: str
    user_type: str
    ip: str
    """Its address, as a load balancer tells it (`rtmp.proxy_protocol_from`), and its port."""
    agent: str
    """What it says that it is."""
    page_url: str
    """The page that its movie is on, by its own word."""
    referrer: str
    """Where its movie comes from, by its own word."""


async def get_users(call: Call) -> Users:
    instance = instance_of(call)
    return Users(users=list(instance.clients) if instance is not None else [])


async def get_user_stats(call: Call) -> UserStats:
    client = client_of(call)
    session = next(
        (one for one in call.origin.sessions if one.joined and one.client is client), None
    )
    referrer = client.params.get("swfUrl")
    limit = client.bandwidth_limit
    return UserStats(
        **moved(client.traffic),
        connect_time=wall_time(client.since),
        protocol=session.protocol if session is not None else client.transport,
        msg_queue=MessageQueue(
            total_queues=1, bytes=session.outbox.size if session is not None else 0
        ),
        bandwidth_limit=Limits(to_server=limit.to_server, to_client=limit.to_client),
        stream_ids=[stream_id(session, msid) for msid in session.connection.streams]
        if session is not None
        else [],
        user_name=client.user_name,
        user_type=client.user_type,
        ip=client.address,
        agent=client.agent,
        page_url=client.page_url,
        referrer=referrer if isinstance(referrer, str) else "",
    )


async def disconnect_user(call: Call) -> Done:
    must_serve(call.origin)
    client_of(call).disconnect(call.text("reason"))
    return Done()


_REASON: Final = Argument(
    "reason", "what the client is told", default="Disconnected by an administrator."
)

METHODS = (
    Method(
        "getUsers",
        "/instances/{app}/{instance}/users",
        "The clients of an instance.",
        Users,
        get_users,
        (APP_INST,),
    ),
    Method(
        "getUserStats",
        "/instances/{app}/{instance}/users/{userid}",
        "One client: who it is and what it moved.",
        UserStats,
        get_user_stats,
        (APP_INST, USER),
    ),
    Method(
        "disconnectUser",
        "/instances/{app}/{instance}/users/{userid}/disconnect",
        "Tell a client NetConnection.Connect.Closed with the reason, and close its connection.",
        Done,
        disconnect_user,
        (APP_INST, USER, _REASON),
        changes=True,
    ),
)
