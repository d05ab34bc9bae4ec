"""`config repair`: what is wrong is shown, then it asks, and only then it writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rtmp_sync import cli
from rtmp_sync.cluster.record import Author, decode, encode, first_record
from tests.support.admin_api import Api


@pytest.fixture
def pair_file(directory: Path) -> Path:
    """Of the pair, with a valid record and line."""
    path = directory / "MainOriginConfig.txt"
    path.write_text("A\\B")
    records = path.with_name(path.name + ".d")
    records.mkdir()
    author = Author("A", "a1", "n1", "2026-01-01T00:00:00.000+00:00")
    (records / "rec.1").write_bytes(encode(first_record(("A", "B"), author)))
    (directory / "secret").write_text("x" * 32)
    for node in "AB":
        config = directory / node / "config.toml"
        more = (
            '[replication]\nlisten = "127.0.0.1:0"\npeer = "127.0.0.1:9"\n'
            f'secret_file = "{directory}/secret"\n'
            f'[failover]\npair_file = "{path}"\npeer_admin = "127.0.0.1:9"\n'
        )
        config.write_text(config.read_text() + more)
    return path


def repair(directory: Path, *options: str) -> int:
    return cli.run(["config", "repair", *options, "--dir", str(directory)])


def test_nothing_is_mended_when_nothing_is_wrong(
    directory: Path, pair_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert repair(directory) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("found: record 1 is valid")
    assert lines[-1] == "nothing is to be mended"


def test_a_missing_line_is_written_when_the_operator_agrees(
    directory: Path, pair_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair_file.unlink()
    assert repair(directory) == 2
    printed = capsys.readouterr()
    assert "to do: write the line A\\B" in printed.out
    assert "add --yes" in printed.err
    assert not pair_file.exists()
    assert repair(directory, "--yes") == 0
    assert pair_file.read_text() == "A\\B"


def test_a_damaged_record_is_replaced_by_the_word_of_the_node_that_serves(
    directory: Path, pair_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = pair_file.with_name(pair_file.name + ".d")
    (records / "rec.1").write_text("garbage")
    assert repair(directory, "--yes", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["done"]
    newest = max(records.glob("rec.*"), key=lambda path: int(path.suffix[1:]))
    record = decode(newest.read_bytes())
    assert (record.holder, record.boot_id, record.epoch) == ("A", "a1", 7)


def test_what_must_be_done_before_is_told_with_exit_code_1(
    directory: Path,
    pair_file: Path,
    apis: tuple[Api, Api],
    capsys: pytest.CaptureFixture[str],
) -> None:
    (pair_file.with_name(pair_file.name + ".d") / "rec.1").write_text("garbage")
    apis[1].answers["/status"] = (503, {"error": "starting"})
    apis[0].says(peer={"id": "B", "link": "down"})
    assert repair(directory, "--yes") == 1
    assert "to do: start B" in capsys.readouterr().out


def test_without_a_pair_file_there_is_nothing_to_mend(
    directory: Path, apis: tuple[Api, Api], capsys: pytest.CaptureFixture[str]
) -> None:
    assert repair(directory) == 2
    assert "no failover.pair_file" in capsys.readouterr().err
    assert cli.run(["config", "repair", "--admin", apis[0].address]) == 2
    assert "--config or --dir" in capsys.readouterr().err
