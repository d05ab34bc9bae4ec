"""What an origin does for clients, cut down to what matters: shared objects, keyed calls, reads.

Everything a client is told goes through the real `Turn`, `Outbox` and `CommitPoint`, so that
the real barriers hold it back; everything that is written goes through `Turn.writable`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from rtmp_sync.server.authority import Deposed
from rtmp_sync.server.outbox import Outbox
from rtmp_sync.server.turn import Turn
from rtmp_sync.state.calls import BEGUN
from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.state.shared_object import SharedObject

__all__ = ["CALLS", "MARK", "SCOPE", "Message", "Operation", "Peer", "Service", "Session", "Write"]

SCOPE = "app/room"
MARK = "cleared"  # the slot that holds what was cleared last
CALLS = "P:calls"  # how often each keyed call ran
OUTBOX_BYTES = 1 << 30
ID_BYTES = 8


@dataclass(frozen=True, slots=True)
class Write:
    """A slot of an object as somebody saw it. value None: deleted."""

    name: str
    key: str
    value: bytes | None
    version: int


@dataclass(frozen=True, slots=True)
class Operation:
    """kind: "set", "delete", "clear", "destroy", "read", "call", "use"."""

    kind: str
    name: str = ""
    key: str = ""
    value: bytes = b""
    number: int = 0
    lowest_open: int = 0
    version: int = 0
    seconds: float = 0.0  # that a call runs


@dataclass(frozen=True, slots=True)
class Message:
    """To a client. head: of the journal when it was made. writes: what it lets the client see.

    kind: "done", "change", "cleared", "dump", "read", "result", "interrupted". full: a dump
    that replaces what the client has.
    """

    kind: str
    head: int
    writes: tuple[Write, ...] = ()
    operation: Operation | None = None
    result: bytes = b""
    name: str = ""
    version: int = 0
    full: bool = False


class Peer(Protocol):
    """A client, as its server sees it."""

    @property
    def key(self) -> bytes: ...

    def receive(self, session: Session, message: Message) -> None: ...

    def cut(self, session: Session) -> None: ...


class Session:
    """One client's connection to one process."""

    def __init__(self, service: Service, peer: Peer) -> None:
        self.service = service
        self.peer = peer
        self.open = True
        self.uses: set[str] = set()
        self.outbox = Outbox(service.turn.outlets, OUTBOX_BYTES, self._stuck)
        self.outbox.open(self)

    def write(self, data: bytes) -> None:
        """As the outbox's transport: these messages leave now."""
        for start in range(0, len(data), ID_BYTES):
            number = int.from_bytes(data[start : start + ID_BYTES])
            message = self.service.messages[number]
            self.service.leaves(message)
            self.peer.receive(self, message)

    def end(self) -> None:
        if self.open:
            self.open = False
            self.outbox.close()
            self.peer.cut(self)

    def _stuck(self) -> None:
        raise AssertionError("an outbox without a bound is never stuck")


