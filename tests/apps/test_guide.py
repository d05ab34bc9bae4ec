"""The example of docs/applications.md, as it is printed there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from rtmp_sync import NetConnection
from tests.support.origins import until, url
from tests.support.standby import paired

GUIDE = Path(__file__).parent.parent.parent / "docs" / "applications.md"


async def test_what_the_standby_was_told_is_there_after_a_takeover(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (shop,) = [block for block in blocks if "class Shop" in block]
    (tmp_path / "apps").mkdir()
    (tmp_path / "apps" / "shop.py").write_text(shop)
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
