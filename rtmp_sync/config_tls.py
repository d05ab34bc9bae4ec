"""TLS from PEM files: of the replication link (`replication.tls_*`) and to etcd
(`failover.etcd_ca`, `etcd_certificate`, `etcd_key`), and to other RTMP servers. That of the public
ports is in `config_public_tls.py`.

Of the link: both origins have a certificate of one authority, `tls_ca`, and both verify the
other's. Host names are not looked at: which node it is, the shared secret proves. Of etcd the
and of other servers host names are looked at, since nothing else says who answers there.
"""

from __future__ import annotations

import ssl
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rtmp_sync.errors import ConfigError

if TYPE_CHECKING:
    from rtmp_sync.config_sections import FailoverSection, ReplicationSection

__all__ = [
    "LinkTls",
    "PemFile",
    "check_link_tls",
    "etcd_tls",
    "link_tls",
    "load_certificate",
    "open_key_warning",
    "server_tls",
]


class LinkTls(NamedTuple):
    """One context for each end of the link."""

    accepts: ssl.SSLContext
    dials: ssl.SSLContext


def link_tls(section: ReplicationSection) -> LinkTls | None:
    """None: the link is not encrypted. Raises ConfigError."""
    certificate, key, ca = section.tls_certificate, section.tls_key, section.tls_ca
    if certificate is None or key is None or ca is None:  # all or none: `broken_rules`
        return None
    accepts, dials = (
        _context(kind, PemFile("replication.tls_ca", ca))
        for kind in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT)
    )
    for context in (accepts, dials):
        named = PemFile("replication.tls_certificate", certificate)
        load_certificate(context, named, PemFile("replication.tls_key", key))
    return LinkTls(accepts, dials)


def etcd_tls(section: FailoverSection) -> ssl.SSLContext | None:
    """None: etcd is spoken to in the clear. Raises ConfigError."""
    if section.etcd_ca is None:
        return None
    context = server_tls(PemFile("failover.etcd_ca", section.etcd_ca))
    certificate, key = section.etcd_certificate, section.etcd_key
    if certificate is not None and key is not None:  # both or none: `broken_rules`
        named = PemFile("failover.etcd_certificate", certificate)
        load_certificate(context, named, PemFile("failover.etcd_key", key))
    return context


def server_tls(ca: PemFile) -> ssl.SSLContext:
    """To a server whose certificate one of these authorities has signed. Raises ConfigError."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT, ca)
    context.check_hostname = True
    return context


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
    return open_key_warning("replication.tls_key", section.tls_key)


def open_key_warning(name: str, path: Path) -> str | None:
    """That others may read the file, if they may."""
    mode = path.stat().st_mode
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        fix = f"others may read it (mode {stat.S_IMODE(mode):04o}); chmod 600 it"
        return str(ConfigError(name, str(path), fix))
    return None


class PemFile(NamedTuple):
    """A PEM file and the configuration key that names it."""

    name: str
    path: Path


def _context(kind: ssl._SSLMethod, ca: PemFile) -> ssl.SSLContext:
    context = ssl.SSLContext(kind)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    _look_for("certificate", ca)
    try:
        context.load_verify_locations(ca.path)
    except ssl.SSLError as error:
        fix = f"holds no certificate that can be read ({_reason(error)})"
        raise ConfigError(ca.name, str(ca.path), fix) from None
    return context


def load_certificate(context: ssl.SSLContext, certificate: PemFile, key: PemFile) -> None:
    """Have `context` show it. Raises ConfigError, which names the file that is wrong."""
    _look_for("certificate", certificate)
    _look_for("private key", key)
    try:
        context.load_cert_chain(certificate.path, key.path, password=_no_passphrase)
    except ssl.SSLError as error:
        raise _unfit(certificate, key, error) from None
    except _PassphraseWanted:
        fix = "is encrypted; store it without a passphrase, mode 0600"
        raise ConfigError(key.name, str(key.path), fix) from None


def _look_for(what: str, file: PemFile) -> None:
    kind = b"PRIVATE KEY-----" if what == "private key" else b"-----BEGIN CERTIFICATE-----"
    try:
        content = file.path.read_bytes()
    except OSError as error:
        fix = f"cannot be read ({error.strerror}); give the path of a PEM file"
        raise ConfigError(file.name, str(file.path), fix) from None
    if kind not in content:
        raise ConfigError(file.name, str(file.path), f"holds no {what} in PEM form")


class _PassphraseWanted(Exception):
    """Nobody is there to type it."""


def _no_passphrase() -> str:
    raise _PassphraseWanted


def _unfit(certificate: PemFile, key: PemFile, error: ssl.SSLError) -> ConfigError:
    """Which of the two files is wrong."""
    if error.reason == "KEY_VALUES_MISMATCH":
        fix = f"is not the key of {certificate.name} ({certificate.path})"
        return ConfigError(key.name, str(key.path), fix)
    fix = f"cannot be used with {key.name} ({_reason(error)}); both must be PEM files"
    return ConfigError(certificate.name, str(certificate.path), fix)


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
