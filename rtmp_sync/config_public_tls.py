"""The certificates of the public ports: `rtmp.tls_*` and `http.tls_*`.

One certificate is for whoever comes; of RTMPS there may be further ones, by the host name that a
client asks for (SNI). No certificate is asked of clients.
"""

from __future__ import annotations

import ssl
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from rtmp_sync.config_sections import HttpSection, RtmpSection
from rtmp_sync.config_tls import PemFile, load_certificate, open_key_warning

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PublicTls", "Shown", "public_tls"]


class Shown(NamedTuple):
    """What a port shows. by_name: in lower case, patterns (`*` and `?`) of hosts, in order.
    default: for clients that name another host, or none."""

    default: ssl.SSLContext
    by_name: dict[str, ssl.SSLContext]

    def to(self, host: str | None) -> ssl.SSLContext:
        """For a client that asks for `host`."""
        name = (host or "").lower()
        fit = (context for pattern, context in self.by_name.items() if fnmatchcase(name, pattern))
        return next(fit, self.default)


class _Pair(NamedTuple):
    certificate: PemFile
    key: PemFile

    def context(self, alpn: list[str]) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if alpn:
            context.set_alpn_protocols(alpn)
        load_certificate(context, self.certificate, self.key)
        return context


class PublicTls:
    """The files of one port. key: of the configuration, for messages about all of them."""

    def __init__(self, section: str, default: _Pair, by_name: dict[str, _Pair], alpn: list[str]):
        self.key = f"{section}.tls_certificate"
        self._default = default
        self._by_name = by_name
        self._alpn = alpn

    @property
    def paths(self) -> list[Path]:
        """All of them."""
        return [file.path for pair in self._pairs() for file in pair]

    @property
    def certificates(self) -> dict[str, Path]:
        """Those of them that hold certificates, by the key of the configuration."""
        return {pair.certificate.name: pair.certificate.path for pair in self._pairs()}

    def load(self) -> Shown:
        """Read the files. Raises ConfigError."""
        by_name = {name.lower(): pair.context(self._alpn) for name, pair in self._by_name.items()}
        return Shown(self._default.context(self._alpn), by_name)

    def warnings(self) -> list[str]:
        """Of keys that others may read."""
        said = (open_key_warning(pair.key.name, pair.key.path) for pair in self._pairs())
        return [warning for warning in said if warning is not None]

    def _pairs(self) -> list[_Pair]:
        return [self._default, *self._by_name.values()]


def public_tls(section: RtmpSection | HttpSection) -> PublicTls | None:
    """None: the port is in the clear, or there is none."""
    certificate, key = section.tls_certificate, section.tls_key
    if certificate is None or key is None:  # both or none: `broken_rules`
        return None
    if isinstance(section, HttpSection):
        return PublicTls("http", _pair("http", certificate, key), {}, ["http/1.1"])
    by_name = {}
    for name, paths in section.tls_names.items():
        by_name[name] = _Pair(*(PemFile(f"rtmp.tls_names.{name}", path) for path in paths))
    return PublicTls("rtmp", _pair("rtmp", certificate, key), by_name, [])


def _pair(section: str, certificate: Path, key: Path) -> _Pair:
    return _Pair(
        PemFile(f"{section}.tls_certificate", certificate), PemFile(f"{section}.tls_key", key)
    )
