"""The iptables gate as text: what is given to iptables-restore, and what `-S` must show.

    -N rtmp-sync-A-1935
    -A INPUT -p tcp -m tcp --dport 1935 -j rtmp-sync-A-1935      before all rules of others
    -A rtmp-sync-A-1935 -i lo -j RETURN                          the origin's probe of itself
    -A rtmp-sync-A-1935 -s 10.0.0.0/8 -j RETURN                  while open: [firewall] allow
    -A rtmp-sync-A-1935 -p tcp -j REJECT --reject-with tcp-reset

No rule looks at a connection's state, so what was let in yesterday is reset today. RETURN lets a
packet go on to the machine's own rules: this chain only ever closes. One such set of rules for
IPv4 and one for IPv6.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from rtmp_sync.firewalls.base import GateState
from rtmp_sync.firewalls.listen_address import literal

__all__ = ["Rules"]

PREFIX = "rtmp-sync-"
CHAIN_NAME_MAX = 28  # XT_EXTENSION_MAXNAMELEN of linux/netfilter/x_tables.h, without the 0


@dataclass(frozen=True, slots=True)
class Rules:
    """Whose gate, in one family (4 or 6). A listing is what `iptables -S` prints."""

    family: int
    node: str
    host: str
    port: int
    allow: Sequence[str] = ()

    @property
    def chain(self) -> str:
        """Another one for each node and port: two origins may share a machine."""
        name = f"{PREFIX}{self.node}-{self.port}"
        if len(name) <= CHAIN_NAME_MAX:
            return name
        return f"{PREFIX}{hashlib.sha256(self.node.encode()).hexdigest()[:12]}-{self.port}"

    def replace(self, listing: str, *, is_open: bool) -> str:
        """Input of `iptables-restore --noflush`: one transaction."""
        lines = [f":{self.chain} - [0:0]", *self._chain(is_open)]
        if not self._jumps_first(listing):
            lines += [*self._without_jump(listing), f"-I INPUT 1 {self._jump()}"]
        return _transaction(lines)

    def remove(self, listing: str) -> str:
        """The same; empty when nothing is there."""
        if f"-N {self.chain}" not in listing.splitlines():
            return ""
        chain = [f":{self.chain} - [0:0]", f"-X {self.chain}"]
        return _transaction([*self._without_jump(listing), *chain])

    def states(self, listing: str) -> set[GateState]:
        """What the rules may be: both, where no address of this family is allowed; neither, when
        others altered them."""
        found = [line for line in listing.splitlines() if line.startswith(f"-A {self.chain} ")]
        if not self._jumps_first(listing):
            return set()
        known: dict[GateState, bool] = {"open": True, "closed": False}
        return {state for state, is_open in known.items() if found == self._chain(is_open)}

    def _chain(self, is_open: bool) -> list[str]:
        sources = self._sources() if is_open else []
        rules = ["-i lo -j RETURN", *sources, "-p tcp -j REJECT --reject-with tcp-reset"]
        return [f"-A {self.chain} {rule}" for rule in rules]

    def _sources(self) -> list[str]:
        if not self.allow:
            return ["-j RETURN"]
        networks = (ipaddress.ip_network(text) for text in self.allow)
        # A network of everybody is not shown, so it is not said.
        return [
            f"-s {network} -j RETURN" if network.prefixlen else "-j RETURN"
            for network in networks
            if network.version == self.family
        ]

    def _jump(self) -> str:
        """Another service may have the same port on another address of this machine."""
        address = literal(self.host)
        here = f"-d {address}/{address.max_prefixlen} " if address is not None else ""
        return f"{here}-p tcp -m tcp --dport {self.port} -j {self.chain}"

    def _jumps_first(self, listing: str) -> bool:
        """Gates of other nodes may come before, and nothing else."""
        for line in listing.splitlines():
            if line == f"-A INPUT {self._jump()}":
                return True
            if line.startswith("-A INPUT ") and f" -j {PREFIX}" not in line:
                return False
        return False

    def _without_jump(self, listing: str) -> list[str]:
        return [f"-D INPUT {self._jump()}"] * listing.splitlines().count(f"-A INPUT {self._jump()}")


def _transaction(lines: list[str]) -> str:
    return "\n".join(["*filter", *lines, "COMMIT", ""])
