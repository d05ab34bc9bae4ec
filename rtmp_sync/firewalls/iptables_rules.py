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
    """Whose gate, in one family (4 or 6). public: hosts and ports, the RTMP port first. A listing
    is what `iptables -S` prints."""

    family: int
    node: str
    public: Sequence[tuple[str, int]]
    allow: Sequence[str] = ()

    @property
    def chain(self) -> str:
        """Another one for each node and port: two origins may share a machine."""
        port = self.public[0][1]
        name = f"{PREFIX}{self.node}-{port}"
        if len(name) <= CHAIN_NAME_MAX:
            return name
        return f"{PREFIX}{hashlib.sha256(self.node.encode()).hexdigest()[:12]}-{port}"

    def replace(self, listing: str, *, is_open: bool) -> str:
        """Input of `iptables-restore --noflush`: one transaction."""
        lines = [f":{self.chain} - [0:0]", *self._chain(is_open)]
        if not self._jumps_first(listing):
            lines += self._without_jumps(listing)
            lines += [f"-I INPUT 1 {jump}" for jump in self._jumps()]
        return _transaction(lines)

    def remove(self, listing: str) -> str:
        """The same; empty when nothing is there."""
        if f"-N {self.chain}" not in listing.splitlines():
            return ""
        chain = [f":{self.chain} - [0:0]", f"-X {self.chain}"]
        return _transaction([*self._without_jumps(listing), *chain])

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

    def _jumps(self) -> list[str]:
        """Another service may have the same port on another address of this machine."""
        jumps = []
        for host, port in self.public:
            address = literal(host)
            if address is None or address.version == self.family:
                here = f"-d {address}/{address.max_prefixlen} " if address is not None else ""
                jumps.append(f"{here}-p tcp -m tcp --dport {port} -j {self.chain}")
        return jumps

    def _jumps_first(self, listing: str) -> bool:
        """Gates of other nodes may come before, and nothing else."""
        missing = {f"-A INPUT {jump}" for jump in self._jumps()}
        for line in listing.splitlines():
            missing.discard(line)
            if line.startswith("-A INPUT ") and f" -j {PREFIX}" not in line:
                break
        return not missing

    def _without_jumps(self, listing: str) -> list[str]:
        lines = listing.splitlines()
        return [
            f"-D INPUT {jump}"
            for jump in self._jumps()
            for _ in range(lines.count(f"-A INPUT {jump}"))
        ]


def _transaction(lines: list[str]) -> str:
    return "\n".join(["*filter", *lines, "COMMIT", ""])
