"""Admin APIs with canned answers, and a directory as `rtmp-sync pair` leaves one, for commands."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PASSWORD = "secret words"

STATUS: dict[str, Any] = {
    "id": "A",
    "role": "active",
    "state": "ACTIVE",
    "gate": "open",
    "epoch": 7,
    "seq": 1234,
    "sync": ["B"],
    "lag": {"changes": 0, "ms": 0.0},
    "boot_id": "a1",
    "history_id": "7-h",
    "rev": 9,
    "peer": {
        "id": "B",
        "boot_id": "b1",
        "state": "READY",
        "link": "up",
        "gate_open": False,
        "epoch": 7,
        "head_seq": 1234,
        "heartbeat_age_ms": 9,
    },
    "codec": "pure",
    "clients": 3,
    "instances": 1,
    "alarms": {"store_slow": "the store answered after 0.3 s"},
    "holder": "A",
    "complete": True,
    "stopping": None,
    "paused": False,
    "last_moves": [],
    "replication": {"full_resyncs": 1},
}
STANDBY: dict[str, Any] = {
    **STATUS,
    "id": "B",
    "role": "standby",
    "state": "READY",
    "gate": "closed",
    "boot_id": "b1",
    "peer": {**STATUS["peer"], "id": "A", "boot_id": "a1", "state": "ACTIVE", "gate_open": True},
    "alarms": {},
}

Answer = tuple[int, Any]


class Api(ThreadingHTTPServer):
    """Answers by path; a callable is asked each time, with the body as parsed. Remembers what
    was asked and by whom."""

    def __init__(self, answers: dict[str, Answer | Callable[[Any], Answer]]) -> None:
        super().__init__(("127.0.0.1", 0), _Answerer)
        self.answers = answers
        self.asked: list[tuple[str, str, str | None]] = []
        self.bodies: dict[str, Any] = {}  # the last one of each path

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def ordered(self) -> list[str]:
        """What was posted."""
        return [path for method, path, _ in self.asked if method == "POST"]

    def says(self, **changes: Any) -> None:
        """Change its /status."""
        status, content = self.answers["/status"]  # type: ignore[misc]  # it is no callable
        self.answers["/status"] = (status, {**content, **changes})


class _Answerer(BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        self.server.asked.append((self.command, self.path, self.headers["Authorization"]))
        length = int(self.headers["Content-Length"] or 0)
        said = json.loads(self.rfile.read(length)) if length else None
        self.server.bodies[self.path] = said
        answer = self.server.answers.get(self.path, (404, {"error": "no such page"}))
        status, content = answer(said) if callable(answer) else answer
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on stderr."""


@contextmanager
def serving(*apis: Api) -> Iterator[None]:
    """They answer until the end."""
    threads = [threading.Thread(target=api.serve_forever, args=(0.01,)) for api in apis]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for api, thread in zip(apis, threads, strict=True):
            api.shutdown()
            thread.join()
            api.server_close()


def pair_directory(folder: Path, apis: tuple[Api, Api]) -> Path:
    """As `pair` leaves it, with these admin APIs."""
    (folder / "admin.password").write_text(f"{PASSWORD}\n")
    nodes = []
    for node_id, api in zip("AB", apis, strict=True):
        config = folder / node_id / "config.toml"
        config.parent.mkdir()
        config.write_text(
            f'[node]\nid = "{node_id}"\n[admin]\nlisten = "{api.address}"\n'
            f'user = "admin"\npassword_file = "{folder}/admin.password"\n'
        )
        nodes.append({"id": node_id, "admin": api.address, "config": str(config)})
    (folder / "pair.json").write_text(json.dumps({"front": "127.0.0.1:1", "nodes": nodes}))
    return folder
