"""`switchover`, `drain` and `failback`: the right origin is asked, and each step is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rtmp_sync import cli
from rtmp_sync.commands import orders
from tests.support.admin_api import Api

STEPS = ["drained", "peer ready", "closed", "recorded", "opened"]


@pytest.mark.parametrize(
    ("command", "path", "body"),
    [
        (["switchover"], "/switchover", {}),
        (["switchover", "--drain", "0.5"], "/switchover", {"drain_seconds": 0.5}),
        (["drain", "--seconds", "2"], "/drain", {"drain_seconds": 2.0}),
        (["drain"], "/drain", {"drain_seconds": 30.0}),
        (["failback"], "/failback", {}),
    ],
)
def test_the_origin_that_serves_is_asked_and_each_step_is_shown(
    directory: Path,
    moving: tuple[Api, Api],
    command: list[str],
    path: str,
    body: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second = moving
    assert cli.run([*command, "--dir", str(directory)]) == 0
    assert (first.ordered, second.ordered) == ([path], [])
    assert first.bodies[path] == body
    authorizations = {asked for method, _, asked in first.asked if method == "POST"}
    assert authorizations == {"Basic YWRtaW46c2VjcmV0IHdvcmRz"}  # admin:secret words
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "B serves in epoch 8"
    assert [line[:10].strip() for line in lines[2:-1]] == STEPS
    assert lines[-2].split() == ["opened", "12"]
    assert lines[-1] == "writes were held for 21 ms"


def test_the_report_as_json_has_the_steps_of_both_origins(
    directory: Path, moving: tuple[Api, Api], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["switchover", "--dir", str(directory), "--json"]) == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)["report"]
    assert (report["from"], report["to"], report["epoch"]) == ("A", "B", 8)
    assert list(report["steps"]) == [step.replace(" ", "_") for step in STEPS]
    assert printed.err == ""


def test_the_standby_serves_after_the_roles_have_changed(
    directory: Path, moving: tuple[Api, Api]
) -> None:
    """Asked once more, it is the other one's turn."""
    first, second = moving
    assert cli.run(["switchover", "--dir", str(directory)]) == 0
    second.answers["/switchover"] = (200, {"id": "B", "done": True, "result": "A serves"})
    assert cli.run(["switchover", "--dir", str(directory)]) == 0
    assert (first.ordered, second.ordered) == (["/switchover"], ["/switchover"])


def test_an_origin_that_names_another_one_is_believed(
    directory: Path, apis: tuple[Api, Api], capsys: pytest.CaptureFixture[str]
) -> None:
    """The service moved after it was looked for."""
    first, second = apis
    refusal = {"id": "A", "done": False, "result": "B holds the service: ask it", "ask": "B"}
    first.answers["/failback"] = (409, refusal)
    second.answers["/failback"] = (200, {"id": "B", "done": True, "result": "A serves in epoch 9"})
    assert cli.run(["failback", "--dir", str(directory)]) == 0
    assert capsys.readouterr().out == "A serves in epoch 9\n"


def test_the_only_origin_known_says_whom_to_ask(
    directory: Path, apis: tuple[Api, Api], capsys: pytest.CaptureFixture[str]
) -> None:
    refusal = {"id": "B", "done": False, "result": "A holds the service: ask it", "ask": "A"}
    apis[1].answers["/switchover"] = (409, refusal)
    config = str(directory / "B" / "config.toml")
    assert cli.run(["switchover", "--config", config]) == 1
    assert capsys.readouterr().err == "switchover: A holds the service: ask it\n"


def test_a_refused_order_is_one_line_and_exit_code_1(
    directory: Path, apis: tuple[Api, Api], capsys: pytest.CaptureFixture[str]
) -> None:
    refusal = {"id": "A", "done": False, "result": "the other origin is not READY"}
    apis[0].answers["/switchover"] = (409, refusal)
    assert cli.run(["switchover", "--dir", str(directory)]) == 1
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "switchover: the other origin is not READY\n")


def test_an_origin_that_does_not_open_is_told(
    directory: Path,
    moving: tuple[Api, Api],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(orders, "OPEN_SECONDS", 0.0)
    first, second = moving
    move = first.answers["/switchover"]
    assert callable(move)

    def move_in_vain(said: Any) -> tuple[int, Any]:
        answer = move(said)
        second.says(role="closed", state="FENCED")
        return answer

    first.answers["/switchover"] = move_in_vain
    assert cli.run(["switchover", "--dir", str(directory)]) == 1
    text = "switchover: B was given the service and does not serve (A READY, B FENCED)"
    assert text in capsys.readouterr().err


def test_nothing_is_ordered_while_nobody_serves(
    directory: Path, apis: tuple[Api, Api], capsys: pytest.CaptureFixture[str]
) -> None:
    apis[0].answers["/status"] = (503, {"error": "starting"})
    for command in ("switchover", "drain", "failback"):
        assert cli.run([command, "--dir", str(directory)]) == 1
        error = capsys.readouterr().err
        assert error == f"{command}: no origin of this pair serves (A does not answer, B READY)\n"
    assert apis[1].ordered == []


def test_wrong_numbers_are_wrong_use(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["switchover", "--drain", "-1"], ["drain", "--seconds", "many"]):
        assert cli.run([*arguments, "--dir", str(directory)]) == 2
        assert capsys.readouterr().err.count("\n") == 1
