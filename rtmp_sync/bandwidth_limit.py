"""How many bytes a second one client may send, and is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["LEAST_RATE", "BandwidthLimit"]

LEAST_RATE: Final = 1024
"""Bytes a second: with less not even calls and their answers are there in time."""


@dataclass(frozen=True, slots=True)
class BandwidthLimit:
    """Bytes a second, of chunk stream; None: any number. Raises ValueError for less than 1,024,
    and for what is no whole number.

    to_server: what the client may send. to_client: what it is sent.

    Source: FMS's Client.getBandwidthLimit, and <Bandwidth> in Application.xml.
    """

    to_server: int | None = None
    to_client: int | None = None

    def __post_init__(self) -> None:
        for rate in (self.to_server, self.to_client):
            if rate is not None and not (isinstance(rate, int) and rate >= LEAST_RATE):
                text = f"{rate!r} bytes a second: give a whole number from {LEAST_RATE} on, or None"
                raise ValueError(text)
