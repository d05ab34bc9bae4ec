"""A disk of a megabyte: full when a test fills it, as a real one is."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest

MNT_DETACH = 2


class TmpfsDisk:
    """Skips the test where a file system cannot be mounted: that needs root."""

    def __init__(self, path: Path, *, size: int = 1024 * 1024) -> None:
        self.path = path
        self._ballast = path / "ballast"
        path.mkdir()
        libc = ctypes.CDLL(None, use_errno=True)
        where = os.fsencode(path)
        if libc.mount(b"rtmp-sync-test", where, b"tmpfs", 0, f"size={size}".encode()):
            pytest.skip(f"a really full disk is left out: {os.strerror(ctypes.get_errno())}")

    def fill(self) -> None:
        """Leave no space at all."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (4096, 1):
                try:
                    while file.write(bytes(size)):
                        pass
                except OSError:
                    continue

    def heal(self) -> None:
        self._ballast.unlink()

    def close(self) -> None:
        ctypes.CDLL(None).umount2(os.fsencode(self.path), MNT_DETACH)
