"""Live streams being recorded: from their beginning for who publishes, or from now on for the
application. A stream has one recording at a time."""

from __future__ import annotations

from functools import partial

from rtmp_sync.server.channel import Channel, Status
from rtmp_sync.server.recordings import Recordings
from rtmp_sync.server.stream_registry import StreamRegistry
from rtmp_sync.storage.recorder import Take
from rtmp_sync.storage.segment import metadata_of
from rtmp_sync.wire.constants import (
    DATA,
    LEVEL_ERROR,
    LEVEL_STATUS,
    RECORD_FAILED,
    RECORD_START,
    RECORD_STOP,
)
from rtmp_sync.wire.messages import data_name

__all__ = ["LiveRecording"]


class LiveRecording:
    """Of one instance."""

    def __init__(self, recordings: Recordings, registry: StreamRegistry) -> None:
        self._recordings = recordings
        self._registry = registry

    def begin(self, channel: Channel, take: Take, on_status: Status) -> None:
        """Record what comes, until `end`, which the end of the stream is."""
        name, publisher = channel.name, channel.publisher

        def failed(reason: str) -> None:
            if channel.publisher is publisher:
                on_status(RECORD_FAILED, f"{name} is not recorded: {reason}.", LEVEL_ERROR)

        note = partial(self._registry.note, name)
        recorder = channel.recorder = self._recordings.record(take, {}, failed, note)
        channel.on_recorded = on_status
        if not recorder.failed:
            on_status(RECORD_START, f"Recording {name}.", LEVEL_STATUS)

    def join(self, channel: Channel, take: Take, on_status: Status) -> None:
        """The same of a stream that is under way: from its last key frame on."""
        self.begin(channel, take, on_status)
        recorder = channel.recorder
        assert recorder is not None  # begin made it
        for message in channel.stream.join():
            if message.type == DATA and data_name(message.payload) == "onMetaData":
                recorder.set_metadata(metadata_of(message.payload))
            else:
                recorder.put(message.type, message.timestamp, message.payload, message.flags)

    def end(self, channel: Channel) -> None:
        """Record it no longer; nothing happens if it is not recorded."""
        recorder, channel.recorder = channel.recorder, None
        if recorder is not None:
            self._recordings.end(recorder)
            if not recorder.failed:
                channel.on_recorded(RECORD_STOP, f"{channel.name} is recorded.", LEVEL_STATUS)
