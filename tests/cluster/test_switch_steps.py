from __future__ import annotations

from dataclasses import dataclass

from rtmp_sync.cluster.actions import Switchover
from rtmp_sync.cluster.switch_steps import SwitchSteps


@dataclass
class Step:
    step: str
    switch_id: str
    final_seq: int = 0


def test_a_standby_answers_once_when_it_has_the_last_write() -> None:
    steps = SwitchSteps()
    steps.heard(Step("prepare", "s1", 10))
    assert steps.answer(9) is None
    assert steps.answer(10) == Switchover("ready", "s1", final_seq=10)
    assert steps.answer(11) is None


def test_an_aborted_switchover_is_not_answered() -> None:
    steps = SwitchSteps()
    steps.heard(Step("prepare", "s1", 10))
    steps.heard(Step("abort", "s1"))
    assert steps.answer(10) is None


def test_what_was_asked_on_a_link_that_went_is_not_answered() -> None:
    steps = SwitchSteps()
    steps.heard(Step("prepare", "s1", 10))
    steps.link_changed()
    assert steps.answer(10) is None


def test_a_node_that_is_no_standby_says_so_once() -> None:
    steps = SwitchSteps()
    assert steps.refuse() is None
    steps.heard(Step("prepare", "s1", 10))
    assert steps.refuse() == Switchover("abort", "s1")
    assert steps.refuse() is None
    assert steps.answer(10) is None


def test_only_the_answer_to_this_switchover_counts() -> None:
    steps = SwitchSteps()
    steps.holding("s2", 11)
    assert not steps.is_ready
    for stale in (Step("ready", "s1", 11), Step("ready", "s2", 10)):
        steps.heard(stale)
        assert not steps.is_ready
    steps.heard(Step("ready", "s2", 11))
    assert steps.is_ready


def test_an_abort_of_another_switchover_is_none_of_this_one() -> None:
    steps = SwitchSteps()
    steps.heard(Step("abort", ""))
    assert not steps.is_aborted
    steps.holding("s2", 11)
    steps.heard(Step("abort", "s1"))
    assert not steps.is_aborted
    steps.heard(Step("abort", "s2"))
    assert steps.is_aborted
