"""TLS of the replication link, made from the keys `replication.tls_*`.

Both origins have a certificate of one authority, `tls_ca`, and both verify the other's. Host
names are not looked at: which node it is, the shared secret proves.
"""

from __future__ import annotations

import ssl
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rtmp_sync.errors import ConfigError

if TYPE_CHECKING:
    from rtmp_sync.config_sections import ReplicationSection

__all__ = ["LinkTls", "check_link_tls", "link_tls"]


class LinkTls(NamedTuple):
    """One context for each end of the link."""

    accepts: ssl.SSLContext
    dials: ssl.SSLContext


def link_tls(section: ReplicationSection) -> LinkTls | None:
    """None: the link is not encrypted. Raises ConfigError."""
    certificate, key, ca = section.tls_certificate, section.tls_key, section.tls_ca
    if certificate is None or key is None or ca is None:  # all or none: `broken_rules`
        return None
    accepts = _context(ssl.PROTOCOL_TLS_SERVER, certificate, key, ca)
    dials = _context(ssl.PROTOCOL_TLS_CLIENT, certificate, key, ca)
    return LinkTls(accepts, dials)


def check_link_tls(section: ReplicationSection) -> str | None:
    """Try what the files hold: this origin talks to itself, as it will to the other one.

    Returns a warning; raises ConfigError.
    """
    tls = link_tls(section)
    if tls is None:
        return None
    try:
        _shake_hands(tls)
    except ssl.SSLError as error:
        fix = (
            f"is not accepted with replication.tls_ca ({_reason(error)}); have that authority sign"
        )
        fix += " it, for client and server use, and look at its dates"
        path = str(section.tls_certificate)
        raise ConfigError("replication.tls_certificate", path, fix) from None
    assert section.tls_key is not None  # as the two others
    mode = section.tls_key.stat().st_mode
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        fix = f"others may read it (mode {stat.S_IMODE(mode):04o}); chmod 600 it"
        return str(ConfigError("replication.tls_key", str(section.tls_key), fix))
    return None


def _context(protocol: ssl._SSLMethod, certificate: Path, key: Path, ca: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    named = {"tls_certificate": certificate, "tls_key": key, "tls_ca": ca}
    for name, path in named.items():
        try:
            content = path.read_bytes()
        except OSError as error:
            fix = f"cannot be read ({error.strerror}); give the path of a PEM file"
            raise ConfigError(f"replication.{name}", str(path), fix) from None
        kind = b"PRIVATE KEY-----" if name == "tls_key" else b"-----BEGIN CERTIFICATE-----"
        if kind not in content:
            what = "private key" if name == "tls_key" else "certificate"
            fix = f"holds no {what} in PEM form"
            raise ConfigError(f"replication.{name}", str(path), fix)
    try:
        context.load_verify_locations(ca)
    except ssl.SSLError as error:
        fix = f"holds no certificate that can be read ({_reason(error)})"
        raise ConfigError("replication.tls_ca", str(ca), fix) from None
    try:
        context.load_cert_chain(certificate, key, password=_no_passphrase)
    except ssl.SSLError as error:
        raise _unfit(certificate, key, error) from None
    except _PassphraseWanted:
        fix = "is encrypted; store it without a passphrase, mode 0600"
        raise ConfigError("replication.tls_key", str(key), fix) from None
    return context


class _PassphraseWanted(Exception):
    """Nobody is there to type it."""


def _no_passphrase() -> str:
    raise _PassphraseWanted


def _unfit(certificate: Path, key: Path, error: ssl.SSLError) -> ConfigError:
    """Which of the two files is wrong."""
    if error.reason == "KEY_VALUES_MISMATCH":
        fix = f"is not the key of replication.tls_certificate ({certificate})"
        return ConfigError("replication.tls_key", str(key), fix)
    fix = f"cannot be used with replication.tls_key ({_reason(error)}); both must be PEM files"
    return ConfigError("replication.tls_certificate", str(certificate), fix)


def _shake_hands(tls: LinkTls) -> None:
    """A handshake in memory; raises ssl.SSLError."""
    forth, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        tls.dials.wrap_bio(back, forth),
        tls.accepts.wrap_bio(forth, back, server_side=True),
    ]
    while ends:
        for end in list(ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            ends.remove(end)


def _reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return str(error.verify_message)
    return (error.reason or str(error)).lower().replace("_", " ")
