"""What the servers of a pair tell the clients of a load about their connections."""

from __future__ import annotations

from collections import Counter
from typing import Any

from .load import Load

__all__ = ["Told"]


class Told:
    """Listens from when it is made. `codes` counts the status codes; `addresses` are those that
    a client was sent to, which nobody ever may be."""

    def __init__(self, load: Load) -> None:
        self.codes: Counter[str] = Counter()
        self.addresses: list[str] = []
        connections = [client.connection for client in load.writers]
        connections += [client.connection for client in load.watchers]
        for connection in connections:
            connection.on_status = self._add

    def _add(self, info: dict[str, Any]) -> None:
        self.codes[str(info.get("code"))] += 1
        if "tcUrl" in info:
            self.addresses.append(str(info["tcUrl"]))
        extra = info.get("ex")
        if isinstance(extra, dict) and "redirect" in extra:
            self.addresses.append(str(extra["redirect"]))
