"""What the `etcd` coordinator asks of etcd, and nothing more: transactions, a lease, a watch.

`etcd_gateway.py` is the real client; the simulation puts another one in its place. Every
method ends within the client's own deadline and raises

    StoreError      etcd said no: it is known not to have happened
    EtcdUnreachable the same, because no member could be reached
    LeaseGone       the same, because there is no such lease (any more)
    EtcdFull        etcd has no space. A transaction that fills it up is done all the same:
                    only a look tells
    StoreTimeout    no definite answer came: it may have happened, or may yet

All reads are linearizable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from rtmp_sync.errors import StoreError

__all__ = [
    "Compare",
    "Delete",
    "EtcdClient",
    "EtcdFull",
    "EtcdUnreachable",
    "HasValue",
    "KeyValue",
    "LeaseGone",
    "Put",
    "TxnAnswer",
    "Write",
]


class EtcdUnreachable(StoreError):
    """No member could be reached: nothing was sent."""


class EtcdFull(StoreError):
    """etcd has no space, or not since this very request."""


class LeaseGone(StoreError):
    """A key was to live by a lease that does not live."""


@dataclass(frozen=True, slots=True)
class KeyValue:
    """What a key holds. lease: the id of the lease it lives by, 0 without one."""

    value: bytes
    mod_revision: int
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Compare:
    """Holds while the key was last changed at that revision; 0: while there is no such key."""

    key: str
    mod_revision: int


@dataclass(frozen=True, slots=True)
class HasValue:
    """Holds while the key exists with that value."""

    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Put:
    key: str
    value: bytes
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Delete:
    key: str


Write = Put | Delete


@dataclass(frozen=True, slots=True)
class TxnAnswer:
    """succeeded: every compare held, and the writes were done. found: what the keys that were
    to be read held after that, in the same instant; None for a key that is not there."""

    succeeded: bool
    found: tuple[KeyValue | None, ...]


class EtcdClient(Protocol):
    """Coroutines are run one at a time by their caller, or by nobody's event loop at all."""

    async def txn(
        self,
        compares: Sequence[Compare | HasValue] = (),
        writes: Sequence[Write] = (),
        *,
        read: Sequence[str] = (),
    ) -> TxnAnswer:
        """If all `compares` hold do all `writes`, then read, at one instant.

        May be sent more than once: some compare must fail once the writes were done.
        """

    async def grant(self, ttl_seconds: int) -> int:
        """A new lease; it lives for that long from now on, or from its last `keepalive`."""

    async def keepalive(self, lease: int) -> bool:
        """False: there is no such lease any more, nor will there be."""

    def watch(self, prefix: str, told: Callable[[], None]) -> None:
        """Call `told()` soon after any key with that prefix changed, and whenever changes may
        have been missed; until `close`."""

    async def close(self) -> None: ...
