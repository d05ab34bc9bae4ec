"""Who may publish and who may play: access paths, keys of the configuration, web addresses that are
asked, the application.

In this order; the first that refuses decides. All of it is asked again after each reconnect and
each takeover: nothing of a yes is kept.
"""

from __future__ import annotations

from rtmp_sync.app import Client
from rtmp_sync.errors import ConfigError, Reject, RemoteProtocolError
from rtmp_sync.protocol.play_range import PlaySource
from rtmp_sync.server.instance import Instance
from rtmp_sync.server.relay import refuse_circles
from rtmp_sync.server.shared_objects import may_access
from rtmp_sync.storage.media_folders import NameRefused
from rtmp_sync.storage.recorder import Take
from rtmp_sync.storage.recording import Recording
from rtmp_sync.stream_request import StreamRequest
from rtmp_sync.wire.constants import (
    PLAY_FAILED,
    PLAY_STREAM_NOT_FOUND,
    RECORD_NO_ACCESS,
)

__all__ = ["StreamRefused", "admit_player", "admit_publisher", "find_recording"]


class StreamRefused(Reject):
    """A refusal with a status code of its own."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code = code


async def admit_publisher(
    instance: Instance, client: Client, request: StreamRequest
) -> Take | None:
    """Where to record what is published, None for nowhere. Raises Reject."""
    _refuse_nameless(request)
    if not may_access(client.write_access, request.name):
        raise Reject(f"{request.name} may not be published by this client.")
    refuse_circles(instance.live.hop, request.name, client)
    await _ask_keys(instance, "publish", request)
    await instance.serving.hooks.ask_stream("publish", instance, client, request)
    await _ask(instance, "on_publish", client, request)
    if request.kind == "live" or instance.live.is_published(request.name):
        return None  # of a name that is taken nothing is written over
    return await _place(instance, request)


async def admit_player(
    instance: Instance, client: Client, request: StreamRequest, source: PlaySource
) -> Recording | None:
    """The recording to play; None for what is live, now or later. Raises Reject."""
    _refuse_nameless(request)
    if not may_access(client.read_access, request.name):
        raise Reject(f"{request.name} may not be played by this client.")
    refuse_circles(instance.live.hop, request.name, client)
    await _ask_keys(instance, "play", request)
    await instance.serving.hooks.ask_stream("play", instance, client, request)
    await _ask(instance, "on_play", client, request)
    is_live = instance.live.is_live(request.name)
    if source is PlaySource.LIVE or (source is PlaySource.ANY and is_live):
        return None
    recording = await find_recording(instance, request.name)
    # librtmp asks for second 0 unless it was told "live"; what is live is played all the same
    if recording is None and source is PlaySource.RECORDED and not is_live:
        raise StreamRefused(PLAY_STREAM_NOT_FOUND, f"{request.name} is not recorded.")
    return recording


async def find_recording(instance: Instance, name: str) -> Recording | None:
    """Raises Reject when there may be one and it cannot be read."""
    try:
        return await instance.serving.recordings.find(instance.app_name, instance.name, name)
    except NameRefused:
        return None  # it can still be the name of a live stream
    except (OSError, RemoteProtocolError) as error:
        reason = str(error) or "the disk does not answer"
        instance.log.error("play_failed", stream=name, reason=reason)
        raise StreamRefused(PLAY_FAILED, f"{name} cannot be read.") from None


def _refuse_nameless(request: StreamRequest) -> None:
    if not request.name:
        raise Reject("A stream needs a name.")


async def _place(instance: Instance, request: StreamRequest) -> Take:
    name, recordings = request.name, instance.serving.recordings
    continued = instance.registry.continued(name)
    try:
        return await recordings.prepare(
            instance.app_name, instance.name, name, request.kind, continued
        )
    except NameRefused as refusal:
        raise StreamRefused(RECORD_NO_ACCESS, f"{name} cannot be recorded: {refusal}.") from None


async def _ask_keys(instance: Instance, act: str, request: StreamRequest) -> None:
    keys = instance.serving.stream_keys.get(act)
    if keys is None:
        return
    try:
        await keys.admit(request)
    except ConfigError as error:
        instance.log.error("stream_keys_unreadable", error=str(error))
        raise Reject(f"{request.name}: the keys cannot be read.") from None


async def _ask(instance: Instance, hook: str, client: Client, request: StreamRequest) -> None:
    try:
        await getattr(instance.application, hook)(client, request)
    except Reject as reject:
        text = reject.description or f"{request.name} was refused by the application."
        raise Reject(text) from None
    except Exception as error:  # the application's own error: nobody comes in by it
        instance.log.error("hook_failed", hook=hook, exc_info=error)
        raise Reject(f"{request.name}: the application failed.") from None
