"""rtmp:// and rtmps:// addresses: host, port, application and instance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin, urlsplit

from rtmp_sync.errors import ConnectError
from rtmp_sync.wire.constants import CONNECT_FAILED

__all__ = ["RtmpUrl"]

_DEFAULT_PORTS: Final = {"rtmp": 1935, "rtmps": 443}


@dataclass(frozen=True, slots=True)
class RtmpUrl:
    """`app` is everything behind the host, instance and query too: what `connect` sends."""

    text: str
    protocol: str  # "rtmp" or "rtmps"
    host: str
    port: int
    app: str

    @classmethod
    def parse(cls, text: str) -> RtmpUrl:
        """ConnectError for what is no such address with a host and an application."""
        try:
            parts = urlsplit(text)
            port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
        except ValueError as error:
            raise ConnectError(CONNECT_FAILED, f"{text}: {error}") from error
        app = parts.path.lstrip("/") + (f"?{parts.query}" if parts.query else "")
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or not app:
            raise ConnectError(
                CONNECT_FAILED, f"{text}: not rtmp://host[:port]/application, nor rtmps:"
            )
        return cls(text, parts.scheme, parts.hostname, port, app)

    def joined(self, target: str) -> RtmpUrl:
        """Where a redirect leads. ConnectError for what is no such address, and for one that
        would have said in the clear what was to be encrypted."""
        try:
            text = urljoin(self.text, target)
        except ValueError as error:
            raise ConnectError(CONNECT_FAILED, f"{target}: {error}") from error
        url = self.parse(text)
        if self.protocol == "rtmps" and url.protocol != "rtmps":
            raise ConnectError(CONNECT_FAILED, f"{text}: the redirect leads out of TLS")
        return url
