"""An origin with the applications that are shipped."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rtmp_sync import Origin
from tests.support.origins import SHIPPED_APPS, running


@pytest.fixture
async def origin(tmp_path: Path) -> AsyncIterator[Origin]:
    settings = {"moderator_password": "secret", "live_token": "open sesame"}
    async with running(
        tmp_path, apps={"directory": SHIPPED_APPS}, application_object=settings
    ) as origin:
        yield origin
