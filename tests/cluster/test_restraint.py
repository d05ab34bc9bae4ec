"""The history is not flooded, and says what it leaves out."""

from __future__ import annotations

from rtmp_sync.cluster.actions import Happened
from rtmp_sync.cluster.restraint import AGAIN_SECONDS, AT_ONCE, Restraint


def test_what_happens_over_and_over_is_told_a_few_times_and_then_now_and_then() -> None:
    restraint = Restraint()
    told = [restraint.admit(Happened("suspect", {"row": "doubt"}), float(at)) for at in range(3600)]
    assert all(event is not None for event in told[:AT_ONCE])
    later = [event for event in told[AT_ONCE:] if event is not None]
    assert 0 < len(later) <= 3600 / AGAIN_SECONDS
    counted = sum(int(str(event.fields["untold"])) + 1 for event in later)
    assert 3600 - AT_ONCE - 2 * AGAIN_SECONDS <= counted <= 3600 - AT_ONCE


def test_one_kind_of_event_is_not_held_back_for_another() -> None:
    restraint = Restraint()
    for _ in range(2 * AT_ONCE):
        restraint.admit(Happened("suspect", {"row": "doubt"}), 0.0)
    assert restraint.admit(Happened("suspect", {"row": "trust-again"}), 0.0) is not None
    assert restraint.admit(Happened("failover", {"row": "serve"}), 0.0) is not None
