"""What a client asks for when it publishes or plays: the stream's name and what comes with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

__all__ = ["StreamRequest"]

MAX_FIELDS = 100  # of a query; more is no request of a person


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """name: without its query. query: of the stream's name and, where that does not say it, of
    the application's (`rtmp://host/app?key=…`); the first value of each field. kind: "live",
    "record", "append" or "appendWithGap" of who publishes, "play" of who plays.

    Source: the arguments of `publish` and `play` (RTMP 1.0, 7.2.2), with queries as FMS has them.
    """

    name: str
    kind: str
    query: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, name: str, kind: str, app: str = "") -> StreamRequest:
        """name: as asked for. app: the `app` of the client's connect."""
        stream, _, own = name.partition("?")
        fields = [*_fields(own), *_fields(app.partition("?")[2])]
        query: dict[str, str] = {}
        for key, value in fields:
            query.setdefault(key, value)
        return cls(stream, kind, query)


def _fields(query: str) -> list[tuple[str, str]]:
    """What cannot be a query is none: it is part of a name that somebody chose."""
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        return []
