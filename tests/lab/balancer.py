"""The load balancer: a real HAProxy with the shipped sample, as it is."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.namespaces import Host
from tests.support.pair import ROOT
from tests.support.programs import require

from .machine import Machine
from .setup import HEALTH, RTMP

SAMPLE = ROOT / "docs" / "samples" / "haproxy.cfg"


class Balancer:
    """`address` is the one that clients know. It sends PROXY headers."""

    def __init__(self, host: Host, folder: Path) -> None:
        self.host = host
        self.address = f"{host.ipv4}:{RTMP}"
        self._folder = folder

    def start(self, machines: Mapping[str, Machine]) -> None:
        said = {
            "RTMP_LISTEN": f":{RTMP}",
            "STATS_SOCKET": str(self._folder / "haproxy.sock"),
            "SEND_PROXY": "1",
        }
        for node, machine in machines.items():
            said[f"ORIGIN_{node}"] = machine.at(RTMP)
            said[f"ORIGIN_{node}_HEALTH_PORT"] = str(HEALTH)
        with (self._folder / "haproxy.log").open("ab") as log:
            self.host.start(
                [require("haproxy"), "-db", "-f", SAMPLE],
                env={**os.environ, **said},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
