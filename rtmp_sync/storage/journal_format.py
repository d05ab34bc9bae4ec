"""The files of a node's journal, as bytes.

    snapshot                    the state at one seq
    journal.<generation>        batches after the state that its head names

Both are rows of records {length u32, crc32 u32, content}, integers big-endian. A snapshot's
content: head, chunks of the state, an empty record as its end. A journal's: head, batches.
The head names the generation and what the file starts from, with the digest of that state:
a journal is only ever replayed on the very state that it was written after, so files that a
crash left over do no harm, and a tail that the pair never had can't come back.

A snapshot is all or nothing: its digest, in the head, covers the whole state. A journal is
good up to its first bad record.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.state.journal import Batch
from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.state.snapshot import SnapshotHeader
from rtmp_sync.state.snapshot_loader import SnapshotLoader
from rtmp_sync.wire.packing import pack, unpack
from rtmp_sync.wire.records import decode_disk_record, encode_disk_record

__all__ = [
    "SNAPSHOT",
    "SNAPSHOT_UNFINISHED",
    "Damage",
    "DamagedFile",
    "JournalHead",
    "UnknownFormat",
    "aside",
    "batch_record",
    "earlier_asides",
    "generations",
    "head_record",
    "journal_name",
    "read_journal",
    "read_snapshot",
    "record",
    "replay",
    "snapshot_head_record",
]

SNAPSHOT: Final = "snapshot"
SNAPSHOT_UNFINISHED: Final = "snapshot.new"
_JOURNAL: Final = "journal."
_ASIDE: Final = ".aside"
_VERSION: Final = 1
_HEAD: Final = struct.Struct(">II")


@dataclass(frozen=True, slots=True)
class Damage:
    """What of a file was not used: `size` bytes from `offset` on, and why."""

    file: str
    offset: int
    size: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.reason} at byte {self.offset}, cut there ({self.size} bytes)"


class DamagedFile(Exception):
    """A file whose content is not what was written."""

    def __init__(self, damage: Damage) -> None:
        super().__init__(str(damage))
        self.damage = damage


class UnknownFormat(Exception):
    """A whole file, written by another version of this software: not damage, and no reason to
    begin without it."""


@dataclass(frozen=True, slots=True)
class JournalHead:
    """What a journal goes on from."""

    generation: int
    base_seq: int
    base_digest: bytes


def journal_name(generation: int) -> str:
    return f"{_JOURNAL}{generation:010d}"


def aside(name: str) -> str:
    """What a file that could not be used is called, for an operator to look at."""
    return f"{name}{_ASIDE}"


def earlier_asides(names: Iterable[str]) -> list[str]:
    """The journals among these files that were put aside before, the oldest first."""
    put_aside = {name.removesuffix(_ASIDE) for name in names if name.endswith(_ASIDE)}
    return [aside(journal_name(generation)) for generation in generations(put_aside)]


def generations(names: Iterable[str]) -> list[int]:
    """Of the journals among these files, in order."""
    numbers = {name.removeprefix(_JOURNAL) for name in names if name.startswith(_JOURNAL)}
    known = [int(number) for number in numbers if number.isascii() and number.isdigit()]
    return sorted(number for number in known if journal_name(number)[len(_JOURNAL) :] in numbers)


def record(content: bytes) -> bytes:
    return _HEAD.pack(len(content), zlib.crc32(content)) + content


def head_record(head: JournalHead) -> bytes:
    return record(pack((_VERSION, head.generation, head.base_seq, head.base_digest)))


def batch_record(batch: Batch) -> bytes:
    return encode_disk_record(batch.first_seq, batch.count, batch.data)


def snapshot_head_record(generation: int, header: SnapshotHeader) -> bytes:
    """generation: of the journal that goes on from this snapshot."""
    return record(
        pack(
            (
                _VERSION,
                generation,
                header.history_id,
                header.previous,
                header.epoch,
                header.cut_seq,
                header.objects,
                header.forgotten_highest,
                header.digest,
            )
        )
    )


def read_snapshot(data: bytes, name: str = SNAPSHOT) -> tuple[int, ReplicatedState]:
    """(generation, state). Raises DamagedFile, UnknownFormat."""
    at = 0
    reason = "no end"
    try:
        loader: SnapshotLoader | None = None
        generation = 0
        for start, content in _records(data):
            at = start
            if loader is None:
                version, *fields = unpack(content, "snapshot head")
                _check_version(version, name)
                generation, *header = fields
                loader = SnapshotLoader(SnapshotHeader(*header))
            elif content:
                loader.feed(content)
            else:
                return generation, loader.finish(loader.header.digest)
            at = start + _HEAD.size + len(content)
    except (RemoteProtocolError, ValueError, TypeError) as error:
        reason = str(error)
    raise _damaged(name, data, at, reason)


def read_journal(data: bytes, name: str) -> tuple[JournalHead, int]:
    """(head, where the batches begin). Raises DamagedFile, UnknownFormat."""
    _, content = next(_records(data), (0, b""))
    try:
        version, *fields = unpack(content, "journal head")
        _check_version(version, name)
        generation, base_seq, base_digest = fields
    except (RemoteProtocolError, ValueError, TypeError) as error:
        raise _damaged(name, data, 0, "no head") from error
    return JournalHead(generation, base_seq, base_digest), _HEAD.size + len(content)


def replay(state: ReplicatedState, data: bytes, offset: int, name: str) -> None:
    """Apply the batches from `offset` on. Raises DamagedFile at the first bad one."""
    while offset < len(data):
        found = decode_disk_record(data, offset)
        if found is None:
            raise _damaged(name, data, offset, "bad record")
        first_seq, _, batch, end = found
        try:
            state.apply_batch(first_seq, batch)
        except RemoteProtocolError as error:
            raise _damaged(name, data, offset, str(error)) from error
        offset = end


def _check_version(version: object, name: str) -> None:
    if version != _VERSION:
        raise UnknownFormat(f"{name} has format {version}, this version reads {_VERSION}")


def _damaged(name: str, data: bytes, offset: int, reason: str) -> DamagedFile:
    return DamagedFile(Damage(name, offset, len(data) - offset, reason))


def _records(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(offset, content) of the records, up to the first bad one."""
    offset = 0
    while offset + _HEAD.size <= len(data):
        length, checksum = _HEAD.unpack_from(data, offset)
        content = data[offset + _HEAD.size : offset + _HEAD.size + length]
        if len(content) != length or zlib.crc32(content) != checksum:
            return
        yield offset, content
        offset += _HEAD.size + length
