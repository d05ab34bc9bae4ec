"""`history`: one order of both origins' events; what comes, with `--follow`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from rtmp_sync import cli
from tests.support.admin_api import Api


def event(second: int, name: str, **fields: Any) -> dict[str, Any]:
    return {"at": f"2026-01-01T00:00:{second:02}+00:00", "clock": second, "event": name, **fields}


@pytest.fixture
def told(directory: Path, apis: tuple[Api, Api]) -> Path:
    steps = {"noticed": 3, "opened": 9}
    first = [event(1, "began"), event(3, "switchover", to="B")]
    second = [event(2, "in_sync"), event(4, "failover", reason="hung", steps=steps)]
    apis[0].answers["/history"] = (200, {"id": "A", "events": first})
    apis[1].answers["/history"] = (200, {"id": "B", "events": second})
    return directory


def test_the_events_of_both_are_in_one_order_with_their_steps(
    told: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["history", "--dir", str(told)]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[1:3] for line in lines] == [
        ["A", "began"],
        ["B", "in_sync"],
        ["A", "switchover"],
        ["B", "failover"],
    ]
    assert lines[-1].rstrip().endswith("reason=hung steps: noticed 3 ms, opened 9 ms")


def test_what_others_wrote_into_an_event_is_shown_as_it_is(
    told: Path, apis: tuple[Api, Api], capsys: pytest.CaptureFixture[str]
) -> None:
    events = [
        event(1, "admin_change", user="x", outcome="refused: no [/b] or [red] \x1b]0;evil\x07")
    ]
    apis[0].answers["/history"] = (200, {"id": "A", "events": events})
    assert cli.run(["history", "--dir", str(told)]) == 0
    out = capsys.readouterr().out
    assert "refused: no [/b] or [red] \ufffd]0;evil\ufffd" in out


def test_history_as_json_has_the_node_of_each_event(
    told: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["history", "--json", "--dir", str(told)]) == 0
    events = json.loads(capsys.readouterr().out)["events"]
    assert [one["node"] for one in events] == ["A", "B", "A", "B"]


def test_one_origin_is_enough_none_is_not(
    told: Path, apis: tuple[Api, Api], capsys: pytest.CaptureFixture[str]
) -> None:
    apis[0].answers["/history"] = (401, {"error": "who are you?"})
    assert cli.run(["history", "--dir", str(told)]) == 0
    printed = capsys.readouterr()
    assert "in_sync" in printed.out
    assert "401: who are you?" in printed.err
    apis[1].answers["/history"] = (500, {"error": "no"})
    assert cli.run(["history", "--dir", str(told)]) == 1


def test_follow_shows_each_event_once_until_it_is_interrupted(
    told: Path,
    apis: tuple[Api, Api],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = 0

    def pause(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 2:
            apis[0].answers["/history"] = (200, {"id": "A", "events": [event(5, "later")]})
        if looks == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", pause)
    assert cli.run(["history", "--follow", "--json", "--dir", str(told)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = ["began", "in_sync", "switchover", "failover", "later"]
    assert [line["event"] for line in lines] == names
