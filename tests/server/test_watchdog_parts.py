"""The small parts around the watchdog's loop."""

from __future__ import annotations

import asyncio
import os

import pytest

from rtmp_sync.cluster.view import HAND_EDIT
from rtmp_sync.server.ack_watch import AckWatch
from rtmp_sync.server.guard_pipe import VARIABLE, GuardPipe
from rtmp_sync.server.requests import Requests
from rtmp_sync.server.switch_steps import SwitchSteps
from tests.server.watchdog_doubles import SwitchStepDouble

# -- acknowledgements ----------------------------------------------------------------


def test_nothing_waiting_is_never_late() -> None:
    watch = AckWatch(1.0)
    assert not watch.look(5, 5, None, 0.0)
    assert not watch.look(5, 5, None, 100.0)
    assert watch.due() is None


def test_an_acknowledgement_that_stands_still_for_too_long_is_late() -> None:
    watch = AckWatch(1.0)
    assert not watch.look(6, 5, None, 10.0)
    assert watch.due() == 11.0
    assert not watch.look(9, 5, None, 11.0)
    assert watch.look(9, 5, None, 11.1)


def test_progress_starts_the_count_again() -> None:
    watch = AckWatch(1.0)
    watch.look(6, 5, None, 10.0)
    assert not watch.look(9, 6, None, 10.9)
    assert not watch.look(9, 6, None, 11.8)
    assert watch.look(9, 6, None, 12.0)


def test_the_links_own_knowledge_of_the_oldest_one_counts_too() -> None:
    watch = AckWatch(1.0)
    assert watch.look(6, 5, 8.0, 10.0)


def test_another_link_counts_anew() -> None:
    watch = AckWatch(1.0)
    watch.look(6, 5, None, 10.0)
    watch.restart()
    assert not watch.look(6, 5, None, 12.0)


# -- requests ------------------------------------------------------------------------


async def test_a_command_is_current_until_it_is_answered() -> None:
    requests = Requests()
    asked = asyncio.ensure_future(requests.command("pause", "admin", patience_seconds=10))
    await asyncio.sleep(0)
    assert requests.current is not None
    assert (requests.current.kind, requests.current.by) == ("pause", "admin")
    second = await requests.command("resume", "admin", patience_seconds=10)
    assert not second.done
    requests.answer(True, "paused")
    assert requests.current is None
    assert (await asked).text == "paused"


async def test_a_command_that_is_never_possible_ends_with_a_reason() -> None:
    result = await Requests().command("force", "admin", patience_seconds=0.01)
    assert not result.done
    assert "force" in result.text


def test_an_edit_of_the_line_is_news_once_and_stays_until_the_line_says_otherwise() -> None:
    requests = Requests()
    assert requests.note_edit(True)
    assert not requests.note_edit(True)
    requests.answer(False, "not now")
    assert requests.current is not None
    assert requests.current.by == HAND_EDIT
    assert not requests.note_edit(False)
    assert requests.current is None


# -- switchover steps ----------------------------------------------------------------


class LinkDouble:
    def __init__(self) -> None:
        self.sent: list[tuple[str, str, int]] = []

    def switchover(self, kind: str, *, switch_id: str = "", final_seq: int = 0) -> None:
        self.sent.append((kind, switch_id, final_seq))


def test_a_standby_answers_once_it_has_the_last_write() -> None:
    steps, link = SwitchSteps(), LinkDouble()
    steps.heard(SwitchStepDouble("prepare", "s1", 10))
    steps.answer(link, 9)  # type: ignore[arg-type]  # the part of a link that it uses
    assert link.sent == []
    steps.answer(link, 10)  # type: ignore[arg-type]
    steps.answer(link, 11)  # type: ignore[arg-type]
    assert link.sent == [("ready", "s1", 10)]


def test_an_aborted_switchover_is_not_answered() -> None:
    steps, link = SwitchSteps(), LinkDouble()
    steps.heard(SwitchStepDouble("prepare", "s1", 10))
    steps.heard(SwitchStepDouble("abort", "s1", 0))
    steps.answer(link, 10)  # type: ignore[arg-type]
    assert link.sent == []
    assert steps.is_aborted("s1")
    assert not steps.is_aborted("")


def test_only_the_answer_to_this_switchover_counts() -> None:
    steps = SwitchSteps()
    steps.heard(SwitchStepDouble("ready", "s1", 10))
    assert steps.is_ready("s1", 10)
    assert not steps.is_ready("s1", 11)
    assert not steps.is_ready("s2", 10)


# -- the guard's pipe ----------------------------------------------------------------


def test_the_guard_hears_beats_gates_and_states(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    monkeypatch.setenv(VARIABLE, str(writing))
    pipe = GuardPipe.from_environment()
    pipe.beat()
    pipe.gate(4, "boot")
    pipe.state("ACTIVE")
    pipe.close()
    assert os.read(reading, 1000) == b"beat\ngate 4 boot\nstate ACTIVE\n"
    assert not pipe.lost
    os.close(reading)


def test_a_dead_guard_is_noticed_and_harms_nothing() -> None:
    reading, writing = os.pipe()
    pipe = GuardPipe(writing)
    os.close(reading)
    pipe.beat()
    assert pipe.lost
    pipe.gate(1, "boot")
    pipe.close()


def test_a_frozen_guard_does_not_block_the_origin() -> None:
    reading, writing = os.pipe()
    pipe = GuardPipe(writing)
    for _ in range(100_000):
        pipe.beat()
    assert not pipe.lost
    pipe.close()
    os.close(reading)


def test_without_a_guard_nothing_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    pipe = GuardPipe.from_environment()
    pipe.beat()
    pipe.close()
    assert not pipe.lost
