"""Until when a certificate is good: the one field of it that an operator watches.

Python's `ssl` tells it of a peer that was verified only, so the way to it is walked here (RFC 5280,
section 4.1; DER, X.690):

    Certificate ::= SEQUENCE { tbsCertificate SEQUENCE {
        [0] version, INTEGER serial, SEQUENCE algorithm, SEQUENCE issuer,
        SEQUENCE { notBefore, notAfter }, … }, … }
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

__all__ = ["expiry_of"]

_END: Final = "-----END CERTIFICATE-----"
_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0
_FORMS: Final = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}  # UTCTime, GeneralizedTime


def expiry_of(pem: Path) -> float | None:
    """Wall time in seconds at which the first certificate of a file ends; None when it cannot be
    told."""
    try:
        first, end, _ = pem.read_text(encoding="ascii", errors="replace").partition(_END)
        begin = first.find("-----BEGIN CERTIFICATE-----")
        return _not_after(ssl.PEM_cert_to_DER_cert(first[begin:] + end))
    except (OSError, ValueError, IndexError):
        return None


def _not_after(der: bytes) -> float:
    """ValueError, IndexError: it is no certificate."""
    at = _inside(der, _inside(der, 0))
    if der[at] == _VERSION:
        at = _after(der, at)
    for _ in range(3):
        at = _after(der, at)
    at = _after(der, _inside(der, at))
    form, (start, stop) = _FORMS.get(der[at], ""), _content(der, at)
    moment = datetime.strptime(der[start:stop].decode("ascii"), form).replace(tzinfo=UTC)
    return moment.timestamp()


def _inside(der: bytes, at: int) -> int:
    """Where the first part of a SEQUENCE begins."""
    if der[at] != _SEQUENCE:
        raise ValueError("no SEQUENCE")
    return _content(der, at)[0]


def _after(der: bytes, at: int) -> int:
    """Where what follows the value at `at` begins."""
    return _content(der, at)[1]


def _content(der: bytes, at: int) -> tuple[int, int]:
    """Where the content of the value at `at` begins and ends: tag, length, content."""
    size, start = der[at + 1], at + 2
    if size & 0x80:
        count = size & 0x7F
        size, start = int.from_bytes(der[start : start + count], "big"), start + count
    return start, start + size
