"""The examples of docs/applications.md, as they are printed there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from rtmp_sync import NetConnection
from rtmp_sync.server.reload import reload
from tests.support.origins import running, until, url
from tests.support.standby import paired

GUIDE = Path(__file__).parent.parent.parent / "docs" / "applications.md"


def write_example(folder: Path, name: str) -> None:
    """The block with that class, as an application in folder/apps."""
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (found,) = [block for block in blocks if f"class {name}(" in block]
    (folder / "apps").mkdir()
    (folder / "apps" / f"{name.lower()}.py").write_text(found)


async def test_what_the_standby_was_told_is_there_after_a_takeover(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_example(tmp_path, "Shop")
    apps = {"directory": tmp_path / "apps"}
    async with paired(tmp_path, apps=apps) as (origin, standby), NetConnection(False) as user:
        await user.connect(url(origin, "shop"), "ann", "User")
        orders = [await user.call("order", what) for what in ("tea", "jam", "tea")]
        assert orders == [1.0, 2.0, 3.0]
        assert await user.call("best") == "tea"
        await until(lambda: standby.instances.replays.done == 3)
        await standby.promote()
        (instance,) = standby.instances
        application: Any = instance.application
        assert application.sold == {"tea": 2, "jam": 1}
        assert application.vars["orders"] == 3.0
        assert application.vars["takeovers"] == 1.0
        assert len(instance._timers) == 1
        standby.instances.demote()
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("order")]
    assert printed == ["order 1: tea for ann", "order 2: jam for ann", "order 3: tea for ann"]


async def test_a_match_counts_cheers_and_is_reset_in_one_message(tmp_path: Path) -> None:
    write_example(tmp_path, "Match")
    apps = {"directory": tmp_path / "apps"}
    async with running(tmp_path / "state", apps=apps) as origin, NetConnection(False) as user:
        await user.connect(url(origin, "match"), "ann", "Player")
        board, score = await user.shared_object("board"), await user.shared_object("score")
        await board.send("cheer")
        await board.set("k", 1)
        await until(lambda: score.get("points") == 1.0)
        await user.call("reset")
        assert dict(board) == {"by": "ann"}
        await until(lambda: score["points"] == 0.0)


class Player:
    """What the quiz calls."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def ask(self, question: str) -> str:
        return question.upper()

    def answered(self, name: str) -> None:
        self.heard.append(name)


async def test_a_quiz_asks_and_tells_everybody(tmp_path: Path) -> None:
    write_example(tmp_path, "Quiz")
    apps = {"directory": tmp_path / "apps"}
    async with running(tmp_path / "state", apps=apps) as origin, NetConnection(False) as user:
        user.client = player = Player()
        await user.connect(url(origin, "quiz"), "ann", "Player")
        assert await user.call("next") == "HOW MANY?"
        assert player.heard == ["ann"]


async def test_new_code_takes_over_what_the_old_object_knows(tmp_path: Path) -> None:
    write_example(tmp_path, "Auction")
    apps = {"directory": tmp_path / "apps"}
    async with running(tmp_path / "state", apps=apps) as origin, NetConnection(False) as user:
        await user.connect(url(origin, "auction/one"), "ann", "Bidder")
        await user.call("bid", 5)
        (instance,) = origin.instances
        old: Any = instance.application
        done = await reload(origin.instances, origin.sessions, "auction")
        assert done.replaced == ["auction/one"]
        new: Any = instance.application
        assert new is not old
        assert new.seen == {"ann"}
        assert new.vars["highest"] == 5.0
        assert len(instance._timers) == 1
        await user.call("bid", 6)
