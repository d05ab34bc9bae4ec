"""Where recordings are: from the name that a client gives to a path that cannot leave its folder.

    media / app / instance / NAME.rec/      a recording of ours: segments, `recording.py`
    media / app / instance / NAME.flv       a file that somebody put there
    media / app / a%2Fb / NAME.rec/         the same of an instance whose name has a slash
    a virtual folder / REST of the name     the same two, for names that begin with its prefix

`mp4:`, `flv:` and `mp3:` before a name are FMS's way to say what kind it is; the name counts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

__all__ = ["FILE", "RECORDING", "MediaFolders", "NameRefused"]

RECORDING: Final = ".rec"
FILE: Final = ".flv"
_KINDS: Final = ("flv", "mp4", "mp3", "f4v")
_NAME_BYTES: Final = 200  # of a part; file systems take 255, and ours get suffixes
_PARTS: Final = 16


class NameRefused(Exception):
    """A name that is no path in a folder; the text says why."""


class MediaFolders:
    """media: the folder of all recordings, None for none. virtual: prefix of names -> folder."""

    def __init__(self, media: Path | None, virtual: Mapping[str, Path]) -> None:
        self._media = media
        self._virtual = {
            tuple(prefix.strip("/").split("/")): folder for prefix, folder in virtual.items()
        }

    @property
    def any(self) -> bool:
        """Whether there is a place for recordings at all."""
        return self._media is not None or bool(self._virtual)

    def locate(self, app: str, instance: str, name: str) -> Path:
        """The path of a recording without its suffix. Raises NameRefused; touches no disk."""
        return self._resolve(app, instance, name)[1]

    def root(self, app: str, instance: str, name: str) -> Path:
        """The folder of the configuration that it is in. Raises NameRefused; touches no disk."""
        return self._resolve(app, instance, name)[0]

    def prove(self, app: str, instance: str, name: str) -> Path:
        """The same, with every link on the way followed: raises NameRefused where one leads out
        of the folder, and OSError. Touches the disk: not for the loop."""
        root, path = self._resolve(app, instance, name)
        real = os.path.realpath(path.parent)
        if os.path.commonpath([os.path.realpath(root), real]) != os.path.realpath(root):
            raise NameRefused("leads out of the media folder")
        for suffix in (RECORDING, FILE):
            if os.path.islink(path.with_name(path.name + suffix)):
                raise NameRefused("is a link")
        return path

    def _resolve(self, app: str, instance: str, name: str) -> tuple[Path, Path]:
        kind, colon, rest = name.partition(":")
        if colon and kind in _KINDS:
            name = rest
        if name.lower().endswith(FILE):
            name = name[: -len(FILE)]
        parts = _parts(name)
        longest = max(
            (prefix for prefix in self._virtual if tuple(parts[: len(prefix)]) == prefix),
            key=len,
            default=None,
        )
        if longest is not None and len(parts) > len(longest):
            root = self._virtual[longest]
            return root, root.joinpath(*parts[len(longest) :])
        if self._media is None:
            raise NameRefused("there is no folder for recordings: set storage.media")
        root = self._media.joinpath(*_parts(app), _one_folder(instance))
        return self._media, root.joinpath(*parts)


def _one_folder(instance: str) -> str:
    """Whatever slashes it has: who may be in the instance "a" gets nothing of "a/b" by asking for
    the stream "b/c". Raises NameRefused."""
    folder = "%2F".join(part.replace("%", "%25") for part in _parts(instance))
    if len(folder.encode()) > _NAME_BYTES:
        raise NameRefused(f"is in an instance of more than {_NAME_BYTES} bytes")
    return folder


def _parts(name: str) -> list[str]:
    """The parts of a name. Raises NameRefused."""
    if not name:
        raise NameRefused("is empty")
    if name.startswith("/"):
        raise NameRefused("is absolute")
    parts = name.split("/")
    if len(parts) > _PARTS:
        raise NameRefused(f"has more than {_PARTS} parts")
    for part in parts:
        if part in ("", ".", ".."):
            raise NameRefused(f"has the part {part!r}")
        if not part.isprintable() or any(char in part for char in '\\:*?"<>|'):
            raise NameRefused("has characters that file systems do not take")
        if part.endswith((".", " ")):
            raise NameRefused(f"has the part {part!r}, whose end some file systems leave out")
        if part.lower().endswith((RECORDING, FILE)) or part.startswith("."):
            raise NameRefused(f"has the part {part!r}, which is kept for files")
        try:
            size = len(part.encode())
        except UnicodeEncodeError:
            raise NameRefused("is no text") from None
        if size > _NAME_BYTES:
            raise NameRefused(f"has a part of more than {_NAME_BYTES} bytes")
    return parts
