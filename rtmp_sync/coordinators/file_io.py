"""The killable helper of the `file` coordinator: all I/O on the pair's folder, one request at
a time, in a process of its own, because a NAS that hangs blocks whoever touches it.

It is run by path with `python -I -S`, so it starts in some 20 ms and imports only the standard
library. On stdin and stdout: a 4-byte big-endian length and that much JSON; it ends at EOF.

    <pair file>                 the operator's line
    <pair file>.d/rec.<rev>     a record: written to a temporary name, fsynced, put in place by
                                link(), which fails if the name exists
    <pair file>.d/line.<rev>    the line as it was projected from rec.<rev>; the pair file is a
                                hard link of it, so an operator's edit is told from ours
    <pair file>.d/hb.<node>     the active node's heartbeat
    <pair file>.d/nonce.<node>  what the nodes tell over their link, to find a stale mount

Where files can't have two names (exFAT, most SMB shares) rec.<rev> is a folder with the record
in it: a folder can't be renamed onto one that holds something, so that is as exclusive as
link(). There stamp.<rev> takes the place of line.<rev>, and says by size, time and hash which
pair file is ours.

Contents travel as Latin-1 text, so any bytes pass.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import struct
import sys
from typing import Any, BinaryIO

KEEP_RECORDS = 128  # at least 100 stay: the history, and what an old writer must collide with
SHOWN_RECORDS = 32  # enough to find a valid one
MAX_FILE_BYTES = 65_536

# What link() says where there are no hard links.
NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})

# With these nothing has happened; after another error a request may still have got through.
NOTHING_HAPPENED = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})

RECORD = "record"  # the file in a rec.<rev> that is a folder
FAT_TIME_NS = 2_000_000_000  # the coarsest of file systems keeps times so

Reply = dict[str, Any]


class Folder:
    """The pair file and its folder of records. `owner` names this helper's temporary files."""

    def __init__(self, pair_file: str, owner: str) -> None:
        self.line_path = pair_file
        self.path = pair_file + ".d"
        self.owner = owner
        self._count = 0

    def read(self, node: str, beat: str | None, peer: str | None) -> Reply:
        """Heartbeat first, then the record, the peer's heartbeat and the line."""
        beat_error = self._try_to_beat(node, beat) if beat is not None else None
        rev, record = self._highest()
        line, found = self._line()
        line_rev = None
        if line is not None and found is not None:
            line_rev = self._linked_by(found) or self._stamped_by(found, line)
        return {
            "rev": rev,
            "record": record,
            "beat_error": beat_error,
            "peer_beat": _read(self._name(f"hb.{peer}")) if peer is not None else None,
            "line": line,
            "line_inode": found.st_ino if found is not None else None,
            "line_rev": line_rev,
            "line_record": _read(self._name(f"rec.{line_rev}")) if line_rev is not None else None,
        }

    def cas(self, rev: int, content: str, nonce: str) -> Reply:
        """Put a record in place. "refused" means that it is known not to have landed."""
        target = self._name(f"rec.{rev}")
        try:
            os.makedirs(self.path, exist_ok=True)
            temporary = self._write_temporary(content)
        except OSError as error:
            return _failure("refused", error)
        try:
            landed = self._put(temporary, target, nonce)
        except OSError as error:
            outcome = "refused" if error.errno in NOTHING_HAPPENED else "unknown"
            return _failure(outcome, error)
        finally:
            _unlink(temporary)
        if landed:  # the name is there: whatever fails from here on, nothing was refused
            _sync_directory(self.path)
        if landed and rev % KEEP_RECORDS == 0:  # also while nobody projects the line
            with contextlib.suppress(OSError):
                self._prune()
        highest, record = self._highest()
        if landed and highest > rev:
            # Somebody went on from here, or this revision's place was a pruned one.
            successor = _read(self._name(f"rec.{rev + 1}"))
            landed = successor is not None and _member(successor, "prev") == nonce
        return {"outcome": "landed" if landed else "lost", "rev": highest, "record": record}

    def project(self, rev: int, content: str) -> Reply:
        """Write the line of a record and rename it into place."""
        kept, temporary = self._name(f"line.{rev}"), self._write_temporary(content)
        os.rename(temporary, kept)
        try:
            os.link(kept, temporary)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            os.rename(kept, temporary)
            self._stamp(rev, temporary, content)
        os.rename(temporary, self.line_path)
        _unlink(temporary)  # renaming one link over another of the same file leaves both
        _sync_directory(os.path.dirname(self.line_path) or ".")
        self._prune()
        return {}

    def records(self) -> Reply:
        """The newest records, whatever they hold, newest first; and the line."""
        revs = sorted(self._numbered("rec"), reverse=True)[:SHOWN_RECORDS]
        contents = ((rev, _read(self._name(f"rec.{rev}"))) for rev in revs)
        return {
            "records": [[rev, content] for rev, content in contents if content is not None],
            "line": self._line()[0],
        }

    def nonce(self, node: str, content: str | None) -> Reply:
        """Write this node's, or read the other one's."""
        name = self._name(f"nonce.{node}")
        if content is None:
            return {"nonce": _read(name)}
        os.makedirs(self.path, exist_ok=True)
        _overwrite(name, content)
        return {}

    def _highest(self) -> tuple[int, str | None]:
        """Revision and content of the newest record; 0 when there is none."""
        for _ in range(3):  # another node may prune between the listing and the read
            rev = max(self._numbered("rec"), default=0)
            if rev == 0:
                return 0, None
            content = _read(self._name(f"rec.{rev}"))
            if content is not None:
                return rev, content
        return rev, None

    def _numbered(self, kind: str) -> list[int]:
        try:
            names = os.listdir(self.path)
        except FileNotFoundError:
            return []
        parts = (name.partition(".") for name in names)
        return [int(rest) for head, _, rest in parts if head == kind and rest.isdecimal()]

    def _line(self) -> tuple[str | None, os.stat_result | None]:
        try:
            found = os.stat(self.line_path)
        except FileNotFoundError:
            return None, None
        return _read(self.line_path), found

    def _linked_by(self, found: os.stat_result) -> int | None:
        """The revision whose projection is this very file."""
        for rev in sorted(self._numbered("line"), reverse=True):
            try:
                if os.stat(self._name(f"line.{rev}")).st_ino == found.st_ino:
                    return rev
            except FileNotFoundError:
                continue
        return None

    def _stamped_by(self, found: os.stat_result, line: str) -> int | None:
        """The revision whose projection had this size, time and content."""
        for rev in sorted(self._numbered("stamp"), reverse=True):
            stamp = _read(self._name(f"stamp.{rev}")) or ""
            if _member(stamp, "size") != found.st_size or _member(stamp, "hash") != _hash(line):
                continue
            written_ns = _member(stamp, "mtime_ns")
            if type(written_ns) is int and abs(written_ns - found.st_mtime_ns) <= FAT_TIME_NS:
                return rev
        return None

    def _stamp(self, rev: int, projection: str, content: str) -> None:
        found = os.stat(projection)
        stamp = {"size": found.st_size, "mtime_ns": found.st_mtime_ns, "hash": _hash(content)}
        os.rename(self._write_temporary(json.dumps(stamp)), self._name(f"stamp.{rev}"))

    def _try_to_beat(self, node: str, beat: str) -> str | None:
        """What kept it from being written: a store that is full can still be read."""
        try:
            self._write_beat(node, beat)
        except OSError as error:
            return _text(error)
        return None

    def _write_beat(self, node: str, content: str) -> None:
        os.makedirs(self.path, exist_ok=True)
        _overwrite(self._name(f"hb.{node}"), content)

    def _write_temporary(self, content: str) -> str:
        name = self._temporary()
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            rest = content.encode("latin-1")
            while rest:  # a part may be taken before the error that says why
                rest = rest[os.write(file, rest) :]
            os.fsync(file)
        except OSError:
            _unlink(name)
            raise
        finally:
            os.close(file)
        return name

    def _put(self, temporary: str, target: str, nonce: str) -> bool:
        """Give a record its name unless that is taken; whether it is there now."""
        try:
            os.link(temporary, target)
        except FileExistsError:
            # A retransmitted NFS call can report a link that it made itself.
            return _holds(target, nonce)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            return self._put_folder(temporary, target, nonce)
        return True

    def _put_folder(self, temporary: str, target: str, nonce: str) -> bool:
        folder = self._temporary()
        os.mkdir(folder)
        os.rename(temporary, os.path.join(folder, RECORD))
        _sync_directory(folder)
        try:
            os.rename(folder, target)
        except OSError:  # which of them says that the name is taken, file systems disagree on
            if _read(target) is None:
                raise  # it may get through yet: what it would put there stays
            self._remove(folder)
            return _holds(target, nonce)
        return True

    def _prune(self) -> None:
        for kind in ("rec", "line", "stamp"):
            for rev in sorted(self._numbered(kind))[:-KEEP_RECORDS]:
                self._remove(self._name(f"{kind}.{rev}"))

    def sweep(self) -> None:
        """Remove what an earlier helper of this owner left, so that it can't land later."""
        try:
            names = os.listdir(self.path)
        except FileNotFoundError:
            return
        for name in names:
            if name.startswith(f"tmp.{self.owner}."):
                self._remove(self._name(name))

    def _remove(self, path: str) -> None:
        try:
            _unlink(path)
        except (IsADirectoryError, PermissionError):  # a folder, by Linux or by POSIX
            away = self._temporary()  # a rename of it that is still under way finds nothing
            os.rename(path, away)
            _unlink(os.path.join(away, RECORD))
            os.rmdir(away)

    def _temporary(self) -> str:
        self._count += 1
        return self._name(f"tmp.{self.owner}.{os.getpid()}.{self._count}")

    def _name(self, name: str) -> str:
        return os.path.join(self.path, name)


