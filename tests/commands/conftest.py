"""A pair as commands see it: two admin APIs with canned answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rtmp_sync.commands import orders
from tests.support.admin_api import STANDBY, STATUS, Api, pair_directory, serving


@pytest.fixture
def apis() -> Iterator[tuple[Api, Api]]:
    """Of A, which serves, and B, which is ready."""
    healthy = (200, "well")
    pair = (
        Api({"/status": (200, STATUS), "/health/standby": healthy}),
        Api({"/status": (200, STANDBY), "/health/standby": healthy}),
    )
    with serving(*pair):
        yield pair


@pytest.fixture
def directory(tmp_path: Path, apis: tuple[Api, Api]) -> Path:
    return pair_directory(tmp_path, apis)


@pytest.fixture
def moving(apis: tuple[Api, Api], monkeypatch: pytest.MonkeyPatch) -> tuple[Api, Api]:
    """A gives the service to B when it is ordered to, and both say so afterwards."""
    monkeypatch.setattr(orders, "LOOK_SECONDS", 0.0)
    first, second = apis

    def move(_: Any) -> tuple[int, Any]:
        first.says(role="standby", state="READY", holder="B", epoch=8)
        second.says(role="active", state="ACTIVE", holder="B", epoch=8, sync=["A"])
        steps = {"drained": 0, "peer_ready": 4, "closed": 2, "recorded": 3}
        report = {"from": "A", "to": "B", "epoch": 8, "reason": "x", "pause_ms": 9, "steps": steps}
        return 200, {"id": "A", "done": True, "result": "B serves in epoch 8", "report": report}

    for path in ("/switchover", "/drain", "/failback"):
        first.answers[path] = move
    opened = {
        "at": "2026-01-01T00:00:00+00:00",
        "clock": 1.0,
        "event": "failover",
        "epoch": 8,
        "steps": {"opened": 12},
    }
    second.answers["/history"] = (200, {"id": "B", "events": [opened]})
    return apis
