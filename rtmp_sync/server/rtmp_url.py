"""rtmp:// addresses: host, port, application and instance."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from rtmp_sync.errors import ConnectError
from rtmp_sync.wire.constants import CONNECT_FAILED

__all__ = ["RtmpUrl"]

DEFAULT_PORT = 1935


@dataclass(frozen=True, slots=True)
class RtmpUrl:
    """`app` is everything behind the host, instance and query too: what `connect` sends."""

    text: str
    host: str
    port: int
    app: str

    @classmethod
    def parse(cls, text: str) -> RtmpUrl:
        """ConnectError for what is no rtmp:// address with a host and an application."""
        try:
            parts = urlsplit(text)
            port = parts.port or DEFAULT_PORT
        except ValueError as error:
            raise ConnectError(CONNECT_FAILED, f"{text}: {error}") from error
        app = parts.path.lstrip("/") + (f"?{parts.query}" if parts.query else "")
        if parts.scheme != "rtmp" or not parts.hostname or not app:
            raise ConnectError(CONNECT_FAILED, f"{text}: not rtmp://host[:port]/application")
        return cls(text, parts.hostname, port, app)

    def joined(self, target: str) -> RtmpUrl:
        """Where a redirect leads. ConnectError for what is no rtmp:// address."""
        try:
            text = urljoin(self.text, target)
        except ValueError as error:
            raise ConnectError(CONNECT_FAILED, f"{target}: {error}") from error
        return self.parse(text)
