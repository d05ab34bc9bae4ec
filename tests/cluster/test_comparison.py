from __future__ import annotations

import pytest

from rtmp_sync.cluster.comparison import Comparison


@pytest.fixture
def comparison() -> Comparison:
    return Comparison(60.0, 0.0)


def test_nothing_is_asked_until_somebody_wants_to_know(comparison: Comparison) -> None:
    assert comparison.begin(1.0) is None
    comparison.want()
    question = comparison.begin(1.0)
    assert question is not None
    assert comparison.agrees is None
    assert comparison.answered(question, True)
    assert comparison.agrees is True


def test_an_answer_to_an_older_wish_does_not_count_for_a_new_one(comparison: Comparison) -> None:
    comparison.want()
    first = comparison.begin(1.0)
    assert first is not None
    comparison.want()
    assert comparison.begin(2.0) is None  # one question at a time
    assert not comparison.answered(first, False)
    assert comparison.agrees is None
    second = comparison.begin(3.0)
    assert second is not None
    assert second != first
    assert comparison.answered(second, True)


def test_an_answer_of_another_link_does_not_count(comparison: Comparison) -> None:
    comparison.want()
    question = comparison.begin(1.0)
    assert question is not None
    comparison.forget()
    assert not comparison.answered(question, False)
    assert comparison.agrees is None
    assert comparison.begin(2.0) is None
    comparison.want()
    assert comparison.begin(2.0) is not None


def test_it_is_due_when_nobody_has_asked_for_long_and_nothing_is_open(
    comparison: Comparison,
) -> None:
    assert not comparison.due(60.0)
    assert comparison.due(60.1)
    comparison.want()
    question = comparison.begin(61.0)
    assert question is not None
    assert not comparison.due(200.0)
    comparison.answered(question, True)
    assert comparison.due(200.0)
    assert not comparison.due(121.0)
