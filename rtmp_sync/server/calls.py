"""Remote calls of one application instance.

    command ─► whitelist of the caller's user type ─► rates ─► arguments decoded, checked
            ─► keyed: was it begun before? ─► method ─► result behind its barrier

A call that the whitelist refuses is answered with the very bytes of an unknown one, before
anything of it but its name is decoded. One that comes too often, or with wrong arguments, is
told so. `call("setText", …)` and the article's
`call("call2server", "setText", [ … ])` are the same call.

Exactly once: a client that has a session key numbers its calls. The first batch of such a
call journals that it was begun, the last one its result. A repeat gets the stored result, or
joins the run that is going on; one that was begun on an origin that died is interrupted.
A call with `replay=True` that succeeded runs on the standby too, for its own memory.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import Final, NamedTuple, Protocol

from structlog.stdlib import BoundLogger

from rtmp_sync.app import Application, Client, Method
from rtmp_sync.arguments import WrongArguments, as_list
from rtmp_sync.errors import CallError, LocalProtocolError, RemoteProtocolError
from rtmp_sync.protocol import replies
from rtmp_sync.protocol.connection import Connection
from rtmp_sync.protocol.events import CommandReceived
from rtmp_sync.server.authority import Deposed
from rtmp_sync.server.blocked_loop import LoopBlocked
from rtmp_sync.server.clock import now
from rtmp_sync.server.outbox import Outbox
from rtmp_sync.server.overdue import Overdue, Receiver, Waiter
from rtmp_sync.server.replays import caller
from rtmp_sync.server.running_calls import RunningCalls
from rtmp_sync.server.tasks import Tasks
from rtmp_sync.server.turn import Turn
from rtmp_sync.server.whitelists import Access
from rtmp_sync.state.calls import BEGUN
from rtmp_sync.wire import amf0
from rtmp_sync.wire.constants import (
    CALL_FAILED,
    CALL_INTERRUPTED,
    LEVEL_ERROR,
    MAX_MESSAGE_BYTES,
)
from rtmp_sync.wire.limits import Limits
from rtmp_sync.wire.records import Replay

__all__ = ["CallPeer", "Calls"]

_PROXY: Final = "call2server"  # the article's one entry point: (method, [arguments])
_RESULT: Final = b"\1"  # what a stored outcome begins with
_ERROR: Final = b"\0"
_MAX_RESULT_BYTES: Final = MAX_MESSAGE_BYTES - 64  # beside the command's name and transaction id
_MAX_WAITERS: Final = 64  # for one call; a client asks again once for each of its connections
_MAX_NUMBER: Final = 2**53  # above it, a number on the wire is not an integer any more


class CallPeer(Protocol):
    """The part of a session that calls use."""

    connection: Connection
    outbox: Outbox
    client: Client
    session_key: bytes | None
    log: BoundLogger

    @property
    def closing(self) -> bool: ...

    def end(self, reason: str) -> None: ...


class _Key(NamedTuple):
    """Which call of which session; lowest_open: the lowest number it still waits for."""

    session: bytes
    number: int
    lowest_open: int


class _Run(NamedTuple):
    """A call that goes on. waiter: who asked first. replay: what the standby gets if it ends
    well, if it is to get anything."""

    peer: CallPeer
    waiter: Waiter
    name: str
    key: _Key | None
    epoch: int
    replay: Replay | None


class Calls:
    """Of instance `scope`. access: who may call what of its application."""

    def __init__(
        self,
        turn: Turn,
        tasks: Tasks,
        overdue: Overdue,
        scope: str,
        application: Application,
        access: Access,
        limits: Limits,
        running: RunningCalls,
    ) -> None:
        self._turn = turn
        self._tasks = tasks
        self._overdue = overdue
        self._scope = scope
        self._application = application
        self._access = access
        self._limits = limits
        self._places = running
        # who waits for each keyed call that runs now
        self._running: dict[tuple[bytes, int], list[Waiter]] = {}

    def serve(self, application: Application, access: Access) -> None:
        """From the next call on by this object; those that run end where they began."""
        self._application = application
        self._access = access

    def receive(self, peer: CallPeer, event: CommandReceived) -> None:
        """Run a client's call. Raises Deposed, and RemoteProtocolError for bad arguments."""
        name = self._called(event)
        waiter = Waiter(peer, event.transaction)
        client = peer.client
        access = self._access
        permit = access.whitelist.find(client.user_type, name)
        if permit is None:
            self._refuse(waiter, peer, name, "not_allowed", replies.call_failed(name))
            return
        if permit.limits and not access.rates.admit(client.id, permit.limits, now()):
            if not self._repeats(peer, event):
                values = _failed(f"Called too often ({name}).")
                self._refuse(waiter, peer, name, "rate", values)
                return
        elif self._places.full(client.id) and not self._repeats(peer, event):
            values = _failed(f"Too many calls are running ({name}).")
            self._refuse(waiter, peer, name, "running", values)
            return
        method = self._application.methods[name]
        command_object, passed = event.command_object_and_arguments(self._limits)
        if event.name == _PROXY:
            passed = _proxied(passed)
        try:
            arguments = method.arguments.bind(passed)
        except WrongArguments as wrong:
            values = _failed(f"{wrong} ({name}).")
            self._refuse(waiter, peer, name, "arguments", values, detail=str(wrong))
            return
        access.calls[permit.counted_as] += 1
        replay = None
        if method.replay:  # the arguments as they came: the method may change what it is given
            replay = Replay(0, self._scope, caller(client), name, amf0.encode(*passed))
        key = _key(peer, command_object)
        if key is not None and not self._begin(waiter, key, name):
            return
        epoch = self._turn.authority.epoch
        self._run(method, arguments, _Run(peer, waiter, name, key, epoch, replay))
        if not waiter.answer:
            self._overdue.watch(waiter)

    def _run(self, method: Method, arguments: list[object], run: _Run) -> None:
        def done(value: object, error: BaseException | None) -> None:
            self._finish(run, value, error)

        application, client = self._application, run.peer.client
        try:
            value = self._tasks.call(method.function, application, client, *arguments)
        except (Exception, asyncio.CancelledError) as error:  # its error is the caller's answer
            done(None, error)
            return
        if inspect.iscoroutine(value):
            task = self._tasks.start(value, done)
            if task is not None:
                self._places.watch(task, run.peer.client.id, run.waiter, run.name)
        else:
            done(value, None)

    def _refuse(
        self,
        waiter: Waiter,
        peer: CallPeer,
        name: str,
        reason: str,
        values: replies.Values,
        *,
        detail: str = "",
    ) -> None:
        """Nothing of the application runs; the refusal is counted and noted."""
        self._access.refusals.tell(
            peer.log,
            peer.client,
            name,
            reason,
            counted_as=self._access.whitelist.counted_as(peer.client.user_type, name),
            now=now(),
            detail=detail,
        )
        self._answer_error(waiter, values)

    def _called(self, event: CommandReceived) -> str:
        """The method's name; of a proxied call it is the first argument, decoded alone."""
        if event.name != _PROXY or event.offset >= len(event.payload):
            return event.name
        values, _ = amf0.decode_at(event.payload, event.offset, 2, self._limits)
        name = values[1] if len(values) == 2 else None
        return name if isinstance(name, str) else event.name

    def _repeats(self, peer: CallPeer, event: CommandReceived) -> bool:
        """Whether the call was begun before: whoever repeats it runs nothing and gets what came
        of it. Raises RemoteProtocolError."""
        if peer.session_key is None or event.offset >= len(event.payload):
            return False
        values, _ = amf0.decode_at(event.payload, event.offset, 1, self._limits)
        key = _key(peer, values[0])
        if key is None:
            return False
        call = (key.session, key.number)
        return call in self._running or self._turn.state.call_outcome(*call) is not None

    def _begin(self, waiter: Waiter, key: _Key, name: str) -> bool:
        """Whether to run it: not if it has an outcome, runs now, or was interrupted."""
        waiting = self._running.get((key.session, key.number))
        if waiting is not None:
            _make_room(waiting, key)
            waiting.append(waiter)
            self._overdue.watch(waiter)
            return False
        outcome = self._turn.state.call_outcome(key.session, key.number)
        if outcome is None:
            state = self._turn.writable()
            state.begin_call(key.session, key.number, key.lowest_open, self._scope, name)
            self._running[key.session, key.number] = [waiter]
            return True
        if isinstance(outcome, bytes):
            self._answer(waiter, outcome)
        else:
            assert outcome is BEGUN
            text = "The call was running when its origin failed; it was not run again."
            self._answer_error(waiter, replies.status(LEVEL_ERROR, CALL_INTERRUPTED, text))
        return False

    def _finish(self, run: _Run, value: object, error: BaseException | None) -> None:
        """Tell everyone who waits."""
        key, waiting = run.key, [run.waiter]
        if key is not None:
            waiting = self._running.pop((key.session, key.number), waiting)
        mine = run.epoch == self._turn.authority.epoch and self._turn.authorised
        if not mine or isinstance(error, Deposed):
            # The outcome is not ours to tell: the call stays begun. Who waits comes back and
            # asks whoever serves then, which may be this origin again.
            for waiter in waiting:
                waiter.receiver.end("not the active origin")
            return
        if isinstance(error, asyncio.CancelledError) and self._places.overtime(run.waiter):
            text = f"The method did not end within {self._places.timeout:g} s ({run.name})."
            error = CallError(CALL_FAILED, text)
        elif isinstance(error, LoopBlocked):
            text = f"The method blocked the server and was stopped ({run.name})."
            error = CallError(CALL_FAILED, text)
        outcome = self._outcome(run.peer, run.name, value, error)
        if key is not None:
            outcome = self._store(run, key, outcome)
        for waiter in waiting:
            self._answer(waiter, outcome)
        if run.replay is not None and outcome[:1] == _RESULT:
            self._turn.on_replay(run.replay._replace(seq=self._turn.barrier))

    def _store(self, run: _Run, key: _Key, outcome: bytes) -> bytes:
        """Keep what a repeat is answered with; what that is in the end."""
        try:
            self._turn.writable().finish_call(key.session, key.number, outcome)
        except LocalProtocolError as too_big:
            run.peer.log.error("call_result_too_big", method=run.name, error=str(too_big))
            outcome = _ERROR + _encode(run.peer, _failed(f"The result is too big ({run.name})."))
            self._turn.writable().finish_call(key.session, key.number, outcome)
        return outcome

    def _outcome(
        self, peer: CallPeer, name: str, value: object, error: BaseException | None
    ) -> bytes:
        """What is stored and sent: _RESULT or _ERROR, then the values behind the ids."""
        if error is None:
            try:
                result = _encode(peer, replies.result(value))
                if len(result) > _MAX_RESULT_BYTES:
                    raise LocalProtocolError(f"a result of {len(result)} bytes")
                return _RESULT + result
            except LocalProtocolError as unsayable:
                error = unsayable
        if isinstance(error, CallError):  # raised by the method, for the client to read
            values = replies.status(LEVEL_ERROR, error.code, error.description)
            return _ERROR + _encode(peer, values)
        peer.log.error("call_failed", method=name, exc_info=error)
        return _ERROR + _encode(peer, _failed(f"Method failed ({name})."))

    def _answer(self, waiter: Waiter, outcome: bytes) -> None:
        if waiter.transaction:
            receiver = waiter.receiver
            command = "_result" if outcome[:1] == _RESULT else "_error"
            waiter.answer = receiver.connection.raw_command(
                command, waiter.transaction, outcome[1:]
            )
            self._turn.reply(receiver.outbox, 0, waiter.answer)
            self._overdue.watch(waiter)

    def _answer_error(self, waiter: Waiter, values: replies.Values) -> None:
        self._answer(waiter, _ERROR + _encode(waiter.receiver, values))


