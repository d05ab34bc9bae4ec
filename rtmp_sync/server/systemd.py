"""What systemd hears of a service: that it is ready, that its loop runs, what it does, its end.

The protocol of sd_notify(3): datagrams to the socket that NOTIFY_SOCKET names. With
`WatchdogSec=` in the unit systemd sets WATCHDOG_USEC and kills a process that is silent for so
long: a hung loop sends nothing. Without these variables nothing is sent.

Under `serve --no-guard` the origin speaks for itself, and systemd stands in for the guard;
else the guard does, and no variable of systemd's reaches the origin.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping
from math import inf

from rtmp_sync.server.clock import now

__all__ = ["VARIABLES", "Systemd"]

END_SECONDS = 20.0  # for everything after that, the guard's part too

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Systemd:
    """An overseer (see overseer.py) that never waits; `lost` stays False: who outlives systemd
    is nobody's service."""

    lost = False

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._socket = _connect(environment.get("NOTIFY_SOCKET", ""))
        self._interval = _interval(environment)
        self._due = -inf if self._interval < inf else inf
        self._ready = False

    def started(self) -> None:
        """The service is up: once, whatever is started anew after it."""
        if not self._ready:
            self._ready = True
            self._say("READY=1")

    def beat(self) -> None:
        """The loop runs; to be called more often than systemd wants to hear it."""
        if now() >= self._due:
            self._due = now() + self._interval
            self._say("WATCHDOG=1")

    def gate(self, epoch: int, boot_id: str) -> None:
        """The guard's business alone."""

    def state(self, name: str) -> None:
        """For `systemctl status`."""
        self._say(f"STATUS={name}")

    def leaving(self, seconds: float) -> None:
        """The time that clients get to leave does not count against TimeoutStopSec."""
        self._say(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={round((seconds + END_SECONDS) * 1_000_000)}")

    def stopping(self) -> None:
        self._say("STOPPING=1")

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _say(self, text: str) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # nobody listens: no reason not to serve
                self._socket.send(text.encode())


def _connect(address: str) -> socket.socket | None:
    if not address:
        return None
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.setblocking(False)
    if address.startswith("@"):  # systemd's notation of the abstract namespace
        address = "\0" + address[1:]
    with contextlib.suppress(OSError):  # as above
        notify.connect(address)
    return notify


def _interval(environment: Mapping[str, str]) -> float:
    """Half of the silence that systemd allows to this process; seconds."""
    microseconds = environment.get("WATCHDOG_USEC", "")
    meant_for = environment.get("WATCHDOG_PID", str(os.getpid()))
    if microseconds.isdecimal() and int(microseconds) > 0 and meant_for == str(os.getpid()):
        return int(microseconds) / 2_000_000
    return inf
