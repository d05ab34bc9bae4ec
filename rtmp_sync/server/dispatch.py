"""What each event of a client means to this origin: one table, one small function each.

`session.py` moves bytes and knows when; here is what. Stream commands that encoders send and
nobody needs (releaseStream, FCPublish, …) are answered as FMS does.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import pyamf

from rtmp_sync.errors import ConnectionLost
from rtmp_sync.protocol import replies
from rtmp_sync.protocol.events import (
    BufferLengthSet,
    CallAnswered,
    CommandReceived,
    ConnectRequested,
    MediaReceived,
    PauseRequested,
    PingAnswered,
    PlayRequested,
    PublishRequested,
    ReceiveAudio,
    ReceiveVideo,
    SeekRequested,
    SharedObjectReceived,
    StreamClosed,
    StreamCreateRequested,
    StreamDeleted,
    TransitionRequested,
)
from rtmp_sync.protocol.netstream import PUBLISHING
from rtmp_sync.server import access_log, playing
from rtmp_sync.server.bandwidth import FMS, OLD, Bandwidth, BandwidthCheck, Words
from rtmp_sync.server.joining import begin_admission
from rtmp_sync.server.live import LiveStreams
from rtmp_sync.server.recorded import RecordedStreams
from rtmp_sync.server.shared_objects import may_access
from rtmp_sync.server.stream_admission import admit_publisher, find_recording
from rtmp_sync.storage.recorder import Take
from rtmp_sync.storage.recording import Recording
from rtmp_sync.stream_request import StreamRequest
from rtmp_sync.wire import media
from rtmp_sync.wire.constants import (
    LEVEL_STATUS,
    PLAY_START,
    PLAY_STOP,
    PUBLISH_BAD_NAME,
)

if TYPE_CHECKING:
    from rtmp_sync.server.session import Session

__all__ = ["dispatch"]


def dispatch(session: Session, event: object) -> None:
    """Do what an event asks for. Raises RemoteProtocolError and Deposed."""
    act = _EVENTS.get(type(event))
    if act is not None:
        act(session, event)


def _connect(session: Session, event: ConnectRequested) -> None:
    begin_admission(session, event)


def _shared_object(session: Session, event: SharedObjectReceived) -> None:
    client = session.client
    session.instance.shared_objects.receive(
        session.subscriber,
        event.message,
        read_access=client.read_access,
        write_access=client.write_access,
    )


def _media(session: Session, event: MediaReceived) -> None:
    session.instance.live.receive(session, event)


def _create_stream(session: Session, event: StreamCreateRequested) -> None:
    session.answer(event.transaction, replies.result(float(event.msid)))


def _end_stream(session: Session, event: StreamClosed | StreamDeleted) -> None:
    session.instance.recorded.stop(session, event.msid)
    session.instance.live.stop(session, event.msid)
    session.sessions.access.ended(session.instance, session.client, event.msid)


def _publish(session: Session, event: PublishRequested) -> None:
    request = StreamRequest.parse(event.name, event.kind, session.app)

    def decided(take: Take | None, error: BaseException | None) -> None:
        if session.closing or session.connection.streams.doing(event.msid) != PUBLISHING:
            return  # gone, or deleted, meanwhile
        if error is not None:
            session.connection.streams.stop(event.msid)
            session.refuse_stream(event.msid, PUBLISH_BAD_NAME, error)
        accepted = error is None and session.instance.live.publish(
            session, event.msid, request, take
        )
        session.log.info("publish", stream=request.name, accepted=accepted)
        status = access_log.OK if accepted else access_log.TAKEN
        if error is not None:
            status = access_log.REFUSED
        session.sessions.access.began(
            "publish", session.instance, session.client, event.msid, request.name, status
        )

    session.ask(admit_publisher(session.instance, session.client, request), decided)


def _receive_audio(session: Session, event: ReceiveAudio) -> None:
    _streams(session, event.msid).want(session, event.msid, media.AUDIO, event.flag)


def _receive_video(session: Session, event: ReceiveVideo) -> None:
    _streams(session, event.msid).want(session, event.msid, media.VIDEO, event.flag)


def _pause(session: Session, event: PauseRequested) -> None:
    _streams(session, event.msid).pause(session, event.msid, event.paused)


def _seek(session: Session, event: SeekRequested) -> None:
    _streams(session, event.msid).seek(session, event.msid, event.position)


def _streams(session: Session, msid: int) -> LiveStreams | RecordedStreams:
    """Those that a message stream plays one of."""
    recorded = session.instance.recorded
    return recorded if recorded.is_playing(session, msid) else session.instance.live


def _buffer_length(session: Session, event: BufferLengthSet) -> None:
    if session.joined:
        session.instance.recorded.set_buffer(session, event.msid, event.milliseconds)


def _ping_answered(session: Session, event: PingAnswered) -> None:
    session.calls.ping_answered(event)


def _call_answered(session: Session, event: CallAnswered) -> None:
    session.calls.answered(event)


def _command(session: Session, event: CommandReceived) -> None:
    builtin = _COMMANDS.get(event.name)
    if builtin is not None:
        builtin(session, event)
    else:
        session.instance.calls.receive(session, event)


# --- commands that FMS answers itself


def _answer_undefined(session: Session, event: CommandReceived) -> None:
    session.answer(event.transaction, replies.result(pyamf.Undefined))


def _fc_publish(session: Session, event: CommandReceived) -> None:
    _answer_undefined(session, event)
    session.tell("onFCPublish", replies.fc_publish(_first_text(session, event)))


def _fc_unpublish(session: Session, event: CommandReceived) -> None:
    _answer_undefined(session, event)
    session.tell("onFCUnpublish", replies.fc_unpublish(_first_text(session, event)))


def _fc_subscribe(session: Session, event: CommandReceived) -> None:
    values = replies.status(LEVEL_STATUS, PLAY_START, _first_text(session, event))
    session.tell("onFCSubscribe", values)


def _fc_unsubscribe(session: Session, event: CommandReceived) -> None:
    values = replies.status(LEVEL_STATUS, PLAY_STOP, _first_text(session, event))
    session.tell("onFCUnsubscribe", values)


def _stream_length(session: Session, event: CommandReceived) -> None:
    """In seconds; 0 of what is live, not there, or not for this client."""
    request = StreamRequest.parse(_first_text(session, event), "play", session.app)

    def found(recording: Recording | None, error: BaseException | None) -> None:
        seconds = 0.0
        if recording is not None:
            seconds = recording.duration_ms / 1000
            recording.abandon()
        session.answer(event.transaction, replies.result(seconds))

    if may_access(session.client.read_access, request.name):
        session.ask(find_recording(session.instance, request.name), found)
    else:
        found(None, None)


def _check_bandwidth(words: Words) -> Callable[[Session, CommandReceived], None]:
    def check(session: Session, event: CommandReceived) -> None:
        _answer_undefined(session, event)
        if session.bandwidth is None:
            session.bandwidth = BandwidthCheck(session.link.call, session.outbox.limit // 8)

        def measured(found: Bandwidth | None, error: BaseException | None) -> None:
            if error is not None and not isinstance(error, (ConnectionLost, CancelledError)):
                session.log.error("bandwidth_check_failed", exc_info=error)
            if found is not None and not session.closing:
                session.tell(words.done, (None, *words.told(found)))

        session.begin(session.bandwidth.measure(words), measured)

    return check


def _close(session: Session, event: CommandReceived) -> None:
    session.end("closed by the client", clean=True)


def _first_text(session: Session, event: CommandReceived) -> str:
    _, arguments = event.command_object_and_arguments(session.connection.limits.values)
    return arguments[0] if arguments and isinstance(arguments[0], str) else ""


_COMMANDS: Final[dict[str, Callable[[Session, CommandReceived], None]]] = {
    "releaseStream": _answer_undefined,
    "FCPublish": _fc_publish,
    "FCUnpublish": _fc_unpublish,
    "FCSubscribe": _fc_subscribe,
    "FCUnsubscribe": _fc_unsubscribe,
    "getStreamLength": _stream_length,
    "checkBandwidth": _check_bandwidth(FMS),
    "_checkbw": _check_bandwidth(OLD),
    "close": _close,
}

_EVENTS: Final[dict[type, Callable[[Session, Any], None]]] = {
    ConnectRequested: _connect,
    SharedObjectReceived: _shared_object,
    MediaReceived: _media,
    CommandReceived: _command,
    CallAnswered: _call_answered,
    PingAnswered: _ping_answered,
    StreamCreateRequested: _create_stream,
    StreamClosed: _end_stream,
    StreamDeleted: _end_stream,
    PublishRequested: _publish,
    PlayRequested: playing.play,
    TransitionRequested: playing.go_over,
    ReceiveAudio: _receive_audio,
    ReceiveVideo: _receive_video,
    PauseRequested: _pause,
    SeekRequested: _seek,
    BufferLengthSet: _buffer_length,
}
