"""Two whole origins: a bit that flips in one's memory is found and repaired with nobody's help."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from rtmp_sync import NetConnection, config_rules
from rtmp_sync.config_rules import policy_of
from tests.support.origins import SHIPPED_APPS, pair_of, until, url

SCOPE = "text/_definst_"


@pytest.mark.parametrize("which", ["active", "standby"])
async def test_a_flipped_bit_is_repaired_and_the_record_degraded_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    monkeypatch.setattr("rtmp_sync.server.upkeep.AUDIT_SECONDS", 0.3)
    often = partial(replace, digest_seconds=0.3)
    monkeypatch.setattr(config_rules, "policy_of", lambda config: often(policy_of(config)))
    origins = pair_of(tmp_path, apps={"directory": SHIPPED_APPS})
    for origin in origins:
        await origin.start()
    await until(lambda: any(one.watchdog.role == "active" for one in origins))
    active, standby = sorted(origins, key=lambda one: one.watchdog.role != "active")
    await until(lambda: standby.watchdog.state == "READY")
    client = NetConnection(reconnect=False)
    await client.connect(url(active, "text"), "ann", "Type1")
    board = await client.shared_object("board", persistent=True)
    await board.set("k", "before")
    flipped = (active if which == "active" else standby).state
    slots = flipped.instances[SCOPE].objects["P:board"].slots
    slots["k"] = slots["k"][:-1] + b"?"

    happened = active.history.counts
    await until(lambda: happened["digest_mismatch"])
    await until(lambda: standby.watchdog.state == "READY" and happened["in_sync"] > 1)
    await board.set("after", "it")
    await until(lambda: standby.state.journal.head == active.state.journal.head)
    assert active.state.recompute_digest() == standby.state.recompute_digest()
    corrupted = active if which == "active" else standby
    assert corrupted.history.counts["memory_corrupted"] == 1
    told = [event["event"] for event in active.history.events()]
    assert told.index("digest_mismatch") < len(told) - told[::-1].index("resync")
    await client.close()
    for origin in (standby, active):
        await origin.stop()
