"""`reload` and `unload`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rtmp_sync import cli
from rtmp_sync.commands import reload as module
from tests.support.admin_api import Api

DONE = {"id": "A", "done": True, "result": "chat: code abc; in place: chat/x", "number": 3}


def has(node: str, number: int, trouble: str = "") -> tuple[int, dict[str, Any]]:
    code = {"digest": "abc", "number": number, "trouble": trouble}
    return 200, {"id": node, "applications": {"chat": code}}


@pytest.fixture
def reloading(apis: tuple[Api, Api]) -> tuple[Api, Api]:
    apis[0].answers["/reload"] = (200, DONE)
    apis[0].answers["/applications"] = has("A", 3)
    apis[1].answers["/applications"] = has("B", 3)
    return apis


def test_both_nodes_are_reported(
    directory: Path, reloading: tuple[Api, Api], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["reload", "chat/x", "--dir", str(directory)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "A: chat: code abc; in place: chat/x",
        "B: has the same code",
    ]
    assert reloading[0].bodies["/reload"] == {"app": "chat", "instance": "x"}
    assert cli.run(["reload", "chat", "--json", "--dir", str(directory)]) == 0
    assert json.loads(capsys.readouterr().out) == {**DONE, "others": {"B": ""}}
    assert reloading[0].bodies["/reload"] == {"app": "chat", "instance": ""}
    assert reloading[1].ordered == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (has("B", 3, "has another file"), "B: has another file\n"),
        (has("B", 2), "B: has not followed within 0 s\n"),
        ((503, {"error": "no"}), "answers 503: no\n"),
        ((200, {"id": "B", "applications": {}}), "B: has no such application\n"),
    ],
)
def test_a_standby_with_other_code_is_exit_code_1(
    directory: Path,
    reloading: tuple[Api, Api],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    answer: tuple[int, Any],
    said: str,
) -> None:
    monkeypatch.setattr(module, "FOLLOW_SECONDS", 0.0)
    reloading[1].answers["/applications"] = answer
    assert cli.run(["reload", "chat", "--dir", str(directory)]) == 1
    assert capsys.readouterr().out.replace("\n", " ").strip().endswith(said.strip())


def test_a_wrong_file_is_one_line_and_exit_code_1(
    directory: Path, reloading: tuple[Api, Api], capsys: pytest.CaptureFixture[str]
) -> None:
    text = "the old code stays: apps.chat = 'chat.py': does not import (SyntaxError: x, line 2)"
    reloading[0].answers["/reload"] = (409, {"id": "A", "done": False, "result": text})
    assert cli.run(["reload", "chat", "--dir", str(directory)]) == 1
    assert capsys.readouterr().err == f"reload: {text}\n"


def test_unload_says_what_has_ended(
    directory: Path, apis: tuple[Api, Api], capsys: pytest.CaptureFixture[str]
) -> None:
    done = {"id": "A", "done": True, "result": "ended: chat/x (2 clients told)"}
    apis[0].answers["/unload"] = (200, done)
    assert cli.run(["unload", "chat/x", "--dir", str(directory)]) == 0
    assert capsys.readouterr().out == "ended: chat/x (2 clients told)\n"
    assert apis[0].bodies["/unload"] == {"app": "chat", "instance": "x"}
