"""The origins that a command talks to, and their admin API."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtmp_sync.admin.credentials import basic_header
from rtmp_sync.config import load_config
from rtmp_sync.config_values import Address
from rtmp_sync.errors import ConfigError

__all__ = ["Node", "Unreachable", "locate"]

TIMEOUT_SECONDS = 2.0


class Unreachable(Exception):
    """The node's admin API did not answer."""


@dataclass(frozen=True, slots=True)
class Node:
    """One origin's admin API. `id` is "" until it answered when only its address is known."""

    id: str
    admin: Address
    user: str | None = None
    password: str | None = None

    def get(self, path: str) -> Any:
        """The JSON at `path`; raises Unreachable."""
        status, body = self.request("GET", path)
        if status != 200:
            raise Unreachable(f"{self.admin} answers {status}: {_text(body)}")
        return body

    def request(
        self, method: str, path: str, *, timeout: float = TIMEOUT_SECONDS
    ) -> tuple[int, Any]:
        """One HTTP request: (status, JSON body); raises Unreachable."""
        headers = {"Accept": "application/json"}
        if self.user is not None and self.password is not None:
            headers["Authorization"] = basic_header(self.user, self.password)
        connection = http.client.HTTPConnection(*self.admin, timeout=timeout)
        try:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"{self.admin} does not answer: {error or 'closed'}") from None
        finally:
            connection.close()
        try:
            return response.status, json.loads(content)
        except ValueError:
            return response.status, content.decode(errors="replace").strip()


def _text(body: Any) -> str:
    return str(body.get("error", body)) if isinstance(body, dict) else str(body)


def locate(directory: Path, config: Path | None, admin: str | None) -> list[Node]:
    """The nodes that `--admin`, `--config` or else `--dir` tells; raises ConfigError."""
    if config is not None and admin is not None:
        raise ConfigError("--admin", admin, "give only one of --dir, --config and --admin")
    if admin is not None:
        try:
            return [Node("", Address.parse(admin))]
        except ValueError as error:
            raise ConfigError("--admin", admin, str(error)) from None
    if config is not None:
        return [_configured(config)]
    return _pair(directory)


def _configured(path: Path) -> Node:
    config = load_config(path)
    password = config.password() if config.admin.password_file is not None else None
    return Node(config.node.id, config.admin.listen.dialable, config.admin.user, password)


def _pair(directory: Path) -> list[Node]:
    path = directory / "pair.json"
    try:
        configs = [Path(node["config"]) for node in json.loads(path.read_bytes())["nodes"]]
    except OSError:
        fix = f"no pair runs there; start one with `rtmp-sync pair --dir {directory}`"
        raise ConfigError("--dir", str(directory), fix) from None
    except (ValueError, KeyError, TypeError):
        raise ConfigError("--dir", str(directory), f"{path} is not a pair's") from None
    return [_configured(config) for config in configs]
