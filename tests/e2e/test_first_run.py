"""What a new user does first: start a pair, look at it, try it, end it."""

from __future__ import annotations

import json

from tests.support.pair import Pair, within


async def test_start_look_drill_and_end(own_pair: Pair) -> None:
    own_pair.start()
    active, standby = await own_pair.settled()

    printed = own_pair.output.read_text()
    for node in (active, standby):
        assert node.id in printed
        assert node.rtmp.rpartition(":")[2] in printed
    assert str(own_pair.port) in printed

    status = await own_pair.run_command("status", "--json")
    assert status.returncode == 0, status.stderr
    roles = json.dumps(json.loads(status.stdout))
    assert '"active"' in roles
    assert '"standby"' in roles

    drill = await own_pair.run_command("drill", "--json")
    assert drill.returncode == 0, drill.stdout + drill.stderr
    found = json.loads(drill.stdout)
    assert found["lost"] == 0
    assert found["duplicates"] == 0
    assert found["gap_ms"] > 0
    now_active, _ = await own_pair.settled()
    assert now_active.id == standby.id

    assert own_pair.stop() == 0

    async def nothing_left() -> bool:
        return not list(own_pair.processes())

    await within(5, "no process is left", nothing_left)
