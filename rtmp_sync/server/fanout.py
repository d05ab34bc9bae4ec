"""One shared object, who uses it, and what the current turn did to it.

A turn collects; its end encodes each event once per form (type 19 for AMF0 clients, type 16
for AMF3 ones) and chunk size, and every user gets one message with all of it:

    a slot was set             success (5) to its writer     change (4) to the others
    a slot was set to null     success (5) to its writer     remove (9) to the others
    a slot was removed         remove (9) to everyone
    cleared                    clear (8) to everyone
    sent                       send (6) to everyone, the sender too

While the application has it locked nothing of this is told; what clients ask meanwhile waits in
`SharedObjects`, which goes on with it when it is unlocked.

Values are spliced as they came in. One with AMF references inside itself counts its reference
slots from the start of the message, so it gets a message of its own.
The initial dump is use success (11), clear (8), changes (4). `docs: wire/sharedobject.md`.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple, Protocol

import structlog

from rtmp_sync.server.object_limits import slot_bytes
from rtmp_sync.server.object_settings import ObjectSettings, SyncItem
from rtmp_sync.server.outbox import Outbox
from rtmp_sync.server.splice import Item, change_item, pack, plain_item, send_item
from rtmp_sync.server.turn import Turn
from rtmp_sync.state.shared_object import SharedObject
from rtmp_sync.wire import amf0
from rtmp_sync.wire import shared_object as wire
from rtmp_sync.wire.constants import LEVEL_ERROR
from rtmp_sync.wire.limits import STORED

__all__ = ["Fanout", "Slots", "Subscriber"]

# What a turn did to the object, as `on_sync` calls it; SEND is no change.
CHANGE: Final = "change"
DELETE: Final = "delete"
CLEAR: Final = "clear"
SEND: Final = "send"
SUCCESS: Final = "success"

Form = tuple[bool, int]  # AMF3 or not, chunk size: clients of one form get the same bytes

_LOG = structlog.get_logger("rtmp_sync.app")

_CLEAR: Final = plain_item(wire.EVENT_CLEAR)


class Subscriber:
    """A client as a user of shared objects. object_encoding: 0 or 3."""

    __slots__ = ("form", "outbox")

    def __init__(self, outbox: Outbox, *, object_encoding: int, chunk_size: int) -> None:
        self.outbox = outbox
        self.form: Form = (object_encoding == 3, chunk_size)


class Slots(Protocol):
    """What edits the slots of an object."""

    def set_slot(self, obj: SharedObject, key: str, raw: bytes, version: int) -> None: ...

    def delete_slot(self, obj: SharedObject, key: str, version: int) -> None: ...

    def clear(self, obj: SharedObject, version: int) -> None: ...


class _Op(NamedTuple):
    """One thing that happened. code: SUCCESS, where the application has set a slot. writer: who
    is told `success` in place of the event."""

    code: str
    writer: Subscriber | None
    key: str
    raw: bytes
    flags: int | None  # of raw, as scanned; None: not scanned yet


class Fanout:
    """A shared object at work. `obj` is its replicated state, changed only here."""

    __slots__ = (
        "_bytes",
        "_dumps",
        "_groups",
        "_locks",
        "_ops",
        "_said",
        "_turn",
        "obj",
        "on_unlocked",
        "pinned",
        "run",
        "settings",
    )

    def __init__(self, turn: Turn, obj: SharedObject) -> None:
        self.obj = obj
        self.settings = ObjectSettings()  # the application's
        self.run: Callable[..., object] = _call  # what runs its listeners
        self.on_unlocked: Callable[[], None] = lambda: None
        self.pinned = False  # the application holds it: it outlives its last user
        self._turn = turn
        self._bytes = -1  # of its slots; not counted yet
        self._locks = 0
        self._ops: list[_Op] = []
        self._said: list[bytes] = []  # by clients to all, which the application listens to
        self._groups: dict[Form, dict[Subscriber, Outbox]] = {}
        self._dumps: dict[Form, bytes] = {}  # of the object as it is; emptied by a change

    @property
    def held_bytes(self) -> int:
        """What names and values of its slots come to."""
        if self._bytes < 0:
            self._bytes = sum(slot_bytes(key, raw) for key, raw in self.obj.slots.items())
        return self._bytes

    # Users

    @property
    def used(self) -> bool:
        """Whether any client uses it or the application holds it."""
        return self.pinned or any(self._groups.values())

    @property
    def users(self) -> int:
        """How many clients use it."""
        return sum(map(len, self._groups.values()))

    def uses(self, subscriber: Subscriber) -> bool:
        """Whether this client uses it."""
        return subscriber in self._groups.get(subscriber.form, ())

    def dismiss(self) -> list[Subscriber]:
        """Remove all users, after they were told what happened; who they were."""
        self.finish_turn()
        users = [subscriber for group in self._groups.values() for subscriber in group]
        for subscriber in users:
            self.release(subscriber)
        return users

    def use(self, subscriber: Subscriber, version: int) -> None:
        """Add a user who last saw `version` (0: never) and tell it what it lacks."""
        self.finish_turn()  # what came before belongs into the dump, not behind it
        form = subscriber.form
        self._groups.setdefault(form, {})[subscriber] = subscriber.outbox
        known = version and version >= self.settings.oldest(self.obj.version)
        missed = self.obj.since(version) if known else None
        if missed is None:
            data = self._dumps.get(form) or self._dump(form)
        else:
            amf3 = form[0]
            items = [
                plain_item(wire.event_remove(key))
                if value is None
                else change_item(key, value, None, amf3)
                for key, value in missed
            ]
            data = self._pack(form, _led_by(wire.EVENT_USE_SUCCESS, items), known=version)
        self._turn.send(subscriber.outbox, 0, data)

    def release(self, subscriber: Subscriber) -> None:
        """Remove a user; it is told nothing more."""
        self._groups.get(subscriber.form, {}).pop(subscriber, None)

    # The application alone

    @property
    def locked(self) -> bool:
        """Whether nobody but the application changes it now."""
        return self._locks > 0

    def lock(self) -> None:
        """One more reason to tell nobody anything; what was done before is told first."""
        if not self._locks:
            self.finish_turn()
        self._locks += 1

    def unlock(self) -> None:
        """One reason less. Raises RuntimeError if there is none."""
        if not self._locks:
            raise RuntimeError(f"{self.obj.full_name} is not locked")
        self._locks -= 1
        if not self._locks:
            if self._ops:
                self._turn.join(self)
            self.on_unlocked()

    # What is done to it. writer: the client that asked, None for the application

    def next_version(self) -> int:
        """The version that the changes of one message share."""
        return self._turn.state.next_version(self.obj)

    def set(
        self, writer: Subscriber | None, key: str, raw: bytes, flags: int | None, version: int
    ) -> None:
        """Set a slot to AMF0-form bytes; `flags` as scanned, None when not known.

        Raises LocalProtocolError for a value that is too big.
        """
        self._set(SUCCESS if writer is None else CHANGE, writer, key, raw, flags, version)

    def delete(self, asked: Subscriber | None, key: str, version: int) -> None:
        """Delete a slot and tell everyone; of a slot that is not there only who asked."""
        if key in self.obj.slots:
            self._delete(key, version)
            self._add(_Op(DELETE, None, key, b"", None))
        elif asked is not None:
            self._answer(asked, plain_item(wire.event_remove(key)))

    def set_null(self, writer: Subscriber, key: str, version: int) -> None:
        """Delete a slot because a client set it to null or undefined."""
        if key in self.obj.slots:
            self._delete(key, version)
            self._add(_Op(DELETE, writer, key, b"", None))
        else:
            self._answer(writer, plain_item(wire.event_success(key)))

    def clear(self, asked: Subscriber | None, version: int) -> None:
        """Delete every slot; everyone is told the same, whoever asked."""
        self._slots().clear(self.obj, version)
        self._bytes = 0
        self._add(_Op(CLEAR, None, "", b"", None))

    def send(self, raw: bytes, flags: int | None, *, by_client: bool = False) -> None:
        """Pass AMF0-form values (handler name first) on; the version stays what it is."""
        self._slots()
        self._turn.commit.also_waits(self._turn.barrier, len(raw))
        self._add(_Op(SEND, None, "", raw, flags))
        if by_client and self.settings.on_message is not None:
            self._said.append(raw)

    def refuse(self, writer: Subscriber, code: str, key: str | None = None) -> None:
        """Tell a client `status`, and with `key` what that slot really holds."""
        told = wire.event_status(code, LEVEL_ERROR)
        alone = False
        if key is not None:
            value = self.obj.slots.get(key)
            held, alone = (
                plain_item(wire.event_remove(key))
                if value is None
                else change_item(key, value, None, writer.form[0])
            )
            told += held  # in one message even if it has references: a status holds no value
        self._answer(writer, (told, alone))

    def finish_turn(self) -> None:
        """Encode what this turn did, and put it into the users' outboxes."""
        ops = self._ops
        if not ops or self._locks:
            return
        self._ops = []
        writers = {op.writer for op in ops if op.writer is not None}
        barrier = self._turn.barrier
        for form, group in self._groups.items():
            if group:
                self._tell(form, group, ops, writers, barrier)
        self._turn.schedule()
        said, self._said = self._said, []
        on_sync, on_message = self.settings.on_sync, self.settings.on_message
        items = _sync_items(ops) if on_sync is not None else []
        if on_sync is not None and items:
            self._tell_application("on_sync", on_sync, items)
        if on_message is not None:
            for raw in said:
                self._tell_application("on_message", on_message, *amf0.decode(raw, STORED))

    async def flush(self) -> None:
        """Wait until what was done so far survives the loss of this origin."""
        await self._turn.committed()

    def _slots(self) -> Slots:
        """To change them now. Raises Deposed."""
        return self._turn.writable()

    def _set(
        self,
        code: str,
        writer: Subscriber | None,
        key: str,
        raw: bytes,
        flags: int | None,
        version: int,
    ) -> None:
        slots = self._slots()
        freed = self._freed(key)
        slots.set_slot(self.obj, key, raw, version)
        if self._bytes >= 0:
            self._bytes += slot_bytes(key, raw) - freed
        self._add(_Op(code, writer, key, raw, flags))

    def _delete(self, key: str, version: int) -> None:
        slots = self._slots()
        freed = self._freed(key)
        slots.delete_slot(self.obj, key, version)
        self._bytes -= freed

    def _freed(self, key: str) -> int:
        """What goes with the present value of a slot, where that is counted."""
        old = self.obj.slots.get(key) if self._bytes >= 0 else None
        return slot_bytes(key, old) if old is not None else 0

    # Encoding

    def _add(self, op: _Op) -> None:
        if not self._ops:
            self._turn.join(self)
        if self._dumps and op.code != SEND:
            self._dumps.clear()
        self._ops.append(op)

    def _tell_application(self, what: str, listener: Callable[..., object], *said: object) -> None:
        try:
            self.run(listener, *said)
        except Exception:  # the application's own; everyone else's turn goes on
            _LOG.exception(
                "listener_failed",
                listener=what,
                instance=self.obj.scope,
                object=self.obj.full_name,
            )

    def _answer(self, to: Subscriber, *items: Item) -> None:
        """Tell one client something, after what happened before it."""
        self.finish_turn()
        self._turn.send(to.outbox, 0, self._pack(to.form, list(items)))

    def _tell(
        self,
        form: Form,
        group: dict[Subscriber, Outbox],
        ops: list[_Op],
        writers: AbstractSet[Subscriber],
        barrier: int,
    ) -> None:
        items = [_item(op, form[0]) for op in ops]
        others = (
            [outbox for subscriber, outbox in group.items() if subscriber not in writers]
            if writers
            else group.values()
        )
        if others:
            self._turn.outlets.put_all(others, barrier, self._pack(form, items))
        for writer in writers:
            if writer in group:
                own = [
                    plain_item(wire.event_success(op.key)) if op.writer is writer else item
                    for op, item in zip(ops, items, strict=True)
                ]
                writer.outbox.put(barrier, 0, self._pack(form, own))

    def _dump(self, form: Form) -> bytes:
        items = [change_item(key, value, None, form[0]) for key, value in self.obj.slots.items()]
        items = _led_by(wire.EVENT_USE_SUCCESS + wire.EVENT_CLEAR, items)
        data = self._dumps[form] = self._pack(form, items, known=0)
        return data

    def _pack(self, form: Form, items: list[Item], known: int | None = None) -> bytes:
        """known: the version of who is being caught up. Until the last message it has no other:
        when its connection ends in the middle, it returns with that one."""
        obj = self.obj
        header = wire.header(obj.name, obj.version, obj.persistent)
        not_last = None if known is None else wire.header(obj.name, known, obj.persistent)
        return pack(header, items, amf3=form[0], chunk_size=form[1], not_last=not_last)


def _led_by(opening: bytes, items: list[Item]) -> list[Item]:
    """A dump. The opening holds no value, so it shares a message with any item; and a first
    message without a slot is one of an object without slots."""
    if not items:
        return [plain_item(opening)]
    (first, alone), *others = items
    return [(opening + first, alone), *others]


def _item(op: _Op, amf3: bool) -> Item:
    if op.code in (CHANGE, SUCCESS):
        return change_item(op.key, op.raw, op.flags, amf3)
    if op.code == DELETE:
        return plain_item(wire.event_remove(op.key))
    if op.code == CLEAR:
        return _CLEAR
    return send_item(op.raw, op.flags, amf3)


def _sync_items(ops: list[_Op]) -> list[SyncItem]:
    """As the application is told."""
    return [{"code": op.code, "name": op.key} for op in ops if op.code != SEND]


def _call(listener: Callable[..., object], *said: object) -> object:
    return listener(*said)
