"""What OpenSSL says of bytes that are no TLS.

It takes whatever comes for the header of a record, so that it depends on the bytes: of an RTMP
handshake, 0x03 and a clock, on the time.
"""

from __future__ import annotations

import ssl
from typing import Final

__all__ = ["speaks_no_tls"]

_NO_TLS: Final = frozenset(
    {
        "BAD_RECORD_TYPE",
        "HTTP_REQUEST",
        "PACKET_LENGTH_TOO_LONG",
        "RECORD_LAYER_FAILURE",
        "UNEXPECTED_MESSAGE",
        "UNKNOWN_PROTOCOL",
        "WRONG_VERSION_NUMBER",
    }
)


def speaks_no_tls(error: ssl.SSLError) -> bool:
    """Whether what came from the other end is something else."""
    return error.reason in _NO_TLS
