from __future__ import annotations

import os

import pytest

from rtmp_sync.server.guard_pipe import VARIABLE, GuardPipe


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
