"""Bearer tokens of the JSON API: `admin.tokens_file`.

A file of lines `NAME ROLE TOKEN`: NAME is for the audit, ROLE is `read` or `change`. Only hashes of
the tokens are kept.
"""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Final, NamedTuple

from rtmp_sync.lines_file import LinesFile

__all__ = ["Caller", "Tokens"]

KEY: Final = "admin.tokens_file"
FORM: Final = "NAME ROLE TOKEN"
TOKEN_CHARACTERS_MIN: Final = 16
_ROLES: Final = ("read", "change")


class Caller(NamedTuple):
    """Who asks. name: of the user or the token."""

    name: str
    may_change: bool


class Tokens:
    """Of one file; without a file there are none."""

    def __init__(self, path: Path | None) -> None:
        """Raises ConfigError."""
        self._file = LinesFile(path, KEY, FORM, _parse) if path is not None else None

    async def find(self, token: str) -> Caller | None:
        """Whose token it is. Takes the same time whatever is wrong. Raises ConfigError while
        the file cannot be read."""
        if self._file is None:
            return None
        given = _hashed(token.encode("utf-8", "surrogateescape"))
        found = None
        for known, caller in await self._file.entries():
            if hmac.compare_digest(known, given):
                found = caller
        return found


def _parse(words: list[bytes]) -> tuple[bytes, Caller]:
    role = words[1].decode("utf-8", "replace") if len(words) == 3 else ""
    if role not in _ROLES:
        raise ValueError(f"must be `{FORM}`, ROLE read or change")
    if len(words[2]) < TOKEN_CHARACTERS_MIN:
        raise ValueError(f"must have a token of at least {TOKEN_CHARACTERS_MIN} characters")
    return _hashed(words[2]), Caller(words[0].decode("utf-8", "replace"), role == "change")


def _hashed(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
