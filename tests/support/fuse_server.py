"""A file system of the tests' own: passes everything on to a directory, or misbehaves on demand.

Speaks the kernel's FUSE protocol on /dev/fuse itself (include/uapi/linux/fuse.h), so nothing
has to be installed; mounting needs root. Runs as a process of its own, since whoever uses the
mount waits for it:

    python -m tests.support.fuse_server DIRECTORY MOUNT_POINT

prints "ready", then obeys a line each on its standard input, and prints it when it has:

    well           everything is passed on; what was held is done now
    hang           every request is taken and not answered: its process waits in state D
    slow SECONDS   so long for each write and each flush
    full           no space left on the device
    readonly       nothing may be changed
    broken         writes and flushes fail with EIO
    gone           everything fails with EIO
    hold-links     as "hang", but only for new hard links
    no-links       a file has one name, as on most shares; an exclusive rename works
    no-exclusive   neither that nor an exclusive rename
    power-loss     what was written since a file's last flush is gone, and files that were made
                   since their directory's; whoever uses the disk is dead by then (renames stay)
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import struct
import sys
import time
from collections.abc import Callable
from typing import Final, NamedTuple

_IN = struct.Struct("<IIQQIIII")
_OUT = struct.Struct("<IiQ")
_INIT_OUT = struct.Struct("<IIIIHHIIHHI28x")
_ATTR = struct.Struct("<6Q10I")
_ENTRY_HEAD = struct.Struct("<QQQQII")
_SETATTR = struct.Struct("<IIQQQQQQIIIIIIII")
_READ = struct.Struct("<QQIIQII")
_DIRENT = struct.Struct("<QQII")
_STATFS = struct.Struct("<5Q10I")

LOOKUP, FORGET, GETATTR, SETATTR, MKDIR, UNLINK, RMDIR = 1, 2, 3, 4, 9, 10, 11
RENAME, LINK, OPEN, READ, WRITE, STATFS, RELEASE, FSYNC = 12, 13, 14, 15, 16, 17, 18, 20
FLUSH, INIT, OPENDIR, READDIR, RELEASEDIR, FSYNCDIR, CREATE = 25, 26, 27, 28, 29, 30, 35
INTERRUPT, DESTROY, BATCH_FORGET, RENAME2 = 36, 38, 42, 45

UNANSWERED: Final = {FORGET, BATCH_FORGET, INTERRUPT}
CHANGING: Final = {SETATTR, MKDIR, UNLINK, RMDIR, RENAME, RENAME2, LINK, CREATE, WRITE}
GROWING: Final = {MKDIR, LINK, CREATE, WRITE}
DISK: Final = {WRITE, FSYNC, FSYNCDIR}
ENDING: Final = {INIT, DESTROY, FLUSH, RELEASE, RELEASEDIR}
RENAME_NOREPLACE: Final = 1
SET_MODE, SET_SIZE, SET_MTIME, SET_NOW = 1, 8, 32, 256
MAX_WRITE: Final = 128 * 1024
ROOT: Final = 1


class Request(NamedTuple):
    opcode: int
    unique: int
    node: int
    body: bytes


class Server:
    """nodes: an O_PATH descriptor for each inode that the kernel knows, by node number."""

    def __init__(self, device: int, directory: str) -> None:
        self._device = device
        self._mode = "well"
        self._slow_seconds = 0.0
        self._held: list[Request] = []
        self._before: dict[int, bytes] = {}  # content of files with writes that were not flushed
        self._new_names: set[tuple[int, str]] = set()  # (directory, name), not flushed
        self._nodes = {ROOT: os.open(directory, os.O_PATH | os.O_DIRECTORY)}
        self._lookups = {ROOT: 1}
        self._by_inode: dict[int, int] = {os.stat(directory).st_ino: ROOT}
        self._last_node = ROOT
        self._handlers: dict[int, Callable[[Request], bytes]] = {
            LOOKUP: lambda r: self._entry(r.node, _name(r.body)),
            GETATTR: lambda r: self._attributes(r.node),
            SETATTR: self._set_attributes,
            MKDIR: self._make_directory,
            UNLINK: self._unlink,
            RMDIR: self._remove_directory,
            RENAME: lambda r: self._rename(r, 8),
            RENAME2: lambda r: self._rename(r, 16),
            LINK: self._link,
            OPEN: self._open,
            CREATE: self._create,
            READ: self._read,
            WRITE: self._write,
            FSYNC: self._sync,
            FSYNCDIR: self._sync,
            RELEASE: self._release,
            OPENDIR: self._open,
            READDIR: self._read_directory,
            RELEASEDIR: self._release,
            FLUSH: lambda r: b"",
            STATFS: self._statistics,
            INIT: self._init,
            DESTROY: lambda r: b"",
        }

    def run(self) -> None:
        """Until the mount is gone, or the standard input ends."""
        print("ready", flush=True)
        while True:
            readable, _, _ = select.select([self._device, sys.stdin.fileno()], [], [])
            if sys.stdin.fileno() in readable:
                command = os.read(sys.stdin.fileno(), 4096).decode()
                if not command:
                    return
                for line in command.splitlines():
                    self._obey(line)
                    print(line, flush=True)
            if self._device in readable:
                try:
                    data = os.read(self._device, MAX_WRITE + 4096)
                except OSError as error:
                    if error.errno == errno.ENODEV:  # unmounted
                        return
                    continue  # the request was taken back meanwhile
                _, opcode, unique, node, *_ = _IN.unpack_from(data)
                self._take(Request(opcode, unique, node, data[_IN.size :]))

    def _obey(self, line: str) -> None:
        if line == "power-loss":
            self._lose_power()
            return
        self._mode, _, seconds = line.partition(" ")
        self._slow_seconds = float(seconds or 0)
        held, self._held = self._held, []
        for request in held:
            self._take(request)

    def _lose_power(self) -> None:
        for node, content in self._before.items():
            with open(self._path(node), "wb") as file:
                file.write(content)
        for directory, name in self._new_names:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self._nodes[directory])
        self._before.clear()
        self._new_names.clear()

    def _remember(self, node: int) -> None:
        """Before the first change since the last flush."""
        if node not in self._before:
            with open(self._path(node), "rb") as file:
                self._before[node] = file.read()

    def _take(self, request: Request) -> None:
        if request.opcode in UNANSWERED:
            if request.opcode == FORGET:
                self._forget(request.node, struct.unpack("<Q", request.body)[0])
            elif request.opcode == BATCH_FORGET:
                for node, count in struct.iter_unpack("<QQ", request.body[8:]):
                    self._forget(node, count)
        elif self._mode == "hang" or (self._mode == "hold-links" and request.opcode == LINK):
            self._held.append(request)
        else:
            if request.opcode in DISK:
                time.sleep(self._slow_seconds)
            self._answer(request)

    def _answer(self, request: Request) -> None:
        body, error = b"", self._refusal(request.opcode)
        handler = self._handlers.get(request.opcode)
        if not error and handler is None:
            error = errno.ENOSYS
        elif not error and handler is not None:
            try:
                body = handler(request)
            except OSError as refused:
                error = refused.errno or errno.EIO
        head = _OUT.pack(_OUT.size + len(body), -error, request.unique)
        with contextlib.suppress(FileNotFoundError):  # nobody waits for it any more
            os.write(self._device, head + body)

    def _refusal(self, opcode: int) -> int:
        if self._mode == "full" and opcode in GROWING:
            return errno.ENOSPC
        if self._mode == "readonly" and opcode in CHANGING:
            return errno.EROFS
        if self._mode == "broken" and opcode in DISK:
            return errno.EIO
        if self._mode == "gone" and opcode not in ENDING:
            return errno.EIO
        if self._mode in ("no-links", "no-exclusive") and opcode == LINK:
            return errno.EPERM
        return 0

    # What the kernel asks

    def _init(self, request: Request) -> bytes:
        _, minor, readahead, _ = struct.unpack_from("<IIII", request.body)
        return _INIT_OUT.pack(7, min(minor, 31), readahead, 0, 16, 12, MAX_WRITE, 1, 32, 0, 0)

    def _path(self, node: int) -> str:
        return f"/proc/self/fd/{self._nodes[node]}"

    def _entry(self, parent: int, name: str) -> bytes:
        return self._entry_of(os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=self._nodes[parent]))

    def _entry_of(self, fd: int) -> bytes:
        """fd: an O_PATH descriptor, taken over."""
        inode = os.fstat(fd).st_ino
        node = self._by_inode.get(inode)
        if node is None:
            self._last_node += 1
            node = self._by_inode[inode] = self._last_node
            self._nodes[node], self._lookups[node] = fd, 0
        else:
            os.close(fd)
        self._lookups[node] += 1
        return _ENTRY_HEAD.pack(node, 0, 0, 0, 0, 0) + self._stat(self._nodes[node])

    def _stat(self, fd: int) -> bytes:
        return attributes(os.fstat(fd))

    def _forget(self, node: int, count: int) -> None:
        self._lookups[node] -= count
        if self._lookups[node] <= 0 and node != ROOT:
            fd = self._nodes.pop(node)
            del self._lookups[node], self._by_inode[os.fstat(fd).st_ino]
            self._before.pop(node, None)
            os.close(fd)

    def _attributes(self, node: int) -> bytes:
        return struct.pack("<QII", 0, 0, 0) + self._stat(self._nodes[node])

    def _set_attributes(self, request: Request) -> bytes:
        valid, _, _, size, _, _, mtime, _, _, mtime_ns, _, mode, *_ = _SETATTR.unpack(request.body)
        path = self._path(request.node)
        if valid & SET_MODE:
            os.chmod(path, mode & 0o7777)
        if valid & SET_SIZE:
            self._remember(request.node)
            os.truncate(path, size)
        if valid & SET_NOW:
            os.utime(path)
        elif valid & SET_MTIME:
            os.utime(path, ns=(mtime * 10**9 + mtime_ns,) * 2)
        return self._attributes(request.node)

    def _make_directory(self, request: Request) -> bytes:
        mode, _ = struct.unpack_from("<II", request.body)
        os.mkdir(_name(request.body[8:]), mode, dir_fd=self._nodes[request.node])
        return self._entry(request.node, _name(request.body[8:]))

    def _unlink(self, request: Request) -> bytes:
        os.unlink(_name(request.body), dir_fd=self._nodes[request.node])
        return b""

    def _remove_directory(self, request: Request) -> bytes:
        os.rmdir(_name(request.body), dir_fd=self._nodes[request.node])
        return b""

    def _rename(self, request: Request, head: int) -> bytes:
        (target,) = struct.unpack_from("<Q", request.body)
        old, new = request.body[head:].rstrip(b"\0").split(b"\0")
        self._new_names.discard((request.node, os.fsdecode(old)))
        source_fd, target_fd = self._nodes[request.node], self._nodes[target]
        if head == 16 and (flags := struct.unpack_from("<QI", request.body)[1]):
            if flags != RENAME_NOREPLACE or self._mode == "no-exclusive":
                raise OSError(errno.EINVAL, "")
            if os.access(new, os.F_OK, dir_fd=target_fd, follow_symlinks=False):
                raise OSError(errno.EEXIST, "")  # nothing else renames meanwhile
        os.rename(old, new, src_dir_fd=source_fd, dst_dir_fd=target_fd)
        return b""

    def _link(self, request: Request) -> bytes:
        (node,) = struct.unpack_from("<Q", request.body)
        name = _name(request.body[8:])
        os.link(self._path(node), name, dst_dir_fd=self._nodes[request.node])
        return self._entry(request.node, name)

    def _open(self, request: Request) -> bytes:
        (flags,) = struct.unpack_from("<I", request.body)
        if self._mode == "readonly" and flags & os.O_ACCMODE != os.O_RDONLY:
            raise OSError(errno.EROFS, "")
        # the kernel says where each write goes: appending twice would be wrong
        keep = flags & ~(os.O_APPEND | os.O_NOFOLLOW | os.O_CREAT | os.O_EXCL)
        return struct.pack("<QII", os.open(self._path(request.node), keep), 0, 0)

    def _create(self, request: Request) -> bytes:
        flags, mode, _, _ = struct.unpack_from("<IIII", request.body)
        name = _name(request.body[16:])
        keep = (flags | os.O_CREAT) & ~os.O_APPEND
        handle = os.open(name, keep, mode, dir_fd=self._nodes[request.node])
        self._new_names.add((request.node, name))
        return self._entry(request.node, name) + struct.pack("<QII", handle, 0, 0)

    def _read(self, request: Request) -> bytes:
        handle, offset, size, *_ = _READ.unpack_from(request.body)
        return os.pread(handle, size, offset)

    def _write(self, request: Request) -> bytes:
        handle, offset, size, *_ = _READ.unpack_from(request.body)
        data = request.body[_READ.size : _READ.size + size]
        self._remember(request.node)
        return struct.pack("<II", os.pwrite(handle, data, offset), 0)

    def _sync(self, request: Request) -> bytes:
        (handle,) = struct.unpack_from("<Q", request.body)
        os.fsync(handle)
        if request.opcode == FSYNC:
            self._before.pop(request.node, None)
        else:
            self._new_names = {new for new in self._new_names if new[0] != request.node}
        return b""

    def _release(self, request: Request) -> bytes:
        (handle,) = struct.unpack_from("<Q", request.body)
        os.close(handle)
        return b""

    def _read_directory(self, request: Request) -> bytes:
        _, offset, size, *_ = _READ.unpack_from(request.body)
        listing = b""
        names = [".", "..", *self._list(request.node)]
        for number, name in enumerate(names[offset:], offset + 1):
            encoded = os.fsencode(name)
            entry = _DIRENT.pack(1, number, len(encoded), 0) + encoded
            entry += bytes(-len(entry) % 8)
            if len(listing) + len(entry) > size:
                break
            listing += entry
        return listing

    def _list(self, node: int) -> list[str]:
        return sorted(os.listdir(self._path(node)))

    def _statistics(self, request: Request) -> bytes:
        found = os.statvfs(self._path(request.node))
        free = 0 if self._mode == "full" else found.f_bfree
        blocks = (found.f_blocks, free, free, found.f_files, found.f_ffree)
        return _STATFS.pack(*blocks, found.f_bsize, found.f_namemax, found.f_frsize, *[0] * 7)


def _name(body: bytes) -> str:
    return os.fsdecode(body.partition(b"\0")[0])


def attributes(found: os.stat_result, *, size: int | None = None) -> bytes:
    """A file's, as the kernel wants them. size: if not the real one."""
    seconds = [int(at) for at in (found.st_atime, found.st_mtime, found.st_ctime)]
    parts = [at % 10**9 for at in (found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns)]
    return _ATTR.pack(
        *(found.st_ino, found.st_size if size is None else size, found.st_blocks),
        *seconds,
        *parts,
        *(found.st_mode, found.st_nlink, found.st_uid, found.st_gid),
        *(0, 4096, 0),
    )


def mount(mount_point: str) -> int:
    """The device of a new mount. Raises OSError: no root, no FUSE."""
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"rtmp-sync-test", os.fsencode(mount_point), b"fuse", 0, options.encode()):
        code = ctypes.get_errno()
        os.close(device)
        raise OSError(code, os.strerror(code), mount_point)
    return device


if __name__ == "__main__":
    try:
        Server(mount(sys.argv[2]), sys.argv[1]).run()
    except OSError as error:
        print(f"no FUSE: {error}", flush=True)
