"""Gates of processes on their own hosts, and clients who knock at them."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

from .namespaces import Host

ROOT = Path(__file__).resolve().parents[2]
PORT = 1935
SILENCE_SECONDS = 1.0

Answer = Literal["open", "refused", "silent"]


class RemoteGate:
    """A gate_process on `host`; see there for what can be said to it."""

    def __init__(
        self,
        host: Host,
        *,
        node: str = "A",
        listen: str = f"0.0.0.0:{PORT}",
        **firewall: Any,
    ) -> None:
        self.host = host
        self.config = {"node": {"id": node}, "rtmp": {"listen": listen}, "firewall": firewall}
        self.process: subprocess.Popen[str] = host.start(
            [sys.executable, "-m", "tests.support.gate_process", json.dumps(self.config)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.log: list[str] = []
        assert self._heard() == "ready"

    def say(self, line: str) -> str:
        """The answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self._heard()

    def open(self, epoch: int = 1) -> None:
        assert self.say(f"open {epoch}") == "done"

    def close(self) -> None:
        assert self.say("close") == "done"

    @property
    def state(self) -> str:
        return self.say("verify")

    def events(self) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = json.loads(self.say("events"))
        return events

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> None:
        """A clean stop; its exit code is 0."""
        assert self.say("stop") == "done"
        assert self.process.wait(10) == 0

    def _heard(self) -> str:
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            if not line[:4].isdecimal():  # a line of the log begins with the year
                return line.strip()
            self.log.append(line.strip())
        raise AssertionError(f"the gate's process ended with {self.process.wait(10)}")


def client(host: Host, address: str, port: int = PORT) -> socket.socket:
    """A session of a client on `host`. Raises OSError."""
    with host.entered():
        return socket.create_connection((address, port), timeout=SILENCE_SECONDS)


def knock(host: Host, address: str, port: int = PORT) -> Answer:
    """What a client on `host` sees who connects and is served."""
    try:
        with client(host, address, port) as session:
            session.sendall(b"?")
            return "open" if session.recv(1) == b"?" else "refused"
    except TimeoutError:
        return "silent"
    except ConnectionError:
        return "refused"


def connects(host: Host, address: str, port: int = PORT) -> Answer:
    """What a load balancer's plain TCP check sees: the kernel answers it."""
    try:
        client(host, address, port).close()
    except TimeoutError:
        return "silent"
    except ConnectionError:
        return "refused"
    return "open"
