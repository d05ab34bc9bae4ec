"""The command line: exit codes, one line per error, plain output where nobody looks."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from rtmp_sync import cli

STATUS: dict[str, Any] = {
    "id": "A",
    "role": "active",
    "state": "ACTIVE",
    "gate": "open",
    "epoch": 7,
    "seq": 1234,
    "sync": ["B"],
    "lag": {"changes": 0, "ms": 0.0},
    "peer": {"id": "B", "state": "READY", "link": "up"},
    "codec": "pure",
    "clients": 3,
    "instances": 1,
    "alarms": {"store_slow": "the store answered after 0.3 s"},
}


class Api(ThreadingHTTPServer):
    """An admin API with canned answers; remembers what was asked and by whom."""

    def __init__(self, answers: dict[str, tuple[int, Any]]) -> None:
        super().__init__(("127.0.0.1", 0), Answerer)
        self.answers = answers
        self.asked: list[tuple[str, str, str | None]] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class Answerer(BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        self.server.asked.append((self.command, self.path, self.headers["Authorization"]))
        status, content = self.server.answers.get(self.path, (404, {"error": "no such page"}))
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on stderr."""


@pytest.fixture
def apis() -> Iterator[tuple[Api, Api]]:
    standby = {**STATUS, "id": "B", "role": "standby", "state": "READY", "alarms": {}}
    pair = (Api({"/status": (200, STATUS)}), Api({"/status": (200, standby)}))
    threads = [threading.Thread(target=api.serve_forever, args=(0.01,)) for api in pair]
    for thread in threads:
        thread.start()
    yield pair
    for api, thread in zip(pair, threads, strict=True):
        api.shutdown()
        thread.join()
        api.server_close()


@pytest.fixture
def directory(tmp_path: Path, apis: tuple[Api, Api]) -> Path:
    """As `pair` leaves it, with the canned admin APIs."""
    (tmp_path / "admin.password").write_text("secret words\n")
    nodes = []
    for node_id, api in zip("AB", apis, strict=True):
        config = tmp_path / node_id / "config.toml"
        config.parent.mkdir()
        config.write_text(
            f'[node]\nid = "{node_id}"\n[admin]\nlisten = "{api.address}"\n'
            f'user = "admin"\npassword_file = "{tmp_path}/admin.password"\n'
        )
        nodes.append({"id": node_id, "admin": api.address, "config": str(config)})
    (tmp_path / "pair.json").write_text(json.dumps({"front": "127.0.0.1:1", "nodes": nodes}))
    return tmp_path


def test_wrong_use_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["nonsense"], ["serve"], ["status", "--port", "1"], ["pair", "--port", "x"]):
        assert cli.run(arguments) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.count("\n") == 1, printed.err


def test_a_wrong_configuration_is_one_line_per_error_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[node]\nid = "A"\n[rtmp]\nchunksize = 1\nwindow = "x"\n')
    for command in (["serve"], ["config", "check"], ["check-config"]):
        assert cli.run([*command, "--config", str(path)]) == 2
        assert capsys.readouterr().err.splitlines() == [
            "rtmp.window = 'x': give a whole number without quotes",
            "rtmp.chunksize = 1: unknown key; did you mean rtmp.chunk_size?",
        ]


def test_config_check_says_good_and_loads_the_applications(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[node]\nid = "A"\n')
    (tmp_path / "apps").mkdir()
    assert cli.run(["config", "check", "--config", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: good\n"
    (tmp_path / "apps" / "broken.py").write_text("import no_such_module\n")
    assert cli.run(["config", "check", "--config", str(path), "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert not found["ok"]
    assert found["errors"][0]["key"] == "apps.broken"
    assert "no_such_module" in found["errors"][0]["fix"]


def test_a_port_in_use_is_named_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "apps").mkdir()
    path = tmp_path / "config.toml"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        path.write_text(
            f'[node]\nid = "A"\n[rtmp]\nlisten = "{address}"\n'
            '[admin]\nlisten = "127.0.0.1:0"\n[health]\nlisten = "127.0.0.1:0"\n'
        )
        assert cli.run(["serve", "--config", str(path)]) == 2
    assert capsys.readouterr().err == (
        f"rtmp.listen = '{address}': the port is in use; stop what uses it or give another one\n"
    )


def test_status_without_a_pair_says_how_to_start_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("status", "failback", "history", "drill"):
        assert cli.run([command, "--dir", str(tmp_path)]) == 2
        error = capsys.readouterr().err
        assert f"start one with `rtmp-sync pair --dir {tmp_path}`" in error
        assert error.count("\n") == 1


def test_status_shows_both_origins_and_their_alarms(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["status", "--dir", str(directory)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[:4]] == [
        ["A", "B"],
        ["role", "active", "standby"],
        ["state", "ACTIVE", "READY"],
        ["gate", "open", "open"],
    ]
    assert "A: store_slow: the store answered after 0.3 s" in lines
    assert "\x1b" not in "".join(lines)


def test_status_as_json_is_what_the_origins_answered(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["status", "--dir", str(directory), "--json"]) == 0
    nodes = json.loads(capsys.readouterr().out)["nodes"]
    assert nodes[0] == STATUS
    assert nodes[1]["role"] == "standby"


def test_status_fails_when_no_origin_serves(
    directory: Path, apis: tuple[Api, Api], capsys: pytest.CaptureFixture[str]
) -> None:
    apis[0].answers["/status"] = (503, {"error": "starting"})
    assert cli.run(["status", "--dir", str(directory)]) == 1
    printed = capsys.readouterr().out
    assert "unreachable" in printed
    assert "503: starting" in printed


def test_status_takes_one_origin_by_address_or_by_configuration(
    directory: Path, apis: tuple[Api, Api], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["status", "--admin", apis[0].address]) == 0
    assert cli.run(["status", "--config", str(directory / "B" / "config.toml")]) == 1
    capsys.readouterr()
    assert cli.run(["status", "--admin", "nowhere"]) == 2
    assert "--admin = 'nowhere': give" in capsys.readouterr().err


def test_failback_asks_the_active_origin_with_credentials(
    directory: Path, apis: tuple[Api, Api], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = apis
    first.answers["/status"], second.answers["/status"] = (
        second.answers["/status"],
        first.answers["/status"],
    )
    second.answers["/failback"] = (200, {"ok": True, "result": "A serves in epoch 8"})
    assert cli.run(["failback", "--dir", str(directory)]) == 0
    assert capsys.readouterr().out == "A serves in epoch 8\n"
    method, path, authorization = second.asked[-1]
    assert (method, path) == ("POST", "/failback")
    assert authorization == "Basic YWRtaW46c2VjcmV0IHdvcmRz"  # admin:secret words


def test_a_refused_failback_is_one_line_and_exit_code_1(
    directory: Path, apis: tuple[Api, Api], capsys: pytest.CaptureFixture[str]
) -> None:
    apis[0].answers["/failback"] = (409, {"ok": False, "result": "A serves already"})
    assert cli.run(["failback", "--dir", str(directory)]) == 1
    assert capsys.readouterr().err == "failback: A serves already\n"


def test_python_m_rtmp_sync_is_the_same_command(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "rtmp_sync", "status", "--dir", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.startswith("--dir = ")
