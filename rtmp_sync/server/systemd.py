"""Signs of life for systemd, which stands in for the guard under `serve --no-guard`.

The protocol of sd_notify(3): datagrams to the socket that NOTIFY_SOCKET names. With
`WatchdogSec=` in the unit systemd sets WATCHDOG_USEC and kills a process that is silent for so
long: a hung loop sends nothing. Without these variables nothing is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Mapping

__all__ = ["signs_of_life"]

LONGEST_SILENCE_SECONDS = 10.0  # also without a deadline


@contextlib.asynccontextmanager
async def signs_of_life(environment: Mapping[str, str] = os.environ) -> AsyncIterator[None]:
    """Tell systemd that the service is ready, that its loop runs, and that it stops."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        yield
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.setblocking(False)
        if address.startswith("@"):  # systemd's notation of the abstract namespace
            address = "\0" + address[1:]
        with contextlib.suppress(OSError):  # nobody listens: no reason not to serve
            notify.connect(address)
        feeding = asyncio.create_task(_feed(notify, _interval(environment)))
        _say(notify, "READY=1")
        try:
            yield
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
            _say(notify, "STOPPING=1")


def _interval(environment: Mapping[str, str]) -> float:
    """Half of the silence that systemd allows to this process; seconds."""
    microseconds = environment.get("WATCHDOG_USEC", "")
    meant_for = environment.get("WATCHDOG_PID", str(os.getpid()))
    if microseconds.isdecimal() and int(microseconds) > 0 and meant_for == str(os.getpid()):
        return min(LONGEST_SILENCE_SECONDS, int(microseconds) / 2_000_000)
    return LONGEST_SILENCE_SECONDS


async def _feed(notify: socket.socket, seconds: float) -> None:
    while True:
        _say(notify, "WATCHDOG=1")
        await asyncio.sleep(seconds)


def _say(notify: socket.socket, text: str) -> None:
    with contextlib.suppress(OSError):
        notify.send(text.encode())
