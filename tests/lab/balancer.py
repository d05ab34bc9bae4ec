"""The load balancer: a real HAProxy with the numbers of the shipped sample."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.support.namespaces import Host
from tests.support.programs import require

from .machine import Machine
from .setup import HEALTH, RTMP

CONFIGURATION = """
global
    maxconn 4096
defaults
    mode tcp
    log stdout format raw daemon
    timeout connect 1s
    timeout client 1h
    timeout server 1h
    timeout check 800ms
    retries 3
    option redispatch 1
listen rtmp
    bind :{port}
    option tcplog
    option httpchk GET /health/active
    default-server inter 1s fastinter 100ms downinter 100ms fall 2 rise 1 \
on-marked-down shutdown-sessions observe layer4 error-limit 1 on-error mark-down
"""


class Balancer:
    """`address` is the one that clients know."""

    def __init__(self, host: Host, folder: Path) -> None:
        self.host = host
        self.address = f"{host.ipv4}:{RTMP}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, machines: Sequence[Machine]) -> None:
        text = CONFIGURATION.format(port=RTMP)
        for machine in machines:
            text += f"    server {machine.node} {machine.at(RTMP)} check port {HEALTH}\n"
        configuration = self._folder / "haproxy.cfg"
        configuration.write_text(text)
        with (self._folder / "haproxy.log").open("ab") as log:
            self._process = self.host.start(
                [require("haproxy"), "-db", "-f", configuration],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None
