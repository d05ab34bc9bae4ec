"""The pair's record: one linearizable register that says who holds the service.

A record is only ever replaced by its successor (`rev + 1`, `prev` = the nonce of the record
that it was built on), and only by compare-and-set in a coordinator's store. The functions
below are all the successors there are; `epoch` rises with each change of the holder and with
each claim, so an epoch is never reused.

Encoded: one JSON object, readable by an operator, with a SHA-256 over its other members, so
that a torn or edited file is told from a record.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from rtmp_sync.errors import StoreError

__all__ = ["Author", "InSync", "Record", "decode", "encode", "first_record"]

# One record is about 600 bytes; node ids and reasons are short. More is not a record.
MAX_BYTES = 65_536

FORMAT = 1

# Of the members as JSON; the others are strings.
_KINDS = {
    **dict.fromkeys(("rev", "epoch", "seq"), int),
    **dict.fromkeys(("released", "paused"), bool),
    **dict.fromkeys(("nodes", "sync"), list),
}


@dataclass(frozen=True, slots=True)
class InSync:
    """A node, in this boot of it, that holds everything acknowledged."""

    node: str
    boot_id: str


@dataclass(frozen=True, slots=True)
class Author:
    """Who writes a record: `nonce` is unique to this attempt, `at` is wall time for readers."""

    node: str
    boot_id: str
    nonce: str
    at: str


@dataclass(frozen=True, slots=True)
class Record:
    """See the module; `seq` is the journal position of `by` when it wrote."""

    rev: int
    prev: str
    nonce: str
    nodes: tuple[str, str]
    epoch: int
    holder: str
    boot_id: str
    sync: tuple[InSync, ...]
    released: bool
    paused: bool
    history_id: str
    seq: int
    reason: str
    by: str
    at: str

    def lists(self, node: str, boot_id: str) -> bool:
        """`sync` names this boot of the node."""
        return InSync(node, boot_id) in self.sync

    def lists_node(self, node: str) -> bool:
        """`sync` names the node, in whatever boot."""
        return any(copy.node == node for copy in self.sync)

    def held_by(self, node: str, boot_id: str) -> bool:
        return self.holder == node and self.boot_id == boot_id

    def other(self, node: str) -> str:
        return self.nodes[1] if node == self.nodes[0] else self.nodes[0]

    def claimed(self, by: Author, seq: int, reason: str, *, above: int = 0) -> Record:
        """`by` becomes the holder in the next epoch, with nobody known to be in sync. above: the
        highest epoch that `by` knows of."""
        epoch = max(self.epoch, above) + 1
        return self._held(by, seq, reason, epoch, _history_id(epoch, by))

    def vouched(self, by: Author, seq: int, served: Record) -> Record:
        """`by` is the holder, in the epoch that it serves already by the operator's word."""
        return self._held(by, seq, served.reason, served.epoch, served.history_id)

    def handed_over(self, by: Author, seq: int, to: InSync, *copies: InSync) -> Record:
        """A planned switchover: `to` holds the next epoch, `copies` are in sync with it."""
        epoch = self.epoch + 1
        return self._next(
            by,
            seq,
            "switchover",
            epoch=epoch,
            holder=to.node,
            boot_id=to.boot_id,
            sync=copies,
            released=False,
            history_id=_history_id(epoch, by),
        )

    def let_go(self, by: Author, seq: int, reason: str) -> Record:
        """The holder serves no more in this epoch, and never will again."""
        return self._next(by, seq, reason, released=True)

    def synced(self, by: Author, seq: int, reason: str, *copies: InSync) -> Record:
        """These nodes hold everything acknowledged; none means: the holder is alone."""
        return self._next(by, seq, reason, sync=copies)

    def with_pause(self, by: Author, seq: int, paused: bool) -> Record:
        """No automatic decisions while paused; how the holder came to be stays told."""
        return self._next(by, seq, self.reason, paused=paused)

    def unchanged(self, by: Author, seq: int) -> Record:
        """Takes a revision, so that a lost attempt at it can never land."""
        return self._next(by, seq, "no-op")

    def _held(self, by: Author, seq: int, reason: str, epoch: int, history_id: str) -> Record:
        return self._next(
            by,
            seq,
            reason,
            epoch=epoch,
            holder=by.node,
            boot_id=by.boot_id,
            sync=(),
            released=False,
            history_id=history_id,
        )

    def _next(self, by: Author, seq: int, reason: str, **changes: Any) -> Record:
        return replace(
            self,
            rev=self.rev + 1,
            prev=self.nonce,
            nonce=by.nonce,
            by=by.node,
            at=by.at,
            seq=seq,
            reason=reason,
            **changes,
        )


def first_record(nodes: tuple[str, str], by: Author) -> Record:
    """The record that starts a pair: epoch 1, held by `by`."""
    return Record(
        rev=1,
        prev="",
        nonce=by.nonce,
        nodes=nodes,
        epoch=1,
        holder=by.node,
        boot_id=by.boot_id,
        sync=(),
        released=False,
        paused=False,
        history_id=_history_id(1, by),
        seq=0,
        reason="first",
        by=by.node,
        at=by.at,
    )


def encode(record: Record) -> bytes:
    """The stored form."""
    members = {"format": FORMAT, **asdict(record)}
    return _dump({**members, "checksum": _checksum(members)}) + b"\n"


def decode(content: bytes) -> Record:
    """Read the stored form; raises StoreError for anything that `encode` did not write."""
    if len(content) > MAX_BYTES:
        raise StoreError(f"a record of {len(content)} bytes")
    try:
        members = json.loads(content)
        is_whole = isinstance(members, dict) and members.pop("checksum", None) == _checksum(members)
    except (ValueError, RecursionError):  # also of what can be read and not be written again
        raise StoreError("the record is not JSON") from None
    if not is_whole:
        raise StoreError("the record's checksum is wrong")
    if members.pop("format", None) != FORMAT:
        raise StoreError("the record was written by another version")
    return _record(members)


def _record(members: Mapping[str, Any]) -> Record:
    names = {field.name for field in fields(Record)}
    if set(members) != names:
        raise StoreError(f"the record's members differ: {sorted(names ^ set(members))}")
    if any(type(value) is not _KINDS.get(name, str) for name, value in members.items()):
        raise StoreError("a member of the record has another type")
    try:
        first, second = members["nodes"]
        sync = tuple(InSync(copy["node"], copy["boot_id"]) for copy in members["sync"])
    except (TypeError, ValueError, KeyError):
        raise StoreError("the record's nodes or sync have another shape") from None
    record = Record(**{**members, "nodes": (first, second), "sync": sync})
    if not _is_pair(first, second) or record.holder not in record.nodes:
        raise StoreError("the record names no pair")
    if record.epoch < 1 or record.rev < 1:
        raise StoreError("the record contradicts itself")
    return record


def _is_pair(first: object, second: object) -> bool:
    if not (isinstance(first, str) and isinstance(second, str)):
        return False
    return first.casefold() != second.casefold()


def _history_id(epoch: int, by: Author) -> str:
    """Names the journal history that begins with an epoch; both nodes read it here."""
    return f"{epoch}-{by.nonce}"


def _checksum(members: Mapping[str, Any]) -> str:
    return hashlib.sha256(_dump(members)).hexdigest()


def _dump(members: Mapping[str, Any]) -> bytes:
    return json.dumps(members, sort_keys=True, ensure_ascii=False).encode()
