"""`maintenance NODE`: nothing is stopped unless the other origin serves, and it comes back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rtmp_sync import cli
from rtmp_sync.commands import maintenance
from tests.support.admin_api import Api

SYSTEMCTL = """\
#!/bin/sh
echo "$@" >> {log}
case "$1 $2" in
  "cat origin") exit 0 ;;
  "stop origin") touch {folder}/down ;;
  "start origin") rm {folder}/down ;;
  *) echo "Unit $2 not found." >&2; exit 5 ;;
esac
"""


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One that knows the unit `origin`; the log of what it was asked."""
    program, log = tmp_path / "bin" / "systemctl", tmp_path / "systemctl.log"
    program.parent.mkdir()
    program.write_text(SYSTEMCTL.format(log=log, folder=tmp_path))
    program.chmod(0o755)
    log.touch()
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    monkeypatch.setattr(maintenance, "LOOK_SECONDS", 0.0)
    return log


def unit_of(api: Api, folder: Path) -> None:
    """The API answers while its unit runs."""
    answer = api.answers["/status"]
    assert not callable(answer)

    def status(_: Any) -> tuple[int, Any]:
        if (folder / "down").exists():
            return 503, {"error": "stopped"}
        return answer

    api.answers["/status"] = status


def config_of(directory: Path) -> list[str]:
    """Both nodes without the directory of a `pair`, so that the unit is what runs them."""
    return [word for node in "AB" for word in ("--config", str(directory / node / "config.toml"))]


Maintain = Callable[..., int]


@pytest.fixture
def maintain(directory: Path, systemctl: Path) -> Maintain:
    def call(node: str, *options: str) -> int:
        return cli.run(["maintenance", node, *options, *config_of(directory)])

    return call


def test_the_standby_is_stopped_and_started_and_waited_for(
    maintain: Maintain,
    apis: tuple[Api, Api],
    tmp_path: Path,
    systemctl: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    unit_of(apis[1], tmp_path)
    assert maintain("b", "--unit", "origin", "--restart") == 0
    assert systemctl.read_text().splitlines() == ["cat origin", "stop origin", "start origin"]
    assert [*apis[0].ordered, *apis[1].ordered] == []
    assert "B is maintained and in sync; A serves" in capsys.readouterr().out


def test_the_active_one_hands_over_first_and_gets_the_service_back(
    maintain: Maintain,
    moving: tuple[Api, Api],
    systemctl: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second = moving

    def back(_: Any) -> tuple[int, Any]:
        first.says(role="active", state="ACTIVE", holder="A", epoch=9, sync=["B"])
        second.says(role="standby", state="READY", holder="A", epoch=9)
        report = {"from": "B", "to": "A", "epoch": 9, "pause_ms": 1, "steps": {}}
        return 200, {"id": "B", "done": True, "result": "A serves", "report": report}

    second.answers["/switchover"] = back
    first.answers["/history"] = (200, {"id": "A", "events": []})
    assert maintain("A", "--unit", "origin", "--restart", "--return", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["served"], report["serves"]) == (True, "A")
    assert first.bodies["/switchover"] == {"to": "B"}
    assert second.bodies["/switchover"] == {"to": "A"}
    assert list(report["steps"]) == ["switched", "stopped", "in_sync", "returned"]
    assert (report["switchover"]["epoch"], report["return"]["epoch"]) == (8, 9)


def test_without_return_it_says_how_to_give_the_service_back(
    maintain: Maintain, moving: tuple[Api, Api], capsys: pytest.CaptureFixture[str]
) -> None:
    assert maintain("A", "--unit", "origin", "--restart") == 0
    printed = capsys.readouterr().out
    assert "A is maintained and in sync; B serves" in printed
    assert "`rtmp-sync switchover` gives the service back" in printed


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({0: {"sync": []}}, "A serves and B is READY, not in sync: nobody could serve meanwhile"),
        ({1: None}, "503: starting"),
    ],
)
def test_the_active_one_is_not_stopped_when_nobody_could_serve(
    maintain: Maintain,
    apis: tuple[Api, Api],
    changes: dict[int, dict[str, Any] | None],
    why: str,
    systemctl: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for index, change in changes.items():
        if change is None:
            apis[index].answers["/status"] = (503, {"error": "starting"})
        else:
            apis[index].says(**change)
    assert maintain("A", "--unit", "origin", "--restart") == 1
    assert why in capsys.readouterr().err
    assert "stop origin" not in systemctl.read_text()


def test_the_standby_is_not_stopped_when_the_other_one_does_not_serve(
    maintain: Maintain, apis: tuple[Api, Api], systemctl: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    apis[0].says(role="closed", state="FENCED")
    assert maintain("B", "--unit", "origin", "--restart") == 1
    assert capsys.readouterr().err == "maintenance: A does not serve: nobody would\n"
    assert "stop origin" not in systemctl.read_text()


@pytest.mark.parametrize(
    ("options", "to_add"),
    [
        (["--unit", "origin"], "add --restart"),
        (["--restart"], "Add --unit UNIT"),
    ],
)
def test_nobody_to_press_enter_is_wrong_use_and_nothing_is_stopped(
    maintain: Maintain,
    options: list[str],
    to_add: str,
    systemctl: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert maintain("B", *options) == 2
    assert to_add in capsys.readouterr().err
    assert "stop origin" not in systemctl.read_text()


def test_a_unit_that_does_not_exist_is_found_out_before_the_service_moves(
    maintain: Maintain, moving: tuple[Api, Api], capsys: pytest.CaptureFixture[str]
) -> None:
    assert maintain("A", "--unit", "nonsense", "--restart") == 1
    assert capsys.readouterr().err == "systemctl cat nonsense: Unit nonsense not found.\n"
    assert moving[0].ordered == []


def test_an_origin_that_does_not_come_back_in_sync_is_told(
    maintain: Maintain, apis: tuple[Api, Api], capsys: pytest.CaptureFixture[str]
) -> None:
    apis[1].says(state="SYNCING")
    assert maintain("B", "--unit", "origin", "--restart", "--wait", "1") == 1
    assert "B is SYNCING after 1 s; A serves" in capsys.readouterr().err


def test_a_standby_that_could_not_take_over_is_not_back_unless_the_pair_is_paused(
    maintain: Maintain, apis: tuple[Api, Api]
) -> None:
    apis[1].answers["/health/standby"] = (503, "not yet")
    assert maintain("B", "--unit", "origin", "--restart", "--wait", "1") == 1
    apis[1].says(paused=True)
    assert maintain("B", "--unit", "origin", "--restart", "--wait", "1") == 0


def test_an_unknown_node_is_wrong_use(
    maintain: Maintain, capsys: pytest.CaptureFixture[str]
) -> None:
    assert maintain("C", "--restart") == 2
    assert capsys.readouterr().err == "no node 'C' here; known: A, B\n"


def test_one_origin_alone_cannot_be_maintained(
    directory: Path, systemctl: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(directory / "A" / "config.toml")
    arguments = ["maintenance", "A", "--restart", "--unit", "origin", "--config", config]
    assert cli.run(arguments) == 2
    assert "set admin.peer" in capsys.readouterr().err
