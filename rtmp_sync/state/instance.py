"""Instance: the replicated state of one `rtmp://host/app/instance`.

Shared objects by full name and the registry of clients. `highest` is the highest object
version ever used here: a new object starts above it, so that a version that a client
remembers from an object that is gone never looks like one of the new object's.
"""

from __future__ import annotations

from typing import NamedTuple

from rtmp_sync.state.digest import MASK, mark
from rtmp_sync.state.shared_object import SharedObject

__all__ = ["Instance", "RegisteredClient", "client_mark", "instance_mark"]


class RegisteredClient(NamedTuple):
    """`info` is the server's own packing; a client of an earlier epoch is an orphan."""

    info: bytes
    epoch: int


class Instance:
    __slots__ = ("clients", "counted", "highest", "objects", "recounts", "scope", "started", "sum")

    def __init__(self, scope: str, highest: int) -> None:
        self.scope = scope
        self.highest = highest
        self.started = False  # whether on_app_start ran in this history of the instance
        self.objects: dict[str, SharedObject] = {}
        self.clients: dict[str, RegisteredClient] = {}
        self.sum = 0  # of the objects' headers and the clients, as last counted
        self.recounts = 0  # how often `sum` was corrected
        self.counted = 0  # its own mark, as last counted by the state's digest

    @property
    def empty(self) -> bool:
        return not (self.objects or self.clients or self.started)

    def add(self, marks: int) -> None:
        """Add marks to the running sum (negative: take them away)."""
        self.sum = (self.sum + marks) & MASK

    def correct(self, missing: int, recounts: int) -> None:
        """`missing` from `sum` when it had been corrected so often; since then, it is not."""
        if self.recounts == recounts:
            self.add(missing)
            self.recounts += 1

    def count(self) -> int:
        return instance_mark(self.scope, self.highest, self.started, self.sum)


def client_mark(client_id: str, client: RegisteredClient) -> int:
    return mark("client", client_id, client.info, client.epoch)


def instance_mark(scope: str, highest: int, started: bool, total: int) -> int:
    """total: the sum of the marks of its objects and clients."""
    return mark("instance", scope, highest, started, total.to_bytes(16))
