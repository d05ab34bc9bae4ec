"""`allow reload` and `allow explain`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rtmp_sync import cli
from tests.support.admin_api import Api
from tests.support.origins import SHIPPED_APPS as APPS

ALLOWED = {
    "id": "A",
    "allowed": True,
    "because": 'the whitelist file: ["Type1"] "set*" = true',
    "arguments": ["text: a string"],
    "limits": [{"of": '["Type1"] "*"', "per_second": 0.5, "burst": 5, "each_client": True}],
}


def test_reload_asks_the_origin_that_serves(
    directory: Path, apis: tuple[Api, Api], capsys: pytest.CaptureFixture[str]
) -> None:
    done = {"id": "A", "done": True, "result": "reloaded: text; B has it", "changed": ["text"]}
    apis[0].answers["/allow/reload"] = (200, done)
    assert cli.run(["allow", "reload", "--dir", str(directory)]) == 0
    assert capsys.readouterr().out == "reloaded: text; B has it\n"
    assert cli.run(["allow", "reload", "--json", "--dir", str(directory)]) == 0
    assert json.loads(capsys.readouterr().out) == done
    assert apis[1].ordered == []


def test_a_refused_reload_is_one_line_and_exit_code_1(
    directory: Path, apis: tuple[Api, Api], capsys: pytest.CaptureFixture[str]
) -> None:
    text = "the old rules stay: apps.text.whitelist w.toml, line 5, [User], put = 5: give true"
    apis[0].answers["/allow/reload"] = (409, {"id": "A", "done": False, "result": text})
    assert cli.run(["allow", "reload", "--dir", str(directory)]) == 1
    assert capsys.readouterr().err == f"allow/reload: {text}\n"


def test_explain_tells_the_rule_the_arguments_and_the_rate(
    directory: Path, apis: tuple[Api, Api], capsys: pytest.CaptureFixture[str]
) -> None:
    apis[0].answers["/allow/explain"] = (200, ALLOWED)
    asked = ["allow", "explain", "text", "Type1", "setText", "--dir", str(directory)]
    assert cli.run(asked) == 0
    assert capsys.readouterr().out.splitlines() == [
        "'Type1' setText: allowed",
        '  because   the whitelist file: ["Type1"] "set*" = true',
        "  arguments text: a string",
        '  rate      0.5 calls/s, 5 at once, each client, by ["Type1"] "*"',
    ]
    assert apis[0].bodies["/allow/explain"] == {
        "app": "text",
        "user_type": "Type1",
        "method": "setText",
        "file": False,
    }


def test_explain_of_a_refused_call_ends_with_1(
    directory: Path, apis: tuple[Api, Api], capsys: pytest.CaptureFixture[str]
) -> None:
    refused = {**ALLOWED, "allowed": False, "because": "the application …", "limits": []}
    apis[0].answers["/allow/explain"] = (200, refused)
    asked = ["allow", "explain", "text", "", "setText", "--file", "--json"]
    assert cli.run([*asked, "--dir", str(directory)]) == 1
    assert json.loads(capsys.readouterr().out)["allowed"] is False
    assert apis[0].bodies["/allow/explain"]["file"] is True


def test_config_check_reads_the_whitelist_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        f'[node]\nid = "A"\n[apps]\ndirectory = "{APPS}"\ntext.whitelist = "w.toml"\n'
    )
    (tmp_path / "w.toml").write_text('[Type1]\nsetText = true\n"get*" = "x"\n')
    assert cli.run(["config", "check", "--config", str(config)]) == 2
    assert "w.toml, line 3, [Type1], get* = 'x': give true, false" in capsys.readouterr().err
    (tmp_path / "w.toml").write_text("[Type1]\nsetTxet = true\n")
    assert cli.run(["config", "check", "--config", str(config)]) == 2
    assert "line 2, [Type1], setTxet" in capsys.readouterr().err
    (tmp_path / "w.toml").write_text('[Type1]\n"*" = false\n')
    assert cli.run(["config", "check", "--config", str(config)]) == 0
