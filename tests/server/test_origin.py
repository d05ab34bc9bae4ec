"""A single origin as a whole: it starts, it stops, it says what is wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rtmp_sync import ConfigError, NetConnection, Origin
from tests.support.origins import config_of, running, until, url


async def test_it_serves_when_start_returns_and_refuses_when_stop_does(tmp_path: Path) -> None:
    async with running(tmp_path) as origin:
        assert origin.watchdog.health_active()
        port = origin.rtmp_port
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection("127.0.0.1", port)


async def test_each_start_is_a_new_epoch(tmp_path: Path) -> None:
    for epoch in (1, 2, 3):
        async with running(tmp_path) as origin:
            assert origin.authority.epoch == epoch


async def test_a_port_in_use_is_a_configuration_error(tmp_path: Path) -> None:
    async with running(tmp_path / "one") as origin:
        rtmp = {"listen": f"127.0.0.1:{origin.rtmp_port}"}
        with pytest.raises(ConfigError, match=r"rtmp\.listen"):
            await Origin(config_of(tmp_path / "two", rtmp=rtmp)).start()


async def test_a_state_directory_in_use_is_a_configuration_error(tmp_path: Path) -> None:
    async with running(tmp_path):
        with pytest.raises(ConfigError, match=r"storage\.state"):
            await Origin(config_of(tmp_path)).start()


async def test_stopping_cuts_everyone_and_leaves_nothing_running(tmp_path: Path) -> None:
    async with running(tmp_path) as origin:
        connection = NetConnection(reconnect=False)
        ended: list[str] = []
        connection.on_closed = ended.append
        await connection.connect(url(origin, "probe"), "ann", "User")
        call = asyncio.ensure_future(connection.call("tell", "nobody answers"))
        await until(lambda: call.done() or origin.tasks.running)
    await until(lambda: ended)
    assert call.done()
    assert call.exception() is not None
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_no_authority_comes_back_to_an_origin_that_stops(tmp_path: Path) -> None:
    async with running(tmp_path) as origin:
        pass
    origin.authority.grant(99, float("inf"))
    assert not origin.turn.authorised


async def test_a_gate_that_never_opens_does_not_fill_the_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_epoch: int) -> None:
        raise OSError("no such program")

    async def closed() -> str:
        return "closed"

    async with running(tmp_path) as origin:
        monkeypatch.setattr(origin.gate, "open", refuse)
        monkeypatch.setattr(origin.gate, "verify", closed)
        for _ in range(200):
            assert not await origin.open_gate(origin.authority.epoch)
        assert 1 <= origin.history.counts["gate_not_opened"] <= 50


async def test_run_ends_on_request(tmp_path: Path) -> None:
    origin = Origin(config_of(tmp_path))
    running_origin = asyncio.ensure_future(origin.run())
    await until(lambda: origin.authority.gate_open)
    origin.request_stop()
    await running_origin


async def test_what_turns_out_wrong_while_running_ends_run(tmp_path: Path) -> None:
    origin = Origin(config_of(tmp_path))
    running_origin = asyncio.ensure_future(origin.run())
    await until(lambda: origin.authority.gate_open)
    origin.found_wrong(ConfigError("node.id", "A", "give it another name"))
    with pytest.raises(ConfigError, match=r"node\.id"):
        await running_origin


async def test_it_counts_what_it_serves(tmp_path: Path) -> None:
    async with running(tmp_path) as origin, NetConnection(reconnect=False) as connection:
        await connection.connect(url(origin, "probe"), "ann", "User")
        assert origin.counts() == {"clients": 1, "instances": 1}
        assert origin.self_test().ok


async def test_applications_do_not_begin_without_authority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may end while the disk writes the promotion: this origin will not open then."""
    async with running(tmp_path) as origin:
        began: list[bool] = []
        monkeypatch.setattr(origin.instances, "promote", lambda: began.append(True))
        written = origin.persistence.written

        async def slowly(seq: int) -> None:
            await written(seq)
            origin.authority.revoke()

        monkeypatch.setattr(origin.persistence, "written", slowly)
        origin.authority.grant(7, float("inf"))
        await origin.promote(7, "history", lossy=False)
        assert not began
