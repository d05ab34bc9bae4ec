from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rtmp_sync.server import history as history_module
from rtmp_sync.server.history import History


def names(history: History) -> list[str]:
    return [event["event"] for event in history.events()]


def test_an_event_has_its_fields_and_both_clocks() -> None:
    history = History()
    history.record("failover", to="B", epoch=2)
    (event,) = history.events()
    assert (event["event"], event["to"], event["epoch"]) == ("failover", "B", 2)
    assert event["at"].endswith("+00:00")
    assert event["clock"] > 0


def test_only_the_newest_events_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "MAX_EVENTS", 3)
    history = History()
    for number in range(5):
        history.record(f"e{number}")
    assert names(history) == ["e2", "e3", "e4"]


async def test_what_repeats_itself_pushes_out_its_own_kind_only(tmp_path: Path) -> None:
    path = tmp_path / "history"
    history = History(path)
    history.record("failover", to="B")
    for number in range(3 * history_module.MAX_EVENTS):
        history.record("admin_refused", number=number)
        if number % 100 == 0:
            await history.flush()
    history.record("gate_closed")
    await history.flush()
    for kept in (history, History(path)):  # also what is read after a restart
        assert names(kept)[0] == "failover"
        assert names(kept)[-1] == "gate_closed"
        refused = [one["number"] for one in kept.events() if one["event"] == "admin_refused"]
        last = 3 * history_module.MAX_EVENTS
        assert refused == list(range(last - history_module.MAX_OF_KIND, last))


async def test_events_survive_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "history"
    history = History(path)
    for number in range(20):
        history.record("written", number=number)
    await history.flush()
    assert [event["number"] for event in History(path).events()] == list(range(20))


async def test_a_line_that_a_crash_cut_short_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.write_text(json.dumps({"event": "whole"}) + '\n{"event": "ha', encoding="utf-8")
    assert names(History(path)) == ["whole"]


async def test_a_damaged_line_stops_nothing(tmp_path: Path) -> None:
    path = tmp_path / "history"
    lines = ['{"event": ["no", "name"]}', "[1, 2]", "{}", json.dumps({"event": "whole"})]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert History(path).events()[-1] == {"event": "whole"}


async def test_what_comes_after_a_line_that_was_cut_short_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.write_bytes(json.dumps({"event": "whole"}).encode() + b'\n{"event": "h\xc3')
    history = History(path)
    history.record("next")
    await history.flush()
    assert names(History(path)) == ["whole", "next"]


async def test_the_steps_of_a_failover_are_there_after_a_restart(tmp_path: Path) -> None:
    steps = {"noticed": 0, "claimed": 3, "landed": 5, "waited": 3500, "opened": 4}
    history = History(tmp_path / "history")
    history.record("failover", to="B", steps=steps)
    await history.flush()
    assert History(tmp_path / "history").events()[0]["steps"] == steps


async def test_a_full_file_begins_anew_with_what_is_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "MAX_FILE_BYTES", 500)
    history = History(tmp_path / "history")
    for number in range(50):
        history.record("event", number=number)
        await history.flush()
    numbers = [event["number"] for event in History(tmp_path / "history").events()]
    assert numbers == list(range(50))
    assert os.listdir(tmp_path) == ["history"]
    assert (tmp_path / "history").stat().st_size < 50_000


async def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    history = History(tmp_path / "missing" / "history")
    history.record("one")
    await history.flush()
    history.record("two")
    await history.flush()
    assert names(history) == ["one", "two"]


async def test_what_could_not_be_written_is_written_with_the_next_event(tmp_path: Path) -> None:
    history = History(tmp_path / "missing" / "history")
    history.record("one")
    await history.flush()
    (tmp_path / "missing").mkdir()
    history.record("two")
    await history.flush()
    assert names(History(tmp_path / "missing" / "history")) == ["one", "two"]
