"""A remote shared object, seen from a client.

What it shows is what the server confirmed: a slot that is set here changes here when the
server's `success` comes. After a reconnect the object is used again with its last version and
what was not confirmed is written again: setting a slot twice to one value is setting it once.

Where it is the object of an application's own clients too, a `Follower` goes along with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final, Protocol

from rtmp_sync.errors import CallError, ConnectionLost, RtmpSyncError
from rtmp_sync.server.client_link import ClientLink
from rtmp_sync.server.remote_writes import RemoteWrites, SlotWrite, Told
from rtmp_sync.wire import amf0
from rtmp_sync.wire import shared_object as wire
from rtmp_sync.wire.constants import (
    SHARED_OBJECT,
    SHARED_OBJECT_AMF3,
    SO_CHANGE,
    SO_CHANGE_ECHO,
    SO_CLEAR,
    SO_NO_WRITE_ACCESS,
    SO_REMOVE,
    SO_SEND,
    SO_STATUS,
    SO_SUCCESS,
    SO_USE_SUCCESS,
)

__all__ = ["Follower", "RemoteSharedObject"]

# A `send` that cannot leave is lost anyway when the server goes: better the newest than the link.
MAX_WAITING_BYTES: Final = 8 * 1024 * 1024

_NOTHING: Final = frozenset({b"\x05", b"\x06"})  # null and undefined: such a write deletes

SyncItem = dict[str, Any]

_log = logging.getLogger("rtmp_sync.client")


class Follower(Protocol):
    """Is told what the server says, in the order of that and before the call returns; in between
    also of its own writes, by their `Told`."""

    def in_sync(self) -> None:
        """The copy is that of the server, from now on; only then the next two are called."""

    def changed(self, key: str, raw: bytes | None, flags: int) -> None:
        """Somebody else has set a slot (flags: amf0's scan flags of `raw`), or it is deleted."""

    def cleared(self) -> None:
        """All slots are deleted."""

    def said(self, raw: bytes, flags: int) -> None:
        """A `send`: handler name and arguments."""

    def refused(self, code: str) -> None:
        """The server does not let us use it."""

    def lost(self, *, for_good: bool) -> None:
        """The server cannot be reached; for_good: by this object it will not."""


class RemoteSharedObject(Mapping[str, Any]):
    """Made by `NetConnection.shared_object`. A mapping of slot names to values.

    name, persistent: as they were asked for. version: the number of the server's last change.
    on_sync: called with a list of {code, name} after each message of the server, code being
    "change", "delete", "clear", "success" or "reject" ("clear" has no name).
    on_message: called with handler name and arguments of each `send`.

    Writes raise CallError with the server's code if it refuses, ConnectionLost once the object is
    released or the connection is closed; over a reconnect they wait, and are written again.

    Source: ActionScript's class SharedObject (`getRemote`), and the codes of its `onSync`.
    """

    def __init__(
        self,
        name: str,
        persistent: bool,
        on_released: Callable[[RemoteSharedObject], None] = lambda released: None,
    ) -> None:
        self.name = name
        self.persistent = persistent
        self.version = 0
        self.on_sync: Callable[[list[SyncItem]], object] | None = None
        self.on_message: Callable[..., object] | None = None
        self.follower: Follower | None = None
        self.used: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._raw: dict[str, bytes] = {}
        self._values: dict[str, object] = {}  # decoded when first looked at
        self._on_released = on_released
        self._link: ClientLink | None = None
        self.synced = False  # on the present link
        self._asked = 0  # the version that the server was told of when the object was used
        self._dump_from: int | None = None  # the version that a dump under way goes on from
        self._closed = ""  # why there will be no next one
        self._writes = RemoteWrites(self._request)

    # --- the mapping

    def __getitem__(self, key: str) -> Any:
        if key not in self._values:
            self._values[key] = amf0.decode(self._raw[key])[0]
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw)

    def __len__(self) -> int:
        return len(self._raw)

    # --- writing

    async def set(self, key: str, value: object) -> int:
        """Set a slot; the object's version, once the server has confirmed it."""
        return await self._confirmed(partial(self.write, key, amf0.encode(value)))

    def set_nowait(self, key: str, value: object) -> None:
        """Set a slot without waiting for the server's word."""
        self.write(key, amf0.encode(value))

    async def delete(self, key: str) -> int:
        """Delete a slot; the object's version then. One that is not there is deleted already."""
        if key not in self._raw and not self.writes(key):
            return self.version
        return await self._confirmed(partial(self.write, key, None))

    async def clear(self) -> int:
        """Delete all slots; the object's version then. Not repeated."""
        return await self._confirmed(self.clear_by)

    async def send(self, handler: str, *arguments: object) -> None:
        """Have `on_message` called at every user of the object, here too. Not repeated."""
        await self._say(amf0.encode(handler, *arguments)).drain()

    def release(self, reason: str = "the shared object was released") -> None:
        """Use it no longer; what waits for an answer gets ConnectionLost with the reason."""
        if self._closed:
            return
        if self._link is not None and self._link.alive:
            self._link.write(self._message(self._link, wire.EVENT_RELEASE))
        self._on_released(self)  # first: whoever is told may use the object of that name again
        self.link_lost(reason, for_good=True)

    # --- writing what is AMF0 already, for a follower

    @property
    def slots(self) -> Mapping[str, bytes]:
        """All slots as AMF0 bytes."""
        return self._raw

    def writes(self, key: str) -> bool:
        """Whether a write of that slot is not confirmed yet."""
        return self._writes.under_way(key) is not None

    def write(self, key: str, raw: bytes | None, told: Told | None = None) -> None:
        """Set a slot, or delete it. ConnectionLost: there will be no next link."""
        if self._closed:
            raise ConnectionLost(self._closed)
        self._writes.add(key, raw, told)

    def clear_by(self, told: Told) -> None:
        """Delete all slots. ConnectionLost."""
        link = self._open_link()
        link.write(self._message(link, wire.EVENT_REQUEST_CLEAR))
        self._writes.add_clear(told)

    def say(self, raw: bytes) -> bool:
        """`send`; False: it is lost, since the server cannot be reached or is far behind."""
        link = self._link
        if link is None or not self.synced or link.waiting_bytes > MAX_WAITING_BYTES:
            return False
        self._say(raw)
        return True

    def give_up(self, reason: str) -> None:
        """What is not confirmed fails with ConnectionLost and is not written again. Whether it
        took effect shows when the object is in sync again."""
        self._writes.abandon_all(ConnectionLost(reason))

    def abandon(self, key: str | None, reason: str) -> None:
        """The same of the writes of one slot, or of the clears, which the server has left without
        an answer. A late one must not be taken for that of what is written next, so the object is
        used anew: what comes before the server says that it is in sync answers nothing."""
        error = ConnectionLost(reason)
        if key is None:
            self._writes.answer_clears(error)
        else:
            self._writes.abandon(key, error)
        if self.synced and self._link is not None:
            self.use(self._link)

    # --- both

    async def _confirmed(self, ask: Callable[[Told], None]) -> int:
        confirmed: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def told(error: RtmpSyncError | None) -> None:
            if confirmed.done():
                return  # whoever waited has given up
            if error is None:
                confirmed.set_result(self.version)
            else:
                confirmed.set_exception(error)

        ask(told)
        if self._link is not None:
            await self._link.drain()
        return await confirmed

    def _say(self, raw: bytes) -> ClientLink:
        link = self._open_link()
        link.write(self._message(link, wire.event_send(raw)))
        return link

    def _open_link(self) -> ClientLink:
        if self._link is None or not self.synced:
            raise ConnectionLost("the shared object is not connected")
        return self._link

    def _request(self, key: str, write: SlotWrite) -> None:
        link = self._link
        if link is None or not self.synced:
            return  # when it is in sync, all are requested
        if write.raw is None:
            event = wire.event_request_remove(key)
        else:
            event = wire.event_request_change(key, write.raw)
        link.write(self._message(link, event))

    def _message(self, link: ClientLink, events: bytes) -> bytes:
        payload = wire.header(self.name, self.version, self.persistent) + events
        if link.connection.object_encoding == 3:
            return link.connection.message(SHARED_OBJECT_AMF3, b"\0" + payload)
        return link.connection.message(SHARED_OBJECT, payload)

    # --- the link, and what comes over it

    def use(self, link: ClientLink) -> None:
        """Ask the server for it on a link, for what changed since we last heard."""
        self._link = link
        self.synced = False
        self._asked = self.version
        self._dump_from = None
        link.write(self._message(link, wire.EVENT_USE))

    def link_lost(self, reason: str, *, for_good: bool) -> None:
        """The link is gone; without a next one all that waits fails."""
        self._link = None
        self.synced = False
        error = ConnectionLost(reason)
        if for_good:
            self._closed = reason
            self._writes.abandon_all(error)
            self._refuse_use(error)
        else:
            self._writes.answer_clears(error)
        if self.follower is not None:
            self.follower.lost(for_good=for_good)

    def receive(self, message: wire.SharedObjectMessage) -> None:
        """Apply what the server says, then tell the application."""
        items: list[SyncItem] = []
        self.version = message.version
        refused = ""
        first_sync = False
        for event in message.events:
            if event.type == SO_USE_SUCCESS:
                first_sync = True
            elif event.type == SO_STATUS:
                refused = event.key
                if not self.synced and not first_sync and not self._is_late(refused):
                    self._refuse_use(CallError(refused, f"shared object {self.name!r}"))
                    if self.follower is not None:
                        self.follower.refused(refused)
                    return
            elif refused == SO_NO_WRITE_ACCESS and event.type in (SO_CHANGE, SO_REMOVE):
                self._roll_back(event, refused)
                items.append({"code": "reject", "name": event.key})
                refused = ""
            else:
                self._apply(event, items, first_sync)
        if refused:
            self._writes.answer_clears(_refusal(refused))
        if first_sync:
            self._dump_from = 0 if {"code": "clear"} in items else self._asked
        if self._dump_from is not None and self._is_last(message, items):
            self._dump_from = None
            self._sync_done()
        if items and self.on_sync is not None:
            self._tell(self.on_sync, items)

    def _is_late(self, refused: str) -> bool:
        """Whether a refusal is of a write from before the object was used anew."""
        return refused == SO_NO_WRITE_ACCESS and self.used.done()

    def _is_last(self, message: wire.SharedObjectMessage, items: list[SyncItem]) -> bool:
        """Whether a dump ends with this message: all before the last one name the version that
        it goes on from, so that who loses it in the middle asks again. An object without slots
        may have that version in truth: other servers begin at 0."""
        slots = any(item["code"] in ("change", "delete") for item in items)
        return message.version != self._dump_from or not slots

    def _apply(self, event: wire.Event, items: list[SyncItem], first_sync: bool) -> None:
        key = event.key
        if event.type == SO_CHANGE:
            self._changed(event, items)
        elif event.type == SO_SUCCESS or event.type == SO_CHANGE_ECHO:
            write = self._writes.under_way(key)
            if write is not None and self.synced:
                self._put(key, write.raw)
                self._writes.answer(key, None)
            items.append({"code": "success", "name": key})
        elif event.type == SO_REMOVE:
            self._put(key, None)
            write = self._writes.under_way(key)
            if write is not None and write.raw is None and self.synced:
                self._writes.answer(key, None)
            self._changed(event, items)
        elif event.type == SO_CLEAR:
            self._clear(items, first_sync)
        elif event.type == SO_SEND:
            self._hear(event)

    def _changed(self, event: wire.Event, items: list[SyncItem]) -> None:
        """By somebody else, or whoever deleted it."""
        raw = event.value if event.type == SO_CHANGE else None
        self._put(event.key, raw)
        if self.follower is not None and self.synced:
            self.follower.changed(event.key, self._raw.get(event.key), event.value_flags)
        items.append({"code": "delete" if raw is None else "change", "name": event.key})

    def _clear(self, items: list[SyncItem], first_sync: bool) -> None:
        self._raw.clear()
        self._values.clear()
        items.append({"code": "clear"})
        if not first_sync:
            if self.follower is not None and self.synced:
                self.follower.cleared()
            self._writes.answer_clears(None)

    def _hear(self, event: wire.Event) -> None:
        if self.follower is not None:
            self.follower.said(event.value, event.value_flags)
        if self.on_message is not None:
            values = amf0.decode(event.value)
            if values and isinstance(values[0], str):
                self._tell(self.on_message, *values)

    def _tell(self, callback: Callable[..., object], *arguments: object) -> None:
        try:
            callback(*arguments)
        except Exception:  # the application's own: the copy must not lose what comes behind it
            _log.exception("a callback of shared object %s failed", self.name)

    def _put(self, key: str, raw: bytes | None) -> None:
        self._values.pop(key, None)
        if raw is None or raw in _NOTHING:
            self._raw.pop(key, None)
        else:
            self._raw[key] = raw

    def _roll_back(self, event: wire.Event, code: str) -> None:
        """A refused write: the event tells what the slot really holds."""
        held = self._raw.get(event.key)
        self._put(event.key, event.value if event.type == SO_CHANGE else None)
        really = self._raw.get(event.key)
        if self.follower is not None and self.synced and really != held:
            self.follower.changed(event.key, really, event.value_flags)
        if self.synced and self.writes(event.key):
            self._writes.answer(event.key, _refusal(code))

    def _refuse_use(self, error: RtmpSyncError) -> None:
        if not self.used.done():
            self.used.set_exception(error)
            self.used.exception()  # whoever asked for the object may have given up

    def _sync_done(self) -> None:
        """The copy is that of the server: write again what it did not confirm."""
        self.synced = True
        if not self.used.done():
            self.used.set_result(None)
        if self.follower is not None:
            self.follower.in_sync()
        self._writes.send_again()


def _refusal(code: str) -> CallError:
    return CallError(code, "the server refused the write")
