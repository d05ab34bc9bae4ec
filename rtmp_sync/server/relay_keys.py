"""The session keys under which relays publish at other servers.

A server of ours, and any that knows session keys, ends the connection of before when a client
comes back under its key; else the name would be taken there until that connection has timed out.
So a relay has the same key after each reconnect and, as both origins of a pair make it of the
pair's secret, after a takeover too.
"""

from __future__ import annotations

import hashlib
import hmac
from itertools import count
from typing import Final

from rtmp_sync.server.relay import Remote

__all__ = ["RelayKeys"]

_KEY_BYTES: Final = 16  # as of every session key


class RelayKeys:
    """Of one instance. secret: the pair's, or some random bytes; what a key is made of by HMAC, so
    that the server that is told one learns nothing of another."""

    def __init__(self, secret: bytes, scope: str) -> None:
        self._secret = secret
        self._scope = scope
        self._taken: set[bytes] = set()

    def take(self, name: str, remote: Remote) -> bytes:
        """For a relay of the stream `name` to `remote`; a second one of the same gets another key,
        or each would end the other's connection."""
        keys = (self._key(name, remote, number) for number in count())
        key = next(key for key in keys if key not in self._taken)
        self._taken.add(key)
        return key

    def give_back(self, key: bytes) -> None:
        """The relay has ended."""
        self._taken.discard(key)

    def _key(self, name: str, remote: Remote, number: int) -> bytes:
        fields = ("relay", self._scope, name, remote.url, remote.name, str(number))
        told = b"".join(
            len(one).to_bytes(4, "big") + one
            for one in (field.encode(errors="surrogatepass") for field in fields)
        )
        return hmac.digest(self._secret, told, hashlib.sha256)[:_KEY_BYTES]
