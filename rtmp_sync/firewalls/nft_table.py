"""The nftables gate as text: what is said to nft, and what is read in its answers.

    table inet rtmp_sync_A_1935 {
      set open   { type inet_service; flags timeout; }     # { 1935 timeout 1s } while open
      set allow4 { type ipv4_addr; flags interval; … }     # [firewall] allow
      set allow6 { type ipv6_addr; flags interval; … }
      chain gate {
        iifname "lo" accept                                # the origin's probe of itself
        tcp dport @open ip saddr @allow4 accept
        tcp dport @open ip6 saddr @allow6 accept
        reject with tcp reset
      }
      chain input {
        type filter hook input priority filter - 10; policy accept;
        tcp dport 1935 jump gate                           # a line and an element of `open` for
      }                                                    # each port
    }

Each packet is looked at, so what was let in yesterday is reset today. `accept` lets a packet go on
to the machine's own tables: this one only ever closes.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rtmp_sync.firewalls.listen_address import literal

__all__ = ["Listing", "Table"]


@dataclass(frozen=True, slots=True)
class Listing:
    """A table as the kernel has it. content: all but the switch, with the kernel's handles, so
    that a rule which was taken out and put back is another one."""

    is_open: bool
    content: str


@dataclass(frozen=True, slots=True)
class Table:
    """node: whose gate. public: hosts and ports, the RTMP port first. allow: addresses and
    networks, both families mixed."""

    node: str
    public: Sequence[tuple[str, int]]
    allow: Sequence[str] = ()

    @property
    def name(self) -> str:
        """Another one for each node and port: two origins may share a machine."""
        node = "".join(c if c.isalnum() else f"_{ord(c):02x}" for c in self.node)
        return f"rtmp_sync_{node}_{self.public[0][1]}"

    @property
    def ports(self) -> list[int]:
        return [port for _, port in self.public]

    def replace(self, timeout_ms: int = 0) -> str:
        """The whole table anew, in one transaction; closed without a time-out."""
        return f"{self.remove()}\n{self._table(timeout_ms)}"

    def remove(self) -> str:
        # A table that is not there can't be deleted: add it first.
        return f"add table inet {self.name}\ndelete table inet {self.name}"

    def refresh(self, timeout_ms: int) -> str:
        """In one transaction. A plain second `add` does not extend a time-out, and an element
        that ran out can't be deleted."""
        switch, ports = f"element inet {self.name} open", ", ".join(map(str, self.ports))
        return (
            f"add {switch} {{ {ports} }}\n"
            f"delete {switch} {{ {ports} }}\n"
            f"add {switch} {{ {self._opened(timeout_ms)} }}"
        )

    def shut(self) -> str:
        return f"flush set inet {self.name} open"

    def listing(self) -> str:
        return f"list table inet {self.name}"

    def parse(self, answer: str) -> Listing:
        """Read nft's JSON answer to `listing`. Raises ValueError for another table's."""
        objects = [one for one in json.loads(answer)["nftables"] if "metainfo" not in one]
        found: set[int] = set()
        for one in objects:
            switch = one.get("set", {})
            if switch.get("name") == "open":
                found = {_port_of(element) for element in switch.pop("elem", [])}
        hooks = [one["chain"].get("hook") for one in objects if "chain" in one]
        rules = sum("rule" in one for one in objects)
        if "input" not in hooks or rules != len(self._rules()) + len(self.public):
            raise ValueError(f"table {self.name} is not the one of this gate")
        is_open = found.issuperset(self.ports)
        if not is_open and not found.isdisjoint(self.ports):
            raise ValueError(f"table {self.name} is half open")
        return Listing(is_open, json.dumps(objects, sort_keys=True))

    def _table(self, timeout_ms: int) -> str:
        switch = f"elements = {{ {self._opened(timeout_ms)} }}" if timeout_ms else ""
        rules = "\n    ".join(self._rules())
        jumps = "\n    ".join(
            f"{_destination(host)}tcp dport {port} jump gate" for host, port in self.public
        )
        return f"""\
table inet {self.name} {{
  set open {{ type inet_service; flags timeout; {switch} }}
  set allow4 {{ type ipv4_addr; flags interval; auto-merge; {_elements(self._allowed(4))} }}
  set allow6 {{ type ipv6_addr; flags interval; auto-merge; {_elements(self._allowed(6))} }}
  chain gate {{
    {rules}
  }}
  chain input {{
    type filter hook input priority filter - 10; policy accept;
    {jumps}
  }}
}}"""

    def _rules(self) -> list[str]:
        who = ["ip saddr @allow4 ", "ip6 saddr @allow6 "] if self.allow else [""]
        opened = [f"tcp dport @open {sources}accept" for sources in who]
        return ['iifname "lo" accept', *opened, "reject with tcp reset"]

    def _opened(self, timeout_ms: int) -> str:
        return ", ".join(f"{port} timeout {timeout_ms}ms" for port in self.ports)

    def _allowed(self, version: int) -> list[str]:
        networks = (ipaddress.ip_network(text) for text in self.allow)
        return [str(network) for network in networks if network.version == version]


def _destination(host: str) -> str:
    """Another service may have the same port on another address of this machine."""
    address = literal(host)
    if address is None:
        return ""
    return f"{'ip' if address.version == 4 else 'ip6'} daddr {address} "


def _elements(values: list[str]) -> str:
    return f"elements = {{ {', '.join(values)} }}" if values else ""


def _port_of(element: Any) -> int:
    """An element is a number, or an object when it has a time-out."""
    value = element["elem"]["val"] if isinstance(element, dict) else element
    return int(value)