def _make_room(waiting: list[Waiter], key: _Key) -> None:
    """For one more who asks for a call that runs: those that have gone wait for nothing."""
    if len(waiting) >= _MAX_WAITERS:
        waiting[:] = [waiter for waiter in waiting if not waiter.receiver.closing]
        if len(waiting) >= _MAX_WAITERS:
            raise RemoteProtocolError(f"call {key.number} was repeated {_MAX_WAITERS} times")


def _encode(peer: Receiver, values: replies.Values) -> bytes:
    return peer.connection.encode_values(*values)


def _failed(description: str) -> replies.Values:
    return replies.status(LEVEL_ERROR, CALL_FAILED, description)


def _proxied(arguments: list[object]) -> list[object]:
    """The arguments of a proxied call; the article's third one, ClientInfo, means nothing here."""
    passed = arguments[1] if len(arguments) > 1 else None
    if passed is None:
        return []
    values = as_list(passed)
    if values is None:
        raise RemoteProtocolError(f"{_PROXY}: the arguments are not an array")
    return values


def _key(peer: CallPeer, command_object: object) -> _Key | None:
    """The call's number, if the client counts its calls."""
    if peer.session_key is None or not isinstance(command_object, dict):
        return None
    number, lowest_open = (command_object.get(key) for key in ("callNumber", "lowestOpen"))
    if number is None:
        return None
    if lowest_open is None:
        lowest_open = 0
    for value in (number, lowest_open):
        if not isinstance(value, (int, float)) or not 0 <= value < _MAX_NUMBER:
            raise RemoteProtocolError(f"call number {value!r}")
    return _Key(peer.session_key, int(number), int(lowest_open))
