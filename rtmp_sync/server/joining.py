"""A client's connect: from what it asks to its place in an instance, or to a refusal.

`admission.py` has what is asked of the application; here is what becomes of the connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rtmp_sync.errors import ProtocolError
from rtmp_sync.protocol import replies
from rtmp_sync.protocol.events import ConnectRequested
from rtmp_sync.server.admission import Admitted, Refused, admit, session_key_of
from rtmp_sync.server.authority import Deposed
from rtmp_sync.server.fanout import Subscriber
from rtmp_sync.server.instances import split_app

if TYPE_CHECKING:
    from rtmp_sync.server.session import Session

__all__ = ["LEAVING", "begin_admission"]

LEAVING = "This server goes out of service: connect again, to the same address."
_MAX_TOLD_CHARS: Final = 200  # of what a client that is not let in has chosen, in the log


def begin_admission(session: Session, request: ConnectRequested) -> None:
    """Hold everything else of the client until the application has decided."""
    if session.sessions.draining:
        _refuse(session, request, Refused(replies.connect_app_shutdown(LEAVING), "draining"))
        return

    def decided(result: Admitted, error: BaseException | None) -> None:
        _decided(session, request, result, error)

    instances = session.sessions.instances
    question = admit(instances, request, session.link, session.address, session.protocol)
    session.ask(question, decided)


def _decided(
    session: Session, request: ConnectRequested, result: Admitted, error: BaseException | None
) -> None:
    if session.closing:
        if error is None:  # accepted, but gone meanwhile
            result.instance.disconnected(result.client, "lost")
        return
    if isinstance(error, Refused):
        _refuse(session, request, error)
        return
    if error is not None:
        session.end(f"connect failed: {error!r}")
        return
    if result.instance.stopped:  # it was unloaded meanwhile
        values = replies.connect_app_shutdown("The application was shut down.")
        _refuse(session, request, Refused(values, "its application has ended"))
        return
    try:
        _join(session, request, result)
    except (ProtocolError, Deposed) as refusal:
        if not session.joined and session.turn.authorised:
            result.instance.disconnected(result.client, "lost")  # accepted all the same
        session.end(str(refusal))


def _join(session: Session, request: ConnectRequested, admitted: Admitted) -> None:
    """The application has accepted its connect."""
    instance, client, sessions = admitted.instance, admitted.client, session.sessions
    session.instance, session.client = instance, client
    session.session_key = session_key_of(request.params)
    sessions.instances.join(instance, client, session.session_key)
    session.joined = True
    sessions.access.connected(instance, client)
    sessions.joined(session)
    connection = session.connection
    session.turn.send(session.outbox, 0, connection.accept_connect(request))
    session.subscriber = Subscriber(
        session.outbox,
        object_encoding=connection.object_encoding,
        chunk_size=connection.chunk_size,
    )
    session.log = session.log.bind(client=client.id, app=instance.scope)
    session.log.info("connected", user=client.user_name, user_type=client.user_type)
    if sessions.draining:  # it was being admitted when the others were asked
        session.link.ask_to_leave()


def _refuse(session: Session, request: ConnectRequested, refusal: Refused) -> None:
    names = split_app(request.app)
    scope = "/".join(names)  # without its query, in which keys are
    reason = refusal.reason[:_MAX_TOLD_CHARS]
    session.log.info("connect_refused", app=scope[:_MAX_TOLD_CHARS], reason=reason)
    session.sessions.tally.rejected += 1
    session.sessions.refused["connect"] += 1
    session.sessions.access.refused(session.address, session.protocol, *names, reason)
    instance = session.sessions.instances.running(scope)
    if instance is not None:
        instance.tally.rejected += 1
    data = session.connection.reject_connect(request, refusal.values)
    session.turn.send(session.outbox, 0, data)
    session.close_when_sent(f"refused: {reason}")
