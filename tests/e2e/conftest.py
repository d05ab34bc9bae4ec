"""One pair for the tests that leave it as they found it; a failed settling starts a new one."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.support.fuse_disk import FuseDisk
from tests.support.haproxy import Haproxy
from tests.support.pair import Overdue, Pair
from tests.support.single import Single

HERE = Path(__file__).parent
E2E_TIMEOUT = 300
CONFIG = """
[application_object]
moderator_password = "secret"

[apps.rogue]
call_timeout = 0.3
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(E2E_TIMEOUT))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows the end of the logs of its processes."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        for running in item.funcargs.values():
            if isinstance(running, Pair | Single | Haproxy):
                report.sections.append(("logs", running.logs()))
    return report


class SharedPair:
    """Hands out one running pair; after a test that broke it, a fresh one."""

    def __init__(self) -> None:
        self._pair: Pair | None = None

    def take(self) -> Pair:
        if self._pair is None:
            self._pair = Pair(config=CONFIG).start()
        return self._pair

    def drop(self) -> None:
        if self._pair is not None:
            self._pair.clean_up()
            self._pair = None


@pytest.fixture(scope="session")
def shared_pair() -> Iterator[SharedPair]:
    shared = SharedPair()
    yield shared
    shared.drop()


@pytest.fixture
async def pair(shared_pair: SharedPair, request: pytest.FixtureRequest) -> Pair:
    """The shared pair with one node active and the other ready."""
    pair = shared_pair.take()
    try:
        await pair.settled()
    except Overdue:
        shared_pair.drop()
        pair = shared_pair.take()
        await pair.settled()
    return pair


@pytest.fixture
def own_pair() -> Iterator[Pair]:
    """A pair for one test, not started yet."""
    pair = Pair()
    yield pair
    pair.clean_up()


@pytest.fixture
def fuse(tmp_path: Path) -> Iterator[FuseDisk]:
    """A disk that does what the test says; `heal` it before its processes are to end."""
    disk = FuseDisk(tmp_path / "disk", tmp_path / "beneath")
    yield disk
    disk.close()
