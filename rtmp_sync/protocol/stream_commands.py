"""The NetStream commands, as encoders and players really send them.

Each parser takes the connection's streams, the message stream id, the transaction id and the
values behind the command object; it steps the stream and returns what happened. A wrong or
missing argument that has no sensible default is a RemoteProtocolError.
Source: RTMP 1.0 section 7.2.2; the odd forms are named with who sends them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.protocol.events import (
    Event,
    PauseRequested,
    PlayRequested,
    PublishRequested,
    ReceiveAudio,
    ReceiveVideo,
    SeekRequested,
    StreamClosed,
    StreamCreateRequested,
    StreamDeleted,
    TransitionRequested,
)
from rtmp_sync.protocol.netstream import CLOSE, PLAY, PLAYING, PUBLISH, StreamTable
from rtmp_sync.protocol.play_range import PlayRange

__all__ = ["ON_CONNECTION", "PARSERS"]

Values = list[object]

_PUBLISH_KINDS = frozenset({"live", "record", "append", "appendWithGap"})


def _create(streams: StreamTable, msid: int, transaction: float, values: Values) -> list[Event]:
    if streams.full:
        raise RemoteProtocolError(f"more than {len(streams)} message streams at once")
    return [StreamCreateRequested(transaction, streams.create())]


def _delete(streams: StreamTable, msid: int, transaction: float, values: Values) -> list[Event]:
    target = int(_number(values, 0, 0.0))
    doing = streams.delete(target)
    return [] if doing is None else [StreamDeleted(target, doing)]


def _step(streams: StreamTable, msid: int, act: str) -> list[Event]:
    ended = streams.step(msid, act)
    return [] if ended is None else [StreamClosed(msid, ended)]


def _close(streams: StreamTable, msid: int, transaction: float, values: Values) -> list[Event]:
    return _step(streams, msid, CLOSE)


def _publish(streams: StreamTable, msid: int, transaction: float, values: Values) -> list[Event]:
    name = values[0] if values else None
    if name is False:  # Flash Player's publish(false) ends publishing
        return _step(streams, msid, CLOSE)
    if not isinstance(name, str):
        raise RemoteProtocolError(f"publish of {_kind(name)}; a name is a string")
    kind = values[1] if len(values) > 1 else "live"
    # some encoders put the application's name here, and mean live
    known = kind if isinstance(kind, str) and kind in _PUBLISH_KINDS else "live"
    closed = _step(streams, msid, PUBLISH)
    return [*closed, PublishRequested(msid, transaction, name, known)]


def _play(streams: StreamTable, msid: int, transaction: float, values: Values) -> list[Event]:
    name = values[0] if values else None
    if name is False:  # Flash Player's play(false) ends playing
        return _step(streams, msid, CLOSE)
    if not isinstance(name, str):
        raise RemoteProtocolError(f"play of {_kind(name)}; a name is a string")
    reset = values[3] if len(values) > 3 else True
    flag = int(reset) if isinstance(reset, (bool, int, float)) and 0 <= reset <= 3 else 1
    wanted = PlayRange.of(_number(values, 1, -2.0), _number(values, 2, -1.0))
    closed = _step(streams, msid, PLAY)
    return [*closed, PlayRequested(msid, transaction, name, wanted, flag)]


def _play2(streams: StreamTable, msid: int, transaction: float, values: Values) -> list[Event]:
    """NetStreamPlayOptions: what a transition does without anything that plays is a play."""
    options = values[0] if values and isinstance(values[0], dict) else {}
    transition = options.get("transition")
    if transition == "stop":
        return _step(streams, msid, CLOSE)
    name, old_name = options.get("streamName"), options.get("oldStreamName")
    if not isinstance(name, str):
        raise RemoteProtocolError(f"play2 of {_kind(name)}; a name is a string")
    start, length, offset = (
        _number([options.get(key)], 0, default)
        for key, default in (("start", -2.0), ("len", -1.0), ("offset", -1.0))
    )
    wanted = PlayRange.of(start, length, 1000)
    if transition in ("switch", "swap") and streams.doing(msid) == PLAYING:
        old = old_name if isinstance(old_name, str) else ""
        offset_ms = int(offset * 1000) if offset >= 0 else None
        swap = transition == "swap"
        return [TransitionRequested(msid, transaction, name, old, wanted, swap, offset_ms)]
    reset = 0 if transition in ("append", "appendAndWait", "resume") else 1
    waits, resumes = transition == "appendAndWait", transition == "resume"
    if resumes and offset >= 0:  # where the connection before this one ended
        wanted = replace(wanted, start_ms=int(offset * 1000))
    closed = _step(streams, msid, PLAY)
    return [*closed, PlayRequested(msid, transaction, name, wanted, reset, waits, resumes)]


def _for_player(
    event: Callable[[int, Values], Event],
) -> Callable[[StreamTable, int, float, Values], list[Event]]:
    """A command that only a stream that plays obeys."""

    def parse(streams: StreamTable, msid: int, transaction: float, values: Values) -> list[Event]:
        return [event(msid, values)] if streams.doing(msid) == PLAYING else []

    return parse


def _flag(values: Values) -> bool:
    return bool(values[0]) if values else True


def _receive_audio(msid: int, values: Values) -> Event:
    return ReceiveAudio(msid, _flag(values))


def _receive_video(msid: int, values: Values) -> Event:
    return ReceiveVideo(msid, _flag(values))


def _pause(msid: int, values: Values) -> Event:
    return PauseRequested(msid, _flag(values), _number(values, 1, 0.0))


def _seek(msid: int, values: Values) -> Event:
    return SeekRequested(msid, _number(values, 0, 0.0))


PARSERS: dict[str, Callable[[StreamTable, int, float, Values], list[Event]]] = {
    "createStream": _create,
    "deleteStream": _delete,
    "closeStream": _close,
    "publish": _publish,
    "play": _play,
    "play2": _play2,
    "receiveAudio": _for_player(_receive_audio),
    "receiveVideo": _for_player(_receive_video),
    "pause": _for_player(_pause),
    "pauseRaw": _for_player(_pause),
    "seek": _for_player(_seek),
}

# These are not sent on the stream they are about.
ON_CONNECTION = frozenset({"createStream", "deleteStream"})


def _number(values: Values, index: int, default: float) -> float:
    """A number in its place; the default if there is none, or one that no field could hold."""
    value = values[index] if len(values) > index else None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 2**53:
        return float(value)
    return default


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
