"""What a TLS handshake of the link that failed means, in words for the operator."""

from __future__ import annotations

import ssl
from typing import Final

from rtmp_sync.tls_failure import speaks_no_tls

__all__ = ["BOTH_OR_NEITHER", "what_failed"]

BOTH_OR_NEITHER: Final = (
    "give both origins replication.tls_certificate, tls_key and tls_ca, or neither"
)


def what_failed(error: OSError) -> str:
    """Most often only one side was told to use TLS."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the other side's certificate is not good: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason is not None:
        if speaks_no_tls(error):
            return "the other side speaks no TLS: " + BOTH_OR_NEITHER
        return f"no TLS: {error.reason.lower().replace('_', ' ')}"
    return "the other side answered no TLS: " + BOTH_OR_NEITHER
