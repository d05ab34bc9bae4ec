"""`status`: both origins side by side, what alarms them and what to do, the last move."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rtmp_sync import cli
from tests.support.admin_api import STATUS, Api


def test_status_shows_both_origins_and_their_alarms(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["status", "--dir", str(directory)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[:4]] == [
        ["A", "B"],
        ["role", "active", "standby"],
        ["state", "ACTIVE", "READY"],
        ["gate", "open", "closed"],
    ]
    assert "A: store_slow: the store answered after 0.3 s" in lines
    assert "\x1b" not in "".join(lines)


def test_each_alarm_comes_with_what_to_do(
    directory: Path, apis: tuple[Api, Api], capsys: pytest.CaptureFixture[str]
) -> None:
    apis[0].says(alarms={"paused": "automatic decisions are off"}, sync=[])
    assert cli.run(["status", "--dir", str(directory)]) == 0
    printed = capsys.readouterr().out
    assert "A: paused: automatic decisions are off\n   -> `rtmp-sync resume`" in printed
    assert "nobody" in printed


def test_status_says_whom_a_stopping_origin_waits_for(
    directory: Path, apis: tuple[Api, Api], capsys: pytest.CaptureFixture[str]
) -> None:
    apis[0].says(stopping={"clients": 3, "seconds": 4.2})
    assert cli.run(["status", "--dir", str(directory)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "A: stopping: clients still here: 3, 4 s at most" in lines


def test_status_tells_the_newest_move_of_the_service_with_its_steps(
    directory: Path, apis: tuple[Api, Api], capsys: pytest.CaptureFixture[str]
) -> None:
    old = {"at": "2026-01-01T00:00:00.1+00:00", "event": "began", "to": "A"}
    new = {
        "at": "2026-01-02T00:00:00.1+00:00",
        "event": "failover",
        "from": "A",
        "to": "B",
        "reason": "hung",
        "steps": {"noticed": 3, "opened": 9},
    }
    apis[0].says(last_moves=[old])
    apis[1].says(last_moves=[new])
    assert cli.run(["status", "--dir", str(directory)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "last: 2026-01-02T00:00:00Z B: failover A -> B (hung)" in lines
    assert "   noticed 3 ms, opened 9 ms" in lines


def test_the_environment_of_an_operators_shell_is_not_of_a_pairs_files(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RTMP_SYNC_ENVIRONMENT", "production")
    assert cli.run(["status", "--dir", str(directory)]) == 0
    assert cli.run(["status", "--config", str(directory / "A" / "config.toml")]) == 2


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


def test_an_origin_is_found_by_its_address_or_its_configuration(
    directory: Path, apis: tuple[Api, Api], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["status", "--admin", apis[0].address]) == 0
    assert cli.run(["status", "--config", str(directory / "B" / "config.toml")]) == 1
    capsys.readouterr()
    assert cli.run(["status", "--admin", "nowhere"]) == 2
    assert "--admin = 'nowhere': give" in capsys.readouterr().err
    both = ["--admin", apis[0].address, "--config", str(directory / "A" / "config.toml")]
    assert cli.run(["status", *both]) == 2


@pytest.mark.parametrize("ways", [["--config", "A", "--config", "B"], ["--admin", "--admin"]])
def test_both_origins_are_found_when_both_are_given(
    directory: Path, apis: tuple[Api, Api], ways: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    values = {
        "A": str(directory / "A" / "config.toml"),
        "B": str(directory / "B" / "config.toml"),
    }
    arguments = [values.get(word, word) for word in ways]
    if "--admin" in ways:
        arguments = ["--admin", apis[0].address, "--admin", apis[1].address]
    assert cli.run(["status", "--json", *arguments]) == 0
    assert [node["id"] for node in json.loads(capsys.readouterr().out)["nodes"]] == ["A", "B"]


def test_admin_peer_leads_to_the_other_origin(
    directory: Path, apis: tuple[Api, Api], capsys: pytest.CaptureFixture[str]
) -> None:
    config = directory / "A" / "config.toml"
    config.write_text(config.read_text() + f'peer = "{apis[1].address}"\n')
    assert cli.run(["status", "--json", "--config", str(config)]) == 0
    assert [node["id"] for node in json.loads(capsys.readouterr().out)["nodes"]] == ["A", "B"]
