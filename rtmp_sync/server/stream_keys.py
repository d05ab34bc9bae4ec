"""Keys for publishing and playing, for who does not write Python: `[apps.NAME] publish_keys`.

A file of lines `PATTERN KEY`: whoever publishes (plays) a stream whose name matches the pattern
(`*` and `?`) must give one of its keys, as `name?key=KEY` or `rtmp://host/app?key=KEY`. A stream
that no pattern matches is nobody's.
"""

from __future__ import annotations

import hmac
from fnmatch import fnmatchcase
from pathlib import Path

from rtmp_sync.errors import Reject
from rtmp_sync.lines_file import LinesFile
from rtmp_sync.stream_request import StreamRequest

__all__ = ["StreamKeys"]

FORM = "PATTERN KEY"


class StreamKeys:
    """The keys of one file. config_key: names the file in errors."""

    def __init__(self, path: Path, config_key: str) -> None:
        """Raises ConfigError."""
        self._file = LinesFile(path, config_key, FORM, _parse)

    async def admit(self, request: StreamRequest) -> None:
        """Raises Reject; ConfigError while the file is not readable."""
        given = request.query.get("key", "").encode()
        fits = False
        for pattern, key in await self._file.entries():
            same = hmac.compare_digest(key, given)
            fits |= same and fnmatchcase(request.name, pattern)
        if not fits:
            raise Reject(f"{request.name}: no valid key" if given else f"{request.name}: no key")


def _parse(words: list[bytes]) -> tuple[str, bytes]:
    if len(words) != 2:
        raise ValueError(f"must be `{FORM}`")
    return words[0].decode("utf-8", "replace"), words[1]
