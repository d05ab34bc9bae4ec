"""A recording as one FLV: from its beginning or a place in it, as fast as it is taken, and may be.

    file header, onMetaData (with the duration of the whole), sequence headers, tags

Timestamps are the recording's own. Nothing is ahead of what the client reads by more than a read.
"""

from __future__ import annotations

import asyncio
from typing import Final

import pyamf

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.server.http_body import Body
from rtmp_sync.server.http_player import HttpPlayer
from rtmp_sync.server.http_request import HttpRefused
from rtmp_sync.storage.recording import Cursor, RecordedTag, Recording
from rtmp_sync.wire import amf0
from rtmp_sync.wire.constants import AUDIO, DATA, VIDEO
from rtmp_sync.wire.flv import encode_file_header, encode_tag

__all__ = ["send_recording"]

_READ_BYTES: Final = 256 * 1024
_READ_SECONDS: Final = 10.0  # a NAS that takes longer has failed this player
_LOOK_SECONDS: Final = 1.0  # the player's limit may be another one meanwhile


async def send_recording(
    body: Body, recording: Recording, start_ms: int, player: HttpPlayer
) -> None:
    """Until its end, or the player's.

    Raises HttpRefused while nothing was sent yet, later OSError or RemoteProtocolError, when it
    cannot be read; ConnectionError when the client has gone.
    """
    try:
        headers, tags, at = await _first(recording, recording.seek(start_ms), player)
    except (OSError, RemoteProtocolError):
        raise HttpRefused(503, "The recording cannot be read.") from None
    kinds = {tag.type for tag in (*headers, *tags)}
    begins_ms = tags[0].ms if tags else 0
    metadata = amf0.encode("onMetaData", pyamf.MixedArray(recording.metadata))
    first = [RecordedTag(DATA, 0, begins_ms, metadata), *headers]
    data = encode_file_header(audio=AUDIO in kinds, video=VIDEO in kinds)
    data += _encoded([tag._replace(ms=begins_ms) for tag in first] + tags)
    await body.open()
    while not player.ended.done():
        player.sent(len(data))
        await body.send(data)
        if at is None:
            return
        while player.wait and not player.ended.done():
            await asyncio.wait((player.ended,), timeout=min(player.wait, _LOOK_SECONDS))
        async with asyncio.timeout(_READ_SECONDS):
            tags, at = await recording.read(at, player.at_once(_READ_BYTES))
        data = _encoded(tags)


async def _first(
    recording: Recording, at: Cursor, player: HttpPlayer
) -> tuple[list[RecordedTag], list[RecordedTag], Cursor | None]:
    async with asyncio.timeout(_READ_SECONDS):
        headers = await recording.headers(at)
        tags, following = await recording.read(at, player.at_once(_READ_BYTES))
    return headers, tags, following


def _encoded(tags: list[RecordedTag]) -> bytes:
    return b"".join(encode_tag(tag.type, tag.ms & 0xFFFFFFFF, tag.payload) for tag in tags)
