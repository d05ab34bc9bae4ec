"""A NAS mount of the lab's own: what `fuse_server` can do, and a client whose cache is stale.

    python -m tests.lab.fuse_nas DIRECTORY MOUNT_POINT

obeys the same lines, and one more:

    stale    what others change from now on is not seen: names, contents and which file a name
             leads to stay as they are, as with an attribute cache that never ends. What is done
             through this mount is seen.
"""

from __future__ import annotations

import errno
import os
import struct
import sys

from tests.support.fuse_server import LOOKUP, Request, Server, attributes, mount


class NasServer(Server):
    """Keeps, while it is stale, the names of each directory and the content of each file."""

    def __init__(self, device: int, directory: str) -> None:
        super().__init__(device, directory)
        self._directory = directory
        self._names: dict[int, dict[str, int]] | None = None  # directory's inode: name: O_PATH
        self._contents: dict[int, bytes] = {}  # by inode
        self._handlers[LOOKUP] = self._look_up

    def _obey(self, line: str) -> None:
        if line == "stale":
            super()._obey("well")
            self._remember_everything()
            return
        self._forget_everything()
        super()._obey(line)

    def _remember_everything(self) -> None:
        self._forget_everything()
        self._names = {}
        for folder, _, _ in os.walk(self._directory):
            names = self._names[os.stat(folder).st_ino] = {}
            for entry in os.scandir(folder):
                names[entry.name] = os.open(entry.path, os.O_PATH | os.O_NOFOLLOW)
                if entry.is_file(follow_symlinks=False):
                    with open(entry.path, "rb") as file:
                        self._contents[entry.inode()] = file.read()

    def _forget_everything(self) -> None:
        for names in (self._names or {}).values():
            for fd in names.values():
                os.close(fd)
        self._names, self._contents = None, {}

    def _cached(self, node: int) -> dict[str, int] | None:
        """The names of a directory as this client has them; None: as they are."""
        if self._names is None:
            return None
        return self._names.get(os.fstat(self._nodes[node]).st_ino)

    def _look_up(self, request: Request) -> bytes:
        name = os.fsdecode(request.body.partition(b"\0")[0])
        names = self._cached(request.node)
        if names is None:
            return self._entry(request.node, name)
        if name not in names:
            raise OSError(errno.ENOENT, "")
        return self._entry_of(os.dup(names[name]))

    def _entry(self, parent: int, name: str) -> bytes:
        """Of a name that exists, or was just made through this mount."""
        entry = super()._entry(parent, name)
        names = self._cached(parent)
        if names is not None:
            if name in names:
                os.close(names[name])
            names[name] = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=self._nodes[parent])
        return entry

    def _unlink(self, request: Request) -> bytes:
        name = os.fsdecode(request.body.partition(b"\0")[0])
        names = self._cached(request.node)
        if names is not None and name in names:
            os.close(names.pop(name))
        return super()._unlink(request)

    def _rename(self, request: Request, head: int) -> bytes:
        (target,) = struct.unpack_from("<Q", request.body)
        old, new = map(os.fsdecode, request.body[head:].rstrip(b"\0").split(b"\0"))
        done = super()._rename(request, head)
        source_names, target_names = self._cached(request.node), self._cached(target)
        if source_names is not None and target_names is not None and old in source_names:
            if new in target_names:
                os.close(target_names[new])
            target_names[new] = source_names.pop(old)
        return done

    def _read(self, request: Request) -> bytes:
        handle, offset, size, *_ = struct.unpack_from("<QQIIQII", request.body)
        content = self._contents.get(os.fstat(handle).st_ino)
        if content is None:
            return super()._read(request)
        return content[offset : offset + size]

    def _write(self, request: Request) -> bytes:
        (handle,) = struct.unpack_from("<Q", request.body)
        self._contents.pop(os.fstat(handle).st_ino, None)  # the client knows what it wrote
        return super()._write(request)

    def _list(self, node: int) -> list[str]:
        names = self._cached(node)
        return super()._list(node) if names is None else sorted(names)

    def _stat(self, fd: int) -> bytes:
        found = os.fstat(fd)
        content = self._contents.get(found.st_ino)
        return attributes(found, size=None if content is None else len(content))


if __name__ == "__main__":
    try:
        NasServer(mount(sys.argv[2]), sys.argv[1]).run()
    except OSError as error:
        print(f"no FUSE: {error}", flush=True)
