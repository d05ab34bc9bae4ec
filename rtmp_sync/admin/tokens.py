"""Bearer tokens of the JSON API: `admin.tokens_file`.

A file of lines `NAME ROLE TOKEN`: NAME is for the audit, ROLE is `read` or `change`. `#` begins a
comment. Only hashes of the tokens are kept.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from rtmp_sync.errors import ConfigError

__all__ = ["Caller", "Tokens"]

KEY: Final = "admin.tokens_file"
MAX_FILE_BYTES: Final = 256 * 1024
TOKEN_CHARACTERS_MIN: Final = 16
_ROLES: Final = ("read", "change")


class Caller(NamedTuple):
    """Who asks. name: of the user or the token."""

    name: str
    may_change: bool


class Tokens:
    """Of one file, read again when it has changed; without a file there are none."""

    def __init__(self, path: Path | None) -> None:
        """Raises ConfigError."""
        self._path = path
        self._seen = (-1, -1)
        self._callers: list[tuple[bytes, Caller]] = []
        self._refresh()

    async def find(self, token: str) -> Caller | None:
        """Whose token it is. Takes the same time whatever is wrong. Raises ConfigError while
        the file cannot be read."""
        if self._path is not None:
            await asyncio.to_thread(self._refresh)
        given = _hashed(token.encode("utf-8", "surrogateescape"))
        found = None
        for known, caller in self._callers:
            if hmac.compare_digest(known, given):
                found = caller
        return found

    def _refresh(self) -> None:
        if self._path is None:
            return
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_size)
            if seen == self._seen:
                return
            with self._path.open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            fix = f"cannot be read ({error.strerror}); write lines `NAME ROLE TOKEN`, mode 0600"
            raise ConfigError(KEY, str(self._path), fix) from None
        self._callers = list(self._parsed(content))
        self._seen = seen

    def _parsed(self, content: bytes) -> Iterator[tuple[bytes, Caller]]:
        if len(content) > MAX_FILE_BYTES:
            raise self._wrong(f"is longer than {MAX_FILE_BYTES} bytes")
        for number, line in enumerate(content.splitlines(), 1):
            words = line.partition(b"#")[0].split()
            if not words:
                continue
            role = words[1].decode("utf-8", "replace") if len(words) == 3 else ""
            if role not in _ROLES:
                raise self._wrong(f"line {number} must be `NAME ROLE TOKEN`, ROLE read or change")
            if len(words[2]) < TOKEN_CHARACTERS_MIN:
                text = f"line {number}: a token needs at least {TOKEN_CHARACTERS_MIN} characters"
                raise self._wrong(text)
            yield _hashed(words[2]), Caller(words[0].decode("utf-8", "replace"), role == "change")

    def _wrong(self, fix: str) -> ConfigError:
        return ConfigError(KEY, str(self._path), fix)


def _hashed(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
