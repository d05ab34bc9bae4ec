"""Secrets in files of lines of words, edited while an origin runs: stream keys, tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Generic, TypeVar

from rtmp_sync.errors import ConfigError

__all__ = ["LinesFile"]

MAX_BYTES: Final = 1024 * 1024

Entry = TypeVar("Entry")


class LinesFile(Generic[Entry]):
    """Its entries, one a line, read again when it has changed. `#` begins a comment.

    config_key: names the file in errors. form: of a line, as `PATTERN KEY`. parse: the words of
    a line; raises ValueError("must be …").
    """

    def __init__(
        self, path: Path, config_key: str, form: str, parse: Callable[[list[bytes]], Entry]
    ) -> None:
        """Raises ConfigError."""
        self._path = path
        self._config_key = config_key
        self._form = form
        self._parse = parse
        self._seen = (-1, -1)
        self._entries: list[Entry] = []
        self._refresh()

    async def entries(self) -> list[Entry]:
        """Those of the file as it is now. Raises ConfigError while it cannot be read."""
        await asyncio.to_thread(self._refresh)
        return self._entries

    def _refresh(self) -> None:
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_size)
            if seen == self._seen:
                return
            with self._path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        except OSError as error:
            fix = f"cannot be read ({error.strerror}); write lines `{self._form}`, mode 0600"
            raise self._wrong(fix) from None
        if len(content) > MAX_BYTES:
            raise self._wrong("is longer than a megabyte")
        self._entries = list(self._parsed(content))
        self._seen = seen

    def _parsed(self, content: bytes) -> Iterator[Entry]:
        for number, line in enumerate(content.splitlines(), 1):
            words = line.partition(b"#")[0].split()
            if words:
                try:
                    yield self._parse(words)
                except ValueError as error:
                    raise self._wrong(f"line {number} {error}") from None

    def _wrong(self, fix: str) -> ConfigError:
        return ConfigError(self._config_key, str(self._path), fix)
