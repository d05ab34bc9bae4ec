"""A NAS in memory: as much of the `os` module as `coordinators.file_io` uses.

Names are hard links to files, as on a real one, so that the real code of the records and of
the operator's line runs on it.
"""

from __future__ import annotations

import errno
import io
import os
import posixpath
from dataclasses import dataclass

__all__ = ["Nas"]


@dataclass(slots=True)
class _File:
    st_ino: int
    content: bytes = b""


class Nas:
    """version counts the changes of everything but heartbeats. full: nothing new fits."""

    O_WRONLY, O_CREAT, O_EXCL, O_RDONLY = os.O_WRONLY, os.O_CREAT, os.O_EXCL, os.O_RDONLY
    path = posixpath

    def __init__(self) -> None:
        self.version = 0
        self.full = False
        self._names: dict[str, _File] = {}
        self._folders: dict[str, list[str]] = {}
        self._open: dict[int, _File | None] = {}
        self._count = 0

    # -- what file_io calls ------------------------------------------------------------

    def getpid(self) -> int:
        return 1

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        self._folders.setdefault(path, [])

    def listdir(self, path: str) -> list[str]:
        if path not in self._folders:
            raise FileNotFoundError(errno.ENOENT, "no such folder", path)
        return self._folders[path]

    def stat(self, path: str) -> _File:
        return self._file(path)

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        self._count += 1
        if flags & self.O_CREAT:
            if path not in self._names:
                self._add(path, _File(self._count))
            elif flags & self.O_EXCL:
                raise FileExistsError(errno.EEXIST, "exists", path)
        self._open[self._count] = self._names.get(path)
        return self._count

    def pwrite(self, handle: int, content: bytes, offset: int) -> int:
        file = self._handle(handle)
        file.content = content + file.content[len(content) :]
        return len(content)

    def write(self, handle: int, content: bytes) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "no space left")
        file = self._handle(handle)
        file.content += content
        return len(content)

    def fsync(self, handle: int) -> None:
        pass

    def close(self, handle: int) -> None:
        del self._open[handle]

    def link(self, source: str, target: str) -> None:
        if target in self._names:
            raise FileExistsError(errno.EEXIST, "exists", target)
        self._add(target, self._file(source))

    def rename(self, source: str, target: str) -> None:
        file = self._file(source)
        there = self._names.get(target)
        if there is file:
            return  # two names of one file: POSIX leaves both
        if there is not None:
            self._remove(target)
        self._remove(source)
        self._add(target, file)

    def unlink(self, path: str) -> None:
        self._file(path)
        self._remove(path)

    def open_file(self, path: str, mode: str) -> io.BytesIO:
        """The builtin `open`, for reading."""
        return io.BytesIO(self._file(path).content)

    # -- what the simulation does ------------------------------------------------------

    def put(self, path: str, content: bytes) -> None:
        """An operator saves a file: another inode."""
        if path in self._names:
            self._remove(path)
        self._count += 1
        self._add(path, _File(self._count, content))

    def content(self, path: str) -> bytes | None:
        file = self._names.get(path)
        return file.content if file is not None else None

    def _file(self, path: str) -> _File:
        file = self._names.get(path)
        if file is None:
            raise FileNotFoundError(errno.ENOENT, "no such file", path)
        return file

    def _handle(self, handle: int) -> _File:
        file = self._open[handle]
        assert file is not None
        return file

    def _add(self, path: str, file: _File) -> None:
        self._names[path] = file
        folder, _, name = path.rpartition("/")
        listing = self._folders.setdefault(folder, [])
        self._folders[folder] = [*listing, name]
        self._changed(name)

    def _remove(self, path: str) -> None:
        del self._names[path]
        folder, _, name = path.rpartition("/")
        self._folders[folder] = [other for other in self._folders[folder] if other != name]
        self._changed(name)

    def _changed(self, name: str) -> None:
        if not name.startswith("hb."):
            self.version += 1
