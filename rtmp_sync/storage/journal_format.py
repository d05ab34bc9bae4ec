"""The files of a node's journal, as bytes.

    snapshot                    the state at one seq
    journal.<generation>        batches after the state that its head names

Both are rows of records {length u32, crc32 u32, content}, integers big-endian. A snapshot's
content: head, chunks of the state, an empty record as its end. A journal's: head, batches.
The head names the generation and what the file starts from, with the digest of that state:
a journal is only ever replayed on the very state that it was written after, so files that a
crash left over do no harm, and a tail that the pair never had can't come back.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
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
    "DamagedFile",
    "JournalHead",
    "batch_record",
    "generations",
    "head_record",
    "journal_path",
    "read_journal",
    "read_snapshot",
    "record",
    "replay",
    "snapshot_head_record",
]

SNAPSHOT: Final = "snapshot"
_JOURNAL: Final = "journal."
_VERSION: Final = 1
_HEAD: Final = struct.Struct(">II")


class DamagedFile(Exception):
    """A file whose content is not what was written; the text says where."""


@dataclass(frozen=True, slots=True)
class JournalHead:
    """What a journal goes on from."""

    generation: int
    base_seq: int
    base_digest: bytes


def journal_path(directory: Path, generation: int) -> Path:
    return directory / f"{_JOURNAL}{generation:010d}"


def generations(directory: Path) -> list[int]:
    """Of the journals that exist, in order."""
    names = (path.name.removeprefix(_JOURNAL) for path in directory.glob(f"{_JOURNAL}*"))
    return sorted(int(name) for name in names if name.isascii() and name.isdigit())


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


def read_snapshot(path: Path) -> tuple[int, ReplicatedState]:
    """(generation, state). Raises DamagedFile, OSError."""
    data = path.read_bytes()
    contents = _contents(data)
    try:
        version, generation, *fields = unpack(next(contents), "snapshot head")
        if version != _VERSION:
            raise DamagedFile(f"{path.name}: format {version} is not known")
        header = SnapshotHeader(*fields)
        loader = SnapshotLoader(header)
        for content in contents:
            if not content:
                return int(generation), loader.finish(header.digest)
            loader.feed(content)
    except (RemoteProtocolError, StopIteration, ValueError, TypeError) as error:
        raise DamagedFile(f"{path.name}: {error or 'empty'}") from error
    raise DamagedFile(f"{path.name}: it has no end")


def read_journal(path: Path) -> tuple[JournalHead, bytes, int]:
    """(head, all bytes, where the batches begin). Raises DamagedFile, OSError."""
    data = path.read_bytes()
    content = next(_contents(data), None)
    try:
        version, generation, base_seq, base_digest = unpack(content or b"", "journal head")
    except (RemoteProtocolError, ValueError, TypeError) as error:
        raise DamagedFile(f"{path.name}: it has no head") from error
    if version != _VERSION:
        raise DamagedFile(f"{path.name}: format {version} is not known")
    assert content is not None
    return JournalHead(generation, base_seq, base_digest), data, _HEAD.size + len(content)


def replay(state: ReplicatedState, path: Path, data: bytes, offset: int) -> None:
    """Apply the batches from `offset` on. Raises DamagedFile at the first bad one."""
    while offset < len(data):
        found = decode_disk_record(data, offset)
        if found is None:
            raise DamagedFile(
                f"{path.name}: bad record at byte {offset}, cut there ({len(data) - offset} bytes)"
            )
        first_seq, _, batch, offset = found
        try:
            state.apply_batch(first_seq, batch)
        except RemoteProtocolError as error:
            raise DamagedFile(f"{path.name}: {error}") from error


def _contents(data: bytes) -> Iterator[bytes]:
    """The contents of the records, up to the first bad one."""
    offset = 0
    while offset + _HEAD.size <= len(data):
        length, checksum = _HEAD.unpack_from(data, offset)
        content = data[offset + _HEAD.size : offset + _HEAD.size + length]
        if len(content) != length or zlib.crc32(content) != checksum:
            return
        yield content
        offset += _HEAD.size + length
