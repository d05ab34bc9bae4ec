"""What `play` and `play2` do: who may, what it is, and which streams play it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from rtmp_sync.errors import Reject
from rtmp_sync.protocol.events import PlayRequested, TransitionRequested
from rtmp_sync.protocol.netstream import PLAYING
from rtmp_sync.server import access_log
from rtmp_sync.server.peer_stream import PeerStream
from rtmp_sync.server.recorded_player import Request
from rtmp_sync.server.stream_admission import admit_player
from rtmp_sync.server.tasks import Done
from rtmp_sync.server.transition import announce, completed, play_status
from rtmp_sync.storage.recording import Recording
from rtmp_sync.stream_request import StreamRequest
from rtmp_sync.wire.constants import LEVEL_ERROR, PLAY_FAILED, PLAY_TRANSITION_COMPLETE

if TYPE_CHECKING:
    from rtmp_sync.server.session import Session

__all__ = ["go_over", "play"]


def play(session: Session, event: PlayRequested) -> None:
    """Play, instead of what plays or after it."""
    msid = event.msid
    name = StreamRequest.parse(event.name, "play").name

    def decided(recording: Recording | None, error: BaseException | None) -> None:
        instance = session.instance
        if error is not None:
            instance.recorded.stop(session, msid)
            instance.live.stop(session, msid)
            session.connection.streams.stop(msid)
            session.refuse_stream(msid, PLAY_FAILED, error)
        else:
            _begin(session, event, name, recording)
        kind = "recorded" if recording is not None else "live"
        session.log.info("play", stream=name, kind=kind, accepted=error is None)
        status = access_log.OK if error is None else access_log.REFUSED
        session.sessions.access.began("play", instance, session.client, msid, name, status)

    _ask(session, event, decided)


def _begin(session: Session, event: PlayRequested, name: str, recording: Recording | None) -> None:
    """Play it now, or see that this is called again when what plays is over."""
    msid, part, reset = event.msid, event.range, bool(event.reset & 1)
    live, recorded = session.instance.live, session.instance.recorded
    again = partial(_begin, session, event, name, recording)
    if not reset:
        if live.append(session, msid, again):
            return
        follows = recording is None or recorded.leads_on(session, msid)
        if follows and recorded.lead_on(session, msid, again):
            return
    if recording is None:
        recorded.stop(session, msid)
        live.play(session, msid, name, reset=reset, duration_ms=part.duration_ms)
        return
    live.stop(session, msid)
    origin_ms = 0 if event.resumes else part.start_ms
    wanted = Request(name, recording, part, origin_ms)
    recorded.play(session, msid, wanted, event.reset, waits=event.waits)


def go_over(session: Session, event: TransitionRequested) -> None:
    """Play something else from a place on at which nobody sees it; until then what plays now,
    and for good if the other cannot be played."""
    msid = event.msid
    name = StreamRequest.parse(event.name, "play").name

    def decided(recording: Recording | None, error: BaseException | None) -> None:
        accepted = error is None and _go_over(session, event, name, recording)
        if not accepted:
            text = str(error) if isinstance(error, Reject) else f"There is no place in {name}."
            session.status(msid, LEVEL_ERROR, PLAY_FAILED, text)
        kind = "recorded" if recording is not None else "live"
        session.log.info("play2", stream=name, kind=kind, accepted=accepted)

    _ask(session, event, decided)


def _go_over(
    session: Session, event: TransitionRequested, name: str, recording: Recording | None
) -> bool:
    """Whether there is a place for it."""
    msid, part = event.msid, event.range
    live, recorded = session.instance.live, session.instance.recorded
    to = PeerStream(session.turn, session, msid)
    if recording is None:
        if not (live.is_published(name) or session.instance.relays.pulls(name)):
            return False
        announce(to, name)
        live.go_over(session, msid, name, lambda: recorded.stop(session, msid))
        return True
    request = Request(name, recording, part, part.start_ms)
    if not recorded.is_playing(session, msid):  # what is live has no time to go on from
        live.stop(session, msid)
        announce(to, name)
        to.data(play_status(PLAY_TRANSITION_COMPLETE, **completed(name)))
        recorded.play(session, msid, request, 0)
        return True
    live.stop(session, msid)
    if event.swap:
        recorded.swap(session, msid, request, StreamRequest.parse(event.old_name, "play").name)
        return True
    found = recorded.switch(session, msid, request, event.offset_ms)
    if not found:
        recording.abandon()
    return found


def _ask(session: Session, event: PlayRequested | TransitionRequested, decided: Done) -> None:
    request = StreamRequest.parse(event.name, "play", session.app)

    def if_there(recording: Recording | None, error: BaseException | None) -> None:
        if not session.closing and session.connection.streams.doing(event.msid) == PLAYING:
            decided(recording, error)
        elif recording is not None:
            recording.abandon()

    question = admit_player(session.instance, session.client, request, event.range.source)
    session.ask(question, if_there)