@dataclass(slots=True)
class Service:
    """leaves: told each message that leaves. accepted: told before each change."""

    state: ReplicatedState
    turn: Turn
    after: Callable[..., None]
    leaves: Callable[[Message], None]
    accepted: Callable[[], None]
    sessions: list[Session] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    held: list[tuple[Session, Operation]] = field(default_factory=list)
    holding: bool = False
    _running: dict[tuple[bytes, int], list[Session]] = field(default_factory=dict)

    def connect(self, peer: Peer) -> Session | None:
        """None: this origin does not serve."""
        if not self.turn.authorised:
            return None
        for old in [one for one in self.sessions if one.peer is peer]:
            self.leave(old)
        session = Session(self, peer)
        self.sessions.append(session)
        self._writable().join_client(SCOPE, peer.key.hex(), b"")
        return session

    def leave(self, session: Session) -> None:
        """The client is gone."""
        if session not in self.sessions:
            return
        self.sessions.remove(session)
        session.open = False
        session.outbox.close()
        if self.turn.authorised:
            self._writable().leave_client(SCOPE, session.peer.key.hex())

    def cut(self) -> None:
        """The gate closes: everybody goes."""
        sessions, self.sessions = self.sessions, []
        self.held.clear()
        for session in sessions:
            session.end()

    def hold(self, on: bool) -> None:
        self.holding = on
        if not on:
            held, self.held = self.held, []
            for session, operation in held:
                self.receive(session, operation)

    def let_go(self) -> None:
        """A promotion or the end of one: what runs is not ours any more."""
        self._running.clear()

    def promoted(self, epoch: int) -> None:
        self.after(1.0, self._remove_orphans, epoch)

    def receive(self, session: Session, operation: Operation) -> None:
        if not session.open:
            return
        if self.holding:
            self.held.append((session, operation))
            return
        try:
            self._serve(session, operation)
        except Deposed:
            self.leave(session)
            session.peer.cut(session)

    def _serve(self, session: Session, operation: Operation) -> None:
        match operation.kind:
            case "set" | "delete":
                self._change(session, operation)
            case "clear" | "destroy":
                self._clear(session, operation)
            case "read":
                self._read(session, operation)
            case "call":
                self._call(session, operation)
            case "use":
                self._use(session, operation)

    def _writable(self) -> ReplicatedState:
        state = self.turn.writable()
        self.accepted()
        return state

    def _object(self, name: str) -> SharedObject:
        found = self.state.find(SCOPE, name[2:], name[0])
        return (
            found if found is not None else self._writable().shared_object(SCOPE, name[2:], name[0])
        )

    def _change(self, session: Session, operation: Operation) -> None:
        write = self._set(operation.name, operation.key, operation)
        self._send(session, Message("done", self._head, (write,), operation))

    def _clear(self, session: Session, operation: Operation) -> None:
        """Everything goes but a mark, which tells later that it did."""
        state, obj, name = self._writable(), self._object(operation.name), operation.name
        used = any(name in other.uses for other in self.sessions)
        if operation.kind == "destroy" and not used:
            state.destroy(obj)
            obj = self._object(name)
        else:
            state.clear(obj, state.next_version(obj))
        version = obj.version
        state.set_slot(obj, MARK, operation.value, version)
        write = Write(name, MARK, operation.value, version)
        for other in self.sessions:
            if name in other.uses:
                self._send(other, Message("cleared", self._head, (write,), name=name))
        self._send(session, Message("done", self._head, (write,), operation))

    def _set(self, name: str, key: str, operation: Operation, value: bytes = b"") -> Write:
        state, obj = self._writable(), self._object(name)
        version = state.next_version(obj)
        if operation.kind == "delete":
            state.delete_slot(obj, key, version)
            write = Write(name, key, None, version)
        else:
            value = value or operation.value
            state.set_slot(obj, key, value, version)
            write = Write(name, key, value, version)
        change = None
        for other in self.sessions:
            if name in other.uses:
                change = change or Message("change", self._head, (write,), name=name)
                self._send(other, change)
        return write

    def _read(self, session: Session, operation: Operation) -> None:
        """A call that changes nothing."""
        obj = self.state.find(SCOPE, operation.name[2:], operation.name[0])
        writes: tuple[Write, ...] = ()
        if obj is not None and (value := obj.slots.get(operation.key)) is not None:
            version = obj.versions[operation.key]
            writes = (Write(operation.name, operation.key, value, version),)
        self._reply(session, Message("read", self._head, writes, operation))

    def _use(self, session: Session, operation: Operation) -> None:
        obj = self._object(operation.name)
        changed = obj.since(operation.version)
        full = changed is None
        if changed is None:
            changed = list(obj.slots.items())
        writes = tuple(
            Write(
                obj.full_name,
                key,
                value,
                obj.versions[key] if value is not None else obj.tombstones[key],
            )
            for key, value in changed
        )
        session.uses.add(operation.name)
        name, version = operation.name, obj.version
        self._send(session, Message("dump", self._head, writes, None, b"", name, version, full))

    def _call(self, session: Session, operation: Operation) -> None:
        key, number = session.peer.key, operation.number
        outcome = self.state.call_outcome(key, number)
        if outcome is None:
            self._writable().begin_call(key, number, operation.lowest_open)
            self._running[key, number] = [session]
            epoch = self.turn.authority.epoch
            if operation.seconds:
                self.after(operation.seconds, self._finish, epoch, key, operation)
            else:
                self._finish(epoch, key, operation)
        elif isinstance(outcome, bytes):
            self._reply(session, Message("result", self._head, (), operation, outcome))
        elif (waiting := self._running.get((key, number))) is not None:
            waiting.append(session)
        else:
            assert outcome is BEGUN
            self._reply(session, Message("interrupted", self._head, (), operation))

    def _finish(self, epoch: int, key: bytes, operation: Operation) -> None:
        waiting = self._running.pop((key, operation.number), None)
        if waiting is None:
            return
        if epoch != self.turn.authority.epoch or not self.turn.authorised:
            for session in waiting:
                if session.open:
                    self.leave(session)
                    session.peer.cut(session)
            return
        slot_key = f"{key.hex()}.{operation.number}"
        former = self._object(CALLS).slots.get(slot_key)
        runs = int(former.split()[0]) + 1 if former is not None else 1
        value = b"%d %s" % (runs, operation.value)
        write = self._set(CALLS, slot_key, operation, value)
        self.state.finish_call(key, operation.number, value)
        for session in waiting:
            self._reply(session, Message("result", self._head, (write,), operation, value))

    def _remove_orphans(self, epoch: int) -> None:
        if self.turn.authority.epoch != epoch or not self.turn.authorised:
            return
        here = {session.peer.key.hex() for session in self.sessions}
        for scope, client, _ in self.state.orphans():
            if client not in here:
                self._writable().leave_client(scope, client)

    @property
    def _head(self) -> int:
        return self.state.journal.head

    def _send(self, session: Session, message: Message) -> None:
        if session.open:
            self.turn.send(session.outbox, 0, self._number(message))

    def _reply(self, session: Session, message: Message) -> None:
        if session.open:
            self.turn.reply(session.outbox, 0, self._number(message))

    def _number(self, message: Message) -> bytes:
        self.messages.append(message)
        return (len(self.messages) - 1).to_bytes(ID_BYTES)
