"""RTMPS as a client: whose certificates are good, and what a failed handshake means.

Host names are looked at. Without anything given the system's trust store counts, as it is then.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from rtmp_sync.config_tls import PemFile, server_tls
from rtmp_sync.tls_failure import speaks_no_tls

__all__ = ["Trust", "client_context", "what_failed"]

Trust = ssl.SSLContext | Path | None
"""A context, a PEM file of authorities in place of the system's, or those of the system."""


async def client_context(trust: Trust) -> ssl.SSLContext:
    """What a connection is made with; files are read anew each time. Raises ConfigError."""
    if isinstance(trust, ssl.SSLContext):
        return trust
    if trust is not None:
        return await asyncio.to_thread(server_tls, PemFile("tls", trust))
    return await asyncio.to_thread(ssl.create_default_context)


def what_failed(error: OSError) -> str:
    """Why there is no connection, in words for who looks for the reason."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not good: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason is not None:
        if speaks_no_tls(error):
            return "the server speaks no TLS on that port"
        return f"no TLS: {error.reason.lower().replace('_', ' ')}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or "the server closed the connection"
