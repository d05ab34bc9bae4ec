"""`pause`, `resume` and `resync`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from rtmp_sync import cli
from tests.support.admin_api import Api


def test_pause_and_resume_ask_the_origin_that_serves(
    directory: Path, apis: tuple[Api, Api], capsys: pytest.CaptureFixture[str]
) -> None:
    apis[0].answers["/pause"] = (200, {"id": "A", "done": True, "result": "paused"})
    apis[0].answers["/resume"] = (200, {"id": "A", "done": True, "result": "resumed"})
    assert cli.run(["pause", "--reason", "NAS work", "--dir", str(directory)]) == 0
    assert apis[0].bodies["/pause"] == {"reason": "NAS work"}
    assert "until `rtmp-sync resume`" in capsys.readouterr().out
    assert cli.run(["resume", "--json", "--dir", str(directory)]) == 0
    assert json.loads(capsys.readouterr().out)["result"] == "resumed"
    assert (apis[0].ordered, apis[1].ordered) == (["/pause", "/resume"], [])


def test_while_nobody_serves_any_origin_can_pause_and_resume(
    directory: Path, apis: tuple[Api, Api]
) -> None:
    apis[0].answers["/status"] = (503, {"error": "starting"})
    apis[1].answers["/resume"] = (200, {"id": "B", "done": True, "result": "resumed"})
    assert cli.run(["resume", "--dir", str(directory)]) == 0


def test_without_any_origin_it_fails(
    directory: Path, apis: tuple[Api, Api], capsys: pytest.CaptureFixture[str]
) -> None:
    for api in apis:
        api.answers["/status"] = (503, {"error": "starting"})
    assert cli.run(["pause", "--dir", str(directory)]) == 1
    assert "no origin answers" in capsys.readouterr().err


def test_resync_asks_first_and_returns_when_the_copy_is_complete(
    directory: Path,
    apis: tuple[Api, Api],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = apis

    def copy(_: Any) -> tuple[int, Any]:
        first.says(sync=[])
        second.says(state="SYNCING")
        return 200, {"id": "A", "done": True, "result": "B makes a new copy"}

    first.answers["/resync"] = copy
    assert cli.run(["resync", "--dir", str(directory)]) == 2
    assert "add --yes" in capsys.readouterr().err
    assert first.ordered == []

    looks = 0

    def pause(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 2:  # in sync by the record, though not by a new copy
            first.says(sync=["B"])
        if looks == 4:
            second.says(state="READY", replication={"full_resyncs": 2})

    monkeypatch.setattr(time, "sleep", pause)
    assert cli.run(["resync", "--yes", "--dir", str(directory)]) == 0
    assert looks == 4
    assert "in sync again" in capsys.readouterr().out
