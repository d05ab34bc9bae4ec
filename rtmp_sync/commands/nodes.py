"""The origins that a command talks to, and their admin API."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rtmp_sync.admin.credentials import basic_header
from rtmp_sync.config import Config, load_config
from rtmp_sync.config_values import Address
from rtmp_sync.errors import ConfigError
from rtmp_sync.server.pair_directory import pair_config

__all__ = ["Look", "Node", "Unreachable", "active", "locate", "look", "named_nodes"]

TIMEOUT_SECONDS = 2.0


class Unreachable(Exception):
    """The node's admin API did not answer."""


@dataclass(frozen=True, slots=True)
class Node:
    """One origin's admin API. `id` is "" until it answered when only its address is known.

    config: its configuration, if that is how it was found. folder: of the node in the directory
    of a `pair`; None elsewhere.
    """

    id: str
    admin: Address
    user: str | None = None
    password: str | None = None
    config: Path | None = None
    folder: Path | None = None

    def get(self, path: str) -> Any:
        """The JSON at `path`; raises Unreachable."""
        status, body = self.request("GET", path)
        if status != 200:
            raise Unreachable(f"{self.admin} answers {status}: {_text(body)}")
        return body

    def request(
        self,
        method: str,
        path: str,
        content: Mapping[str, object] | None = None,
        *,
        timeout: float = TIMEOUT_SECONDS,
    ) -> tuple[int, Any]:
        """One HTTP request with a JSON body: (status, JSON body); raises Unreachable."""
        headers = {"Accept": "application/json"}
        if self.user is not None and self.password is not None:
            headers["Authorization"] = basic_header(self.user, self.password)
        body = json.dumps(content).encode() if content is not None else None
        connection = http.client.HTTPConnection(*self.admin, timeout=timeout)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"{self.admin} does not answer: {error or 'closed'}") from None
        finally:
            connection.close()
        try:
            return response.status, json.loads(answer)
        except ValueError:
            return response.status, answer.decode(errors="replace").strip()


def _text(body: Any) -> str:
    return str(body.get("error", body)) if isinstance(body, dict) else str(body)


@dataclass(frozen=True, slots=True)
class Look:
    """What a node said of itself: `status` as /status has it, None with an `error`."""

    node: Node
    status: dict[str, Any] | None
    error: str = ""

    @property
    def id(self) -> str:
        return self.node.id

    @property
    def role(self) -> str:
        """ "active", "standby" or "closed"; "" while it does not answer."""
        return str(self.status["role"]) if self.status is not None else ""

    def as_json(self) -> dict[str, Any]:
        """Its /status, or {"id", "error"}."""
        return self.status if self.status is not None else {"id": self.id, "error": self.error}


def look(nodes: Sequence[Node]) -> list[Look]:
    """Ask all of them, at once, since a dead one takes long."""
    with ThreadPoolExecutor(len(nodes)) as pool:
        return list(pool.map(_look, nodes))


def _look(node: Node) -> Look:
    try:
        answer = node.get("/status")
    except Unreachable as error:
        return Look(node, None, str(error))
    if not isinstance(answer, dict):
        return Look(node, None, "not a status")
    return Look(replace(node, id=str(answer["id"])), answer)


def active(looks: Sequence[Look]) -> Look | None:
    """The one that serves."""
    return next((one for one in looks if one.role == "active"), None)


def locate(
    directory: Path,
    configs: Sequence[Path] = (),
    admins: Sequence[str] = (),
    user: str | None = None,
    password_file: Path | None = None,
) -> list[Node]:
    """The nodes that `--admin`, `--config` or else `--dir` tells; raises ConfigError."""
    if configs and admins:
        raise ConfigError("--admin", admins[0], "give only one of --dir, --config and --admin")
    if admins:
        return [_addressed(admin, user, password_file) for admin in admins]
    if configs:
        return [node for config in configs for node in _configured(load_config(config), config)]
    return _pair(directory)


def named_nodes(directory: Path, configs: Sequence[Path] = ()) -> list[str]:
    """The ids that a command can be completed with; none when they cannot be told."""
    try:
        return [node.id for node in locate(directory, configs) if node.id]
    except ConfigError:
        return []


def _addressed(admin: str, user: str | None, password_file: Path | None) -> Node:
    try:
        address = Address.parse(admin)
    except ValueError as error:
        raise ConfigError("--admin", admin, str(error)) from None
    if password_file is None:
        return Node("", address)
    try:
        password = password_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("--password-file", str(password_file), f"no password: {error}") from None
    return Node("", address, user or "admin", password)


def _configured(config: Config, path: Path) -> list[Node]:
    """The origin of this configuration, and the other one if `admin.peer` tells where it is."""
    password = config.password() if config.admin.password_file is not None else None
    node = Node(config.node.id, config.admin.listen.dialable, config.admin.user, password, path)
    if config.admin.peer is None:
        return [node]
    return [node, replace(node, id="", admin=config.admin.peer, config=None)]


def _pair(directory: Path) -> list[Node]:
    path = directory / "pair.json"
    try:
        configs = [Path(node["config"]) for node in json.loads(path.read_bytes())["nodes"]]
    except OSError:
        fix = f"no pair runs there; start one with `rtmp-sync pair --dir {directory}`"
        raise ConfigError("--dir", str(directory), fix) from None
    except (ValueError, KeyError, TypeError):
        raise ConfigError("--dir", str(directory), f"{path} is not a pair's") from None
    return [
        replace(_configured(pair_config(config), config)[0], folder=config.parent)
        for config in configs
    ]
