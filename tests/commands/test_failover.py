"""`failover --force`: what it would lose is shown, then it asks, and only then it acts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rtmp_sync import cli
from tests.support.admin_api import Api

Closed = Callable[..., Path]


@pytest.fixture
def closed(directory: Path, apis: tuple[Api, Api]) -> Closed:
    """A is dead, B is closed; it serves when it is told to."""

    def make(**changes: Any) -> Path:
        first, second = apis
        first.answers["/status"] = (503, {"error": "starting"})
        second.says(**{"state": "SYNCING", "complete": False, "seq": 1200, **changes})

        def serve(_: Any) -> tuple[int, Any]:
            second.says(role="active", state="ACTIVE")
            return 200, {"id": "B", "done": True, "result": "B serves in epoch 8"}

        second.answers["/failover"] = serve
        return directory

    return make


def test_without_force_it_says_what_to_add(
    closed: Closed, apis: tuple[Api, Api], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["failover", "--dir", str(closed())]) == 2
    assert "add --force" in capsys.readouterr().err
    assert apis[1].ordered == []


@pytest.mark.parametrize("more", [[], ["--fenced"]])
def test_what_would_be_lost_is_shown_and_must_be_accepted(
    closed: Closed, apis: tuple[Api, Api], capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    assert cli.run(["failover", "--force", "--yes", *more, "--dir", str(closed())]) == 1
    error = capsys.readouterr().err
    assert "B has Changes up to 1200" in error
    assert "Changes up to 1234 are known: 34 would be lost" in error
    assert "add --accept-data-loss" in error
    assert apis[1].ordered == []


def test_nobody_to_ask_is_wrong_use(
    closed: Closed, apis: tuple[Api, Api], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["failover", "--force", "--accept-data-loss", "--dir", str(closed())]
    assert cli.run(arguments) == 2
    assert "add --yes" in capsys.readouterr().err
    assert apis[1].ordered == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--accept-data-loss"], {"accept_data_loss": True, "fenced": False}),
        (
            ["--accept-data-loss", "--fenced", "--to", "B"],
            {"accept_data_loss": True, "fenced": True},
        ),
    ],
)
def test_the_standby_is_made_to_serve(
    closed: Closed,
    apis: tuple[Api, Api],
    options: list[str],
    said: dict[str, bool],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["failover", "--force", "--yes", *options, "--dir", str(closed())]) == 0
    assert capsys.readouterr().out == "B serves in epoch 8\n"
    assert (apis[0].ordered, apis[1].ordered) == ([], ["/failover"])
    assert apis[1].bodies["/failover"] == {"force": True, **said}


def test_a_complete_copy_loses_nothing_and_needs_no_acceptance(
    closed: Closed, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = closed(complete=True)
    assert cli.run(["failover", "--force", "--yes", "--json", "--dir", str(directory)]) == 0
    printed = capsys.readouterr()
    answer = json.loads(printed.out)
    assert (answer["lost"]["nothing"], answer["lost"]["changes"]) == (True, 0)
    assert printed.err == ""


def test_a_complete_copy_serves_without_the_store_by_one_word(
    closed: Closed, apis: tuple[Api, Api]
) -> None:
    arguments = ["failover", "--force", "--fenced", "--yes", "--dir", str(closed(complete=True))]
    assert cli.run(arguments) == 0
    said = {"force": True, "accept_data_loss": False, "fenced": True}
    assert apis[1].bodies["/failover"] == said


def test_of_two_closed_origins_the_one_with_more_is_chosen(
    closed: Closed, apis: tuple[Api, Api]
) -> None:
    directory = closed(seq=1300)
    apis[0].answers["/status"] = apis[1].answers["/status"]
    apis[0].says(id="A", seq=1299)
    arguments = ["failover", "--force", "--accept-data-loss", "--yes", "--dir", str(directory)]
    assert cli.run(arguments) == 0
    assert (apis[0].ordered, apis[1].ordered) == ([], ["/failover"])


def test_nothing_is_forced_while_an_origin_serves(
    directory: Path, apis: tuple[Api, Api], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["failover", "--force", "--yes", "--dir", str(directory)]) == 1
    assert capsys.readouterr().err == "failover: A serves: use `rtmp-sync switchover`\n"
    assert [*apis[0].ordered, *apis[1].ordered] == []


def test_an_unknown_node_is_wrong_use(closed: Closed, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["failover", "--force", "--to", "C", "--dir", str(closed())]
    assert cli.run(arguments) == 2
    assert capsys.readouterr().err == "--to C: no such node; known: A, B\n"
