"""Live streams, and the message streams of clients."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final

from rtmp_sync.admin.method import SPREAD, Answer, Argument, Call, Method
from rtmp_sync.admin.net_streams import doing, stream_id
from rtmp_sync.admin.refusal import not_there
from rtmp_sync.admin.subjects import APP_INST, instance_of, scope_of, sessions_in, wall_time
from rtmp_sync.server.clock import now
from rtmp_sync.server.peer_stream import PeerStream

if TYPE_CHECKING:
    from rtmp_sync.server.channel import Channel
    from rtmp_sync.server.session import Session

_ALL_STREAMS: Final = "-1"


class LiveStreams(Answer):
    """What is published. On a standby nothing is."""

    streams: Annotated[list[str], SPREAD]
    """Names."""


class Publisher(Answer):
    """Who publishes a live stream."""

    name: str
    """The stream's."""
    time: datetime
    """As `publish_time`."""
    type: str
    """Always `publishing`."""
    client: str
    """The client's id; that of a relay or of the application when it is no client."""
    stream_id: str
    """As `getNetStreams` has it; empty when it is no client."""
    client_type: str
    """`normal`, or `service` when it is no client."""
    publish_time: datetime
    """When it began to publish."""


class StreamSubscriber(Answer):
    """A client that plays a live stream."""

    client: str
    subscribe_time: datetime


class LiveStreamStats(Answer):
    """One live stream."""

    publisher: Publisher | None
    """None while who plays it waits."""
    subscribers: list[StreamSubscriber]
    """Who plays it over RTMP."""
    listeners: int
    """Who else hears it: relays and others; all HTTP players together are one."""
    bytes_in: int
    """Bytes of audio, video and data since it was published."""
    msg_in: int
    """Messages since it was published."""
    bw_in: int
    """Bytes a second: since the last look that is a second old or more."""
    up_time: int
    """Seconds since it was published."""


class NetStreams(Answer):
    """The message streams of all clients."""

    streams: Annotated[list[str], SPREAD]
    """Ids."""


class NetStream(Answer):
    """A message stream of a client."""

    name: str
    """Of the stream that it publishes or plays; empty when idle."""
    time: datetime | None
    """When it began to publish or play; none when idle."""
    type: str
    """`idle`, `publishing`, `playing live` or `playing recorded`."""
    client: str
    stream_id: str
    client_type: str
    """Always `normal`."""


class NetStreamsStats(Answer):
    """The same, with what each does."""

    streams: Annotated[list[NetStream], SPREAD]


async def get_live_streams(call: Call) -> LiveStreams:
    instance = instance_of(call)
    return LiveStreams(streams=instance.live.names if instance is not None else [])


async def get_live_stream_stats(call: Call) -> LiveStreamStats:
    instance, name = instance_of(call), call.text("stream")
    channel = instance.live.channel(name) if instance is not None else None
    if channel is None:
        raise not_there(f"There is no live stream {name} in {scope_of(call)}.")
    published = channel.publisher is not None
    counter = f"stream {scope_of(call)} {channel.begun}"
    rate = call.rates.per_second(f"{counter} {name}", channel.bytes_in, now())
    return LiveStreamStats(
        publisher=_publisher(channel),
        subscribers=[
            StreamSubscriber(client=peer.client.id, subscribe_time=wall_time(player.since))
            for (peer, _), player in channel.players.items()
        ],
        listeners=channel.listeners,
        bytes_in=channel.bytes_in,
        msg_in=channel.messages_in,
        bw_in=round(rate) if published else 0,
        up_time=max(0, int(time.time() - channel.begun)) if published else 0,
    )


async def get_net_streams(call: Call) -> NetStreams:
    return NetStreams(streams=[stream_id(*stream) for stream in _net_streams(call)])


async def get_net_stream_stats(call: Call) -> NetStreamsStats:
    wanted = call.text("streamids")
    found = [_net_stream(*stream) for stream in _net_streams(call)]
    if wanted != _ALL_STREAMS:
        ids = {one.strip() for one in wanted.split(",")}
        found = [one for one in found if one.stream_id in ids]
        if not found:
            raise not_there(f"There is no stream {wanted} in {scope_of(call)}.")
    return NetStreamsStats(streams=found)


def _publisher(channel: Channel) -> Publisher | None:
    publisher, begun = channel.publisher, wall_time(channel.begun)
    if publisher is None:
        return None
    client = isinstance(publisher, PeerStream)
    return Publisher(
        name=channel.name,
        time=begun,
        type="publishing",
        client=publisher.id,
        stream_id=f"{publisher.id}-{publisher.msid}" if isinstance(publisher, PeerStream) else "",
        client_type="normal" if client else "service",
        publish_time=begun,
    )


def _net_streams(call: Call) -> Iterator[tuple[Session, int]]:
    for session in sessions_in(call.origin, instance_of(call)):
        for msid in session.connection.streams:
            yield session, msid


def _net_stream(session: Session, msid: int) -> NetStream:
    type, name, since = doing(session, msid)
    return NetStream(
        name=name,
        time=wall_time(since) if since is not None else None,
        type=type,
        client=session.client.id,
        stream_id=stream_id(session, msid),
        client_type="normal",
    )


_STREAM: Final = Argument("stream", "the stream's name")
_STREAM_IDS: Final = Argument(
    "streamids", "ids, separated by commas; -1: all", default=_ALL_STREAMS
)

METHODS = (
    Method(
        "getLiveStreams",
        "/instances/{app}/{instance}/live_streams",
        "The streams that are published.",
        LiveStreams,
        get_live_streams,
        (APP_INST,),
    ),
    Method(
        "getLiveStreamStats",
        "/instances/{app}/{instance}/live_streams/{stream}",
        "One live stream: who publishes it, who plays it, how much it carries.",
        LiveStreamStats,
        get_live_stream_stats,
        (APP_INST, _STREAM),
    ),
    Method(
        "getNetStreams",
        "/instances/{app}/{instance}/net_streams",
        "The message streams of all clients.",
        NetStreams,
        get_net_streams,
        (APP_INST,),
    ),
    Method(
        "getNetStreamStats",
        "/instances/{app}/{instance}/net_stream_stats",
        "The message streams of all clients, with what each does.",
        NetStreamsStats,
        get_net_stream_stats,
        (APP_INST, _STREAM_IDS),
    ),
)
