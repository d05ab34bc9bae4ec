"""The command line: exit codes, one line per error, plain output where nobody looks."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from rtmp_sync import cli
from tests.support.admin_api import Api, pair_directory
from tests.support.pair import ROOT


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


PAIR_COMMANDS = (
    *("status", "history", "drill"),
    *("switchover", "drain", "failback", "failover", "pause", "resume", "resync", "maintenance"),
)


def test_without_a_pair_each_command_says_how_to_start_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in PAIR_COMMANDS:
        node = ["A"] if command == "maintenance" else []
        assert cli.run([command, *node, "--dir", str(tmp_path)]) == 2
        error = capsys.readouterr().err
        assert f"start one with `rtmp-sync pair --dir {tmp_path}`" in error
        assert error.count("\n") == 1


def test_python_m_rtmp_sync_is_the_same_command(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "rtmp_sync", "status", "--dir", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.startswith("--dir = ")


@pytest.mark.parametrize("command", [*PAIR_COMMANDS, "serve", "pair", "check-config"])
def test_each_command_tells_its_exit_codes(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([command, "--help"]) == 0
    assert "Exit codes: 0 done, 1 failed, 2 wrong use" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "offers"),
    [
        ("rtmp-sync maint", {"maintenance"}),
        ("rtmp-sync maintenance ", {"A", "B"}),
        ("rtmp-sync maintenance B", {"B"}),
        ("rtmp-sync failover --to A", {"A"}),
        ("rtmp-sync maintenance --dir elsewhere ", set()),
    ],
)
def test_the_shell_completes_commands_and_nodes(
    tmp_path: Path, line: str, offers: set[str]
) -> None:
    folder = tmp_path / "var" / "pair"
    folder.mkdir(parents=True)
    apis = (Api({}), Api({}))
    pair_directory(folder, apis)
    for api in apis:
        api.server_close()
    program = "from rtmp_sync.cli import main; main()"
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    completed = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={
            **os.environ,
            **words,
            "_RTMP_SYNC_COMPLETE": "complete_bash",
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.stderr == ""
    assert set(completed.stdout.split()) == offers
