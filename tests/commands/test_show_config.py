"""What `config show` prints is the configuration in force, and can be read again."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from rtmp_sync import cli
from rtmp_sync.config import load_config

TEXT = """
[node]
id = "A"
environment = "Staging"
[rtmp]
listen = "127.0.0.1:1"
allow = ["10.0.0.0/8", "::1"]
[replication]
peer = "127.0.0.1:3"
secret_file = "secret"
[admin]
user = "admin"
password_file = "password"
[failover]
peer_admin = "127.0.0.1:4"
nodes = ["A", "B"]
etcd = ["127.0.0.1:2379", "127.0.0.1:2380"]
cold_start_alone = 3.5
[apps.text]
public_types = ["Type1"]
[apps.text.allow]
Type1 = ["setText"]
Guest = { setText = false }
Nobody = {}
[storage.virtual]
"/my files" = "files"
[application_object]
env_name = "none"
empty = {}
since = 2024-01-01T00:00:00Z
"a b" = [1, { x = 2.5, "ü" = "\\u007f" }]
[environments.staging.rtmp]
listen = "127.0.0.1:2"
[environments.staging.application_object]
env_name = "staging"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "origin.toml").write_text(TEXT)
    return tmp_path / "origin.toml"


@pytest.mark.parametrize("options", [[], ["--all"]])
def test_what_is_shown_says_the_same_as_the_file_in_its_environment(
    file: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    assert cli.run(["config", "show", "--config", str(file), *options]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"# {file} in the environment staging\n")
    again = file.with_name("again.toml")
    again.write_text(shown)
    own, other = load_config(file), load_config(again)
    different = {name for name, value in own if value != getattr(other, name)}
    assert different == {"node", "environments"}
    assert other.rtmp.listen.port == 2
    assert other.node.environment == ""
    assert ("chunk_size =" in shown) == bool(options)


def test_json_has_the_environment_and_no_defaults(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["config", "show", "--config", str(file), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["node"] == {"id": "A", "environment": "staging"}
    assert shown["failover"]["etcd"] == ["127.0.0.1:2379", "127.0.0.1:2380"]
    assert set(shown) <= set(tomllib.loads(file.read_text()))


def test_keys_and_passwords_in_addresses_are_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "origin.toml"
    file.write_text(
        '[node]\nid = "A"\n[hooks]\non_play = "https://me:hidden1@hooks:8080/play?hidden2&of=all"\n'
        '[[apps.text.relays]]\npush = "rtmp://video/live?user=hidden3&key=hidden4=="\n'
        '[application_object]\nstore = "db://me:hidden5@[::1]/a"\nasks = "who? you & me"\n'
    )
    for options in ([], ["--json"]):
        assert cli.run(["config", "show", "--config", str(file), *options]) == 0
        shown = capsys.readouterr().out
        assert "hidden" not in shown
        for text in (
            "https://***@hooks:8080/play?***&of=***",
            "rtmp://video/live?user=***&key=***",
            "db://***@[::1]/a",
            "who? you & me",
        ):
            assert f'"{text}"' in shown


def test_an_environment_may_have_any_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "apps").mkdir()
    file = tmp_path / "origin.toml"
    file.write_text('[node]\nid = "A"\n[environments."a\\nb [red].c".rtmp]\nchunk_size = 1000\n')
    monkeypatch.setenv("RTMP_SYNC_ENVIRONMENT", "A\nB [red].C")
    assert cli.run(["config", "show", "--config", str(file)]) == 0
    assert tomllib.loads(capsys.readouterr().out)["rtmp"] == {"chunk_size": 1000}
    assert cli.run(["config", "check", "--config", str(file)]) == 0
    assert "in the environment a b [red].c" in _line(capsys)


def test_the_check_says_which_environment_is_in_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "apps").mkdir()
    file = tmp_path / "origin.toml"
    file.write_text('[node]\nid = "A"\n[environments.staging]\n[environments.production]\n')
    assert cli.run(["config", "check", "--config", str(file)]) == 0
    assert "none of its environments (staging, production)" in _line(capsys)
    monkeypatch.setenv("RTMP_SYNC_ENVIRONMENT", "production")
    assert cli.run(["config", "check", "--config", str(file)]) == 0
    assert "good, in the environment production" in _line(capsys)


def _line(capsys: pytest.CaptureFixture[str]) -> str:
    """The console breaks long paths."""
    return " ".join(capsys.readouterr().out.split())
