"""The game."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from rtmp_sync import CallError, ConnectError, NetConnection, Origin
from tests.support.origins import take_over, until, url


class Answers:
    """What the server may ask a player."""

    def __init__(self, agrees: bool) -> None:
        self.agrees = agrees
        self.offered_by: list[str] = []

    def draw(self, name: str) -> bool:
        self.offered_by.append(name)
        return self.agrees


async def at_table(origin: Origin, connection: NetConnection, name: str) -> NetConnection:
    await connection.connect(url(origin, "game/t"), name, "player")
    await connection.call("sit")
    return connection


async def test_a_game_goes_on_where_it_was_when_the_service_moves(origin: Origin) -> None:
    async with NetConnection() as ann, NetConnection() as bob, NetConnection(False) as eve:
        await at_table(origin, ann, "ann")
        await at_table(origin, bob, "bob")
        board = await ann.shared_object("board", persistent=True)
        assert await ann.call("move", 0) == ""
        assert await bob.call("move", 3) == ""
        await take_over(origin)
        assert await ann.call("sit") == "X"
        assert await ann.call("move", 1) == ""
        assert await bob.call("move", 4) == ""
        assert await ann.call("move", 2) == "X"
        await until(lambda: board.get("winner") == "X" and "turn" not in board)
        await eve.connect(url(origin, "game/t"), "ann", "viewer")
        with pytest.raises(CallError, match="Method not found"):
            await eve.call("move", 5)


async def test_what_is_against_the_rules_is_refused(origin: Origin) -> None:
    async with NetConnection(False) as ann, NetConnection(False) as bob, NetConnection(False) as c:
        with pytest.raises(ConnectError, match="Rejected"):
            await NetConnection(False).connect(url(origin, "game/t"), "", "player")
        await at_table(origin, ann, "ann")
        with pytest.raises(CallError, match="not your turn"):
            await ann.call("move", 0)  # nobody plays against her
        await at_table(origin, bob, "bob")
        with pytest.raises(CallError, match="two play already"):
            await at_table(origin, c, "carl")
        for cell in (9, -1):
            with pytest.raises(CallError, match="not free"):
                await ann.call("move", cell)
        await ann.call("move", 0)
        with pytest.raises(CallError, match="not free"):
            await bob.call("move", 0)
        board = await bob.shared_object("board", persistent=True)
        with pytest.raises(CallError):
            await board.set("1", "O")
        assert "1" not in board


@pytest.mark.parametrize("agrees", [True, False])
async def test_a_draw_needs_the_other_player(origin: Origin, agrees: bool) -> None:
    async with NetConnection(False) as ann, NetConnection(False) as bob:
        await at_table(origin, ann, "ann")
        with pytest.raises(CallError, match="nobody to agree"):
            await ann.call("draw")
        await at_table(origin, bob, "bob")
        bob.client = answers = Answers(agrees)
        board = await ann.shared_object("board", persistent=True)
        assert await ann.call("draw") is agrees
        assert answers.offered_by == ["ann"]
        await until(lambda: board.get("winner") == ("none" if agrees else None))


async def test_who_is_too_slow_loses_also_after_a_takeover(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    module: Any = sys.modules["rtmp_sync_apps.game"]
    async with NetConnection() as ann, NetConnection() as bob:
        await at_table(origin, ann, "ann")
        await at_table(origin, bob, "bob")
        board = await ann.shared_object("board", persistent=True)
        monkeypatch.setattr(module, "TURN_SECONDS", 0.01)
        await take_over(origin)
        await until(lambda: board.get("winner") == "O")
