"""Keys for publishing and playing, for who does not write Python: `[apps.NAME] publish_keys`.

A file of lines `PATTERN KEY`: whoever publishes (plays) a stream whose name matches the pattern
(`*` and `?`) must give one of its keys, as `name?key=KEY` or `rtmp://host/app?key=KEY`. A stream
that no pattern matches is nobody's. `#` begins a comment.
"""

from __future__ import annotations

import asyncio
import hmac
from fnmatch import fnmatchcase
from pathlib import Path

from rtmp_sync.errors import ConfigError, Reject
from rtmp_sync.stream_request import StreamRequest

__all__ = ["StreamKeys"]

MAX_FILE_BYTES = 1024 * 1024

Entry = tuple[str, bytes]


class StreamKeys:
    """The keys of one file, read again when it has changed.

    config_key: names the file in errors.
    """

    def __init__(self, path: Path, config_key: str) -> None:
        """Raises ConfigError."""
        self._path = path
        self._config_key = config_key
        self._seen: tuple[int, int] = (-1, -1)
        self._entries: list[Entry] = []
        self._refresh()

    async def admit(self, request: StreamRequest) -> None:
        """Raises Reject; ConfigError while the file is not readable."""
        await asyncio.to_thread(self._refresh)
        given = request.query.get("key", "").encode()
        fits = False
        for pattern, key in self._entries:
            same = hmac.compare_digest(key, given)
            fits |= same and fnmatchcase(request.name, pattern)
        if not fits:
            raise Reject(f"{request.name}: no valid key" if given else f"{request.name}: no key")

    def _refresh(self) -> None:
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_size)
            if seen == self._seen:
                return
            with self._path.open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            fix = f"cannot be read ({error.strerror}); write lines `PATTERN KEY` into it, mode 0600"
            raise ConfigError(self._config_key, str(self._path), fix) from None
        self._entries = self._parsed(content)
        self._seen = seen

    def _parsed(self, content: bytes) -> list[Entry]:
        if len(content) > MAX_FILE_BYTES:
            raise ConfigError(self._config_key, str(self._path), "is longer than a megabyte")
        entries: list[Entry] = []
        for number, line in enumerate(content.splitlines(), 1):
            words = line.partition(b"#")[0].split()
            if not words:
                continue
            if len(words) != 2:
                fix = f"line {number} must be `PATTERN KEY`"
                raise ConfigError(self._config_key, str(self._path), fix)
            entries.append((words[0].decode("utf-8", "replace"), words[1]))
        return entries
