"""A shared object of another application, which the clients of this one use as if it were here.

    clients ── set, delete, clear, send ──► ProxiedObject ──► RemoteSharedObject ──► its owner
            ◄─── success, change, send ─── (a Fanout)     ◄──  what the owner says

Invariant: nothing is shown or acknowledged here that the owner has not said. So the slots are a
copy of this process: no Change of them is in the journal, and the next active origin gets them
from the owner again.

The owner may be away. Users keep what they have, and what they write waits for it, for
`AWAY_SECONDS`; from then on a write is refused with what the slot holds. When the owner is back
everyone is told what differs. One that is there and leaves a write without an answer has as long.

Objects that proxy each other, in a ring, have no owner: nothing that is written or sent there is
answered by one. So what waits for an answer is limited, and comes to an end.

FMS's proxied shared objects: `SharedObject.get` with a connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from rtmp_sync.errors import ConnectionLost, RtmpSyncError
from rtmp_sync.server.client import NetConnection
from rtmp_sync.server.fanout import CHANGE, SUCCESS, Fanout, Slots, Subscriber
from rtmp_sync.server.object_limits import slot_bytes
from rtmp_sync.server.remote_writes import Told
from rtmp_sync.server.turn import Turn
from rtmp_sync.state.shared_object import SharedObject
from rtmp_sync.wire.constants import SO_NO_WRITE_ACCESS

__all__ = ["ProxiedObject"]

AWAY_SECONDS: Final = 10.0  # a takeover at the owner takes less, and a client waits no longer

# What waits for the owner's word; more is refused. A client has one or two writes on their way.
MAX_WAITING: Final = 1024
MAX_WAITING_BYTES: Final = 4 * 1024 * 1024

# Of what is sent, how much the owner may leave unsaid: it says it to its sender, too.
MAX_UNSAID: Final = 16_384

_LOG = structlog.get_logger("rtmp_sync.app")


class _Copy:
    """Edits slots that are replicated by their owner alone."""

    def set_slot(self, obj: SharedObject, key: str, raw: bytes, version: int) -> None:
        obj.set(key, raw, version)

    def delete_slot(self, obj: SharedObject, key: str, version: int) -> None:
        obj.delete(key, version)

    def clear(self, obj: SharedObject, version: int) -> None:
        obj.clear(version)


_COPY: Final = _Copy()


class ProxiedObject(Fanout):
    """Made and ended by `SharedObjects`; it begins to `follow` a remote object then.

    What is done to it is asked of the owner. The versions that callers give count for nothing:
    all are the owner's.
    """

    __slots__ = (
        "_answers",
        "_away",
        "_giving_up",
        "_log",
        "_owner",
        "_refusal",
        "_remote",
        "_shown",
        "_to_come",
        "_unsaid",
        "_waiting",
        "_waiting_bytes",
    )

    def __init__(self, turn: Turn, scope: str, full_name: str, owner: NetConnection) -> None:
        super().__init__(turn, SharedObject(scope, full_name, 0, 0))
        self.pinned = True  # the application has asked for it
        self._log = _LOG.bind(instance=scope, object=full_name)
        self._shown = False  # whether there is a copy to show
        self._to_come: dict[Subscriber, None] = {}  # users who wait for the first copy
        self._refusal = ""  # the owner's, of our use
        self._away = False  # for too long
        self._giving_up: asyncio.TimerHandle | None = None
        self._waiting = 0  # writes that the owner has not answered
        self._waiting_bytes = 0
        self._unsaid = 0  # sends, since the owner last said one
        self._answers: set[asyncio.Future[None]] = set()  # those that the application waits for
        self._owner = owner
        self._remote = owner.begin_use(self.obj.name, self.obj.persistent)
        self.follow(owner)

    # Whose it is

    @property
    def owner(self) -> str:
        """The address of the application that it is of; "" for one that was never connected to."""
        return self._owner.uri

    def follow(self, owner: NetConnection) -> None:
        """Be the copy of this one's object from now on; of the former one's until it is in sync."""
        remote = owner.begin_use(self.obj.name, self.obj.persistent)
        former, self._owner, self._remote = self._remote, owner, remote
        if former is not remote:
            former.follower = None
            former.release()
        remote.follower = self
        self._refusal = ""
        self._away = False
        if remote.synced:
            self.in_sync()
        else:
            self._wait()

    def end(self) -> None:
        """Let go of the owner's object; what waits for an answer is refused."""
        self._stop_waiting()
        self._remote.follower = None
        self._remote.release()

    # Users

    @property
    def users(self) -> int:
        """How many clients use it, or wait to."""
        return super().users + len(self._to_come)

    def uses(self, subscriber: Subscriber) -> bool:
        """Whether this client uses it."""
        return subscriber in self._to_come or super().uses(subscriber)

    def use(self, subscriber: Subscriber, version: int) -> None:
        """Add a user and tell it everything, as soon as the owner has; whoever comes back may
        have its version from another one's object."""
        if self._refusal:
            self.refuse(subscriber, self._refusal)
        elif self._shown:
            super().use(subscriber, 0)
        else:
            self._to_come[subscriber] = None

    def release(self, subscriber: Subscriber) -> None:
        """Remove a user; what it wrote is on its way."""
        self._to_come.pop(subscriber, None)
        super().release(subscriber)

    def dismiss(self) -> list[Subscriber]:
        """Remove all users; who they were."""
        to_come, self._to_come = self._to_come, {}
        return [*super().dismiss(), *to_come]

    def lock(self) -> None:
        """It cannot be: the owner's other users know nothing of it."""
        raise RuntimeError(f"{self.obj.full_name} is of another application: it has no lock here")

    # What clients and the application want done

    def set(
        self, writer: Subscriber | None, key: str, raw: bytes, flags: int | None, version: int
    ) -> None:
        """Have a slot set."""
        code = SUCCESS if writer is None else CHANGE

        def done() -> None:
            self._set(code, writer, key, raw, flags, self._remote.version)

        self._write(writer, key, raw, done)

    def delete(self, asked: Subscriber | None, key: str, version: int) -> None:
        """Have a slot deleted; of one that is not there the owner would say nothing."""

        def done() -> None:
            Fanout.delete(self, asked, key, self._remote.version)

        if not self._shown or key in self.obj.slots or self._remote.writes(key):
            self._write(asked, key, None, done)
        else:
            done()

    def set_null(self, writer: Subscriber, key: str, version: int) -> None:
        """The same, of a client that is told so as of a set slot."""

        def done() -> None:
            Fanout.set_null(self, writer, key, self._remote.version)

        if not self._shown or key in self.obj.slots or self._remote.writes(key):
            self._write(writer, key, None, done)
        else:
            done()

    def clear(self, asked: Subscriber | None, version: int) -> None:
        """Have every slot deleted: at once or not at all, since what others write meanwhile must
        not go with it."""
        self._ask(asked, None, 0, self._remote.clear_by, lambda: None)

    def send(self, raw: bytes, flags: int | None, *, by_client: bool = False) -> None:
        """Have values passed on to everyone, here too; lost while the owner is away."""
        if self._unsaid < MAX_UNSAID and self._remote.say(raw):
            self._unsaid += 1
        else:
            self._log.debug("send_lost")

    async def flush(self) -> None:
        """Wait until the owner has answered what the application wrote so far."""
        if self._answers:
            await asyncio.wait(set(self._answers))

    def _write(
        self, writer: Subscriber | None, key: str, raw: bytes | None, done: Callable[[], None]
    ) -> None:
        size = slot_bytes(key, raw or b"")
        self._ask(writer, key, size, partial(self._remote.write, key, raw), done)

    def _ask(
        self,
        writer: Subscriber | None,
        key: str | None,
        size: int,
        ask: Callable[[Told], None],
        done: Callable[[], None],
    ) -> None:
        """key: None for a clear. done: called when the owner has confirmed it."""
        if (
            self._away
            or self._waiting >= MAX_WAITING
            or self._waiting_bytes + size > MAX_WAITING_BYTES
        ):
            self._refuse_write(writer, key)
            return
        loop = asyncio.get_running_loop()
        answer = loop.create_future() if writer is None else None
        if answer is not None:
            self._answers.add(answer)
        self._waiting += 1
        self._waiting_bytes += size
        late = loop.call_later(AWAY_SECONDS, self._remote.abandon, key, "its owner does not answer")

        def told(error: RtmpSyncError | None) -> None:
            late.cancel()
            self._waiting -= 1
            self._waiting_bytes -= size
            if error is None:
                done()
            else:
                self._refuse_write(writer, key)
            if answer is not None:
                self._answers.discard(answer)
                answer.set_result(None)

        try:
            ask(told)
        except ConnectionLost as error:
            told(error)

    def _refuse_write(self, writer: Subscriber | None, key: str | None) -> None:
        if writer is None:
            self._log.warning("proxied_object_refused_write", slot=key)
            # later: it may write again, and its caller is not through with this one
            asyncio.get_running_loop().call_soon(self._tell_rejected, key or "")
        elif self.uses(writer):
            self.refuse(writer, SO_NO_WRITE_ACCESS, key)

    def _tell_rejected(self, key: str) -> None:
        if self.settings.on_sync is not None:
            item = {"code": "reject", "name": key}
            self._tell_application("on_sync", self.settings.on_sync, [item])

    # What the owner says (see `Follower`)

    def in_sync(self) -> None:
        """Tell everyone what differs from what they have."""
        self._stop_waiting()
        self._away = False
        self._unsaid = 0
        held, version = self.obj.slots, self._remote.version
        for key in [key for key in held if key not in self._remote.slots]:
            Fanout.delete(self, None, key, version)
        for key, raw in self._remote.slots.items():
            if held.get(key) != raw:
                self._set(CHANGE, None, key, raw, None, version)
        self._shown = True
        to_come, self._to_come = self._to_come, {}
        for subscriber in to_come:
            super().use(subscriber, 0)
        self._log.info("proxied_object_in_sync", version=version, slots=len(held))

    def changed(self, key: str, raw: bytes | None, flags: int) -> None:
        """Tell everyone."""
        if raw is None:
            super().delete(None, key, self._remote.version)
        else:
            self._set(CHANGE, None, key, raw, flags, self._remote.version)

    def cleared(self) -> None:
        """Tell everyone."""
        super().clear(None, self._remote.version)

    def said(self, raw: bytes, flags: int) -> None:
        """Tell everyone, the application too."""
        self._unsaid = 0
        super().send(raw, flags, by_client=True)

    def refused(self, code: str) -> None:
        """Tell those who wait for it."""
        self._log.warning("proxied_object_refused", code=code)
        self._refusal = code
        to_come, self._to_come = self._to_come, {}
        for subscriber in to_come:
            self.refuse(subscriber, code)
        self._remote.release()

    def lost(self, *, for_good: bool) -> None:
        """Wait for the owner, for some time."""
        if for_good:
            self._give_up("its connection was closed")
        else:
            self._wait()

    # While it is away

    def _wait(self) -> None:
        if self._giving_up is None and not self._away:
            self._giving_up = asyncio.get_running_loop().call_later(
                AWAY_SECONDS, self._give_up, "its owner is away"
            )

    def _stop_waiting(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None

    def _give_up(self, reason: str) -> None:
        """Refuse what waits, and from now on what comes, until the owner is back."""
        self._stop_waiting()
        if not self._away:
            self._away = True
            self._log.warning("proxied_object_away", reason=reason, waiting=self._waiting)
        self._remote.give_up(reason)

    def _slots(self) -> Slots:
        return _COPY