def _read(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            return file.read(MAX_FILE_BYTES + 1).decode("latin-1")
    except FileNotFoundError:
        return None
    except IsADirectoryError:
        return _read(os.path.join(path, RECORD))


def _overwrite(path: str, content: str) -> None:
    """In place: what is written again and again needs no new space."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        os.pwrite(file, content.encode("latin-1"), 0)
        os.fsync(file)
    finally:
        os.close(file)


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _sync_directory(path: str) -> None:
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _member(content: str, name: str) -> object:
    try:
        record = json.loads(content)
    except ValueError:
        return None
    return record.get(name) if isinstance(record, dict) else None


def _holds(path: str, nonce: str) -> bool:
    there = _read(path)
    return there is not None and _member(there, "nonce") == nonce


def _hash(content: str) -> str:
    import hashlib  # milliseconds at each start, and only a store without links needs it

    return hashlib.sha256(content.encode("latin-1")).hexdigest()


def _failure(outcome: str, error: OSError) -> Reply:
    return {"outcome": outcome, "rev": 0, "record": None, "error": _text(error)}


def _text(error: OSError) -> str:
    code = errno.errorcode.get(error.errno or 0, "")
    return f"{code} {error.strerror}".strip()


def _answer(folder: Folder, request: dict[str, Any]) -> Reply:
    operation = request.pop("op")
    try:
        if operation == "read":
            return folder.read(**request)
        if operation == "cas":
            return folder.cas(**request)
        if operation == "nonce":
            return folder.nonce(**request)
        if operation == "records":
            return folder.records()
        return folder.project(**request)
    except OSError as error:
        return {"error": _text(error), "missing": isinstance(error, FileNotFoundError)}


def _receive(stream: BinaryIO) -> dict[str, Any] | None:
    head = stream.read(4)
    if len(head) < 4:
        return None
    body = stream.read(struct.unpack(">I", head)[0])
    request: dict[str, Any] = json.loads(body)
    return request


def main(pair_file: str, owner: str) -> None:
    # The origin's end is seen as EOF; signals meant for the origin are not for its helper.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    folder = Folder(pair_file, owner)
    with contextlib.suppress(OSError):  # the first request will name the trouble
        folder.sweep()
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    while (request := _receive(stdin)) is not None:
        body = json.dumps(_answer(folder, request)).encode()
        stdout.write(struct.pack(">I", len(body)) + body)
        stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
