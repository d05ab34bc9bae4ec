from __future__ import annotations

from collections.abc import Iterator

import pytest

from rtmp_sync.server import descriptors

resource = pytest.importorskip("resource", reason="Windows has no such limit")


@pytest.fixture
def limits() -> Iterator[tuple[int, int]]:
    """(soft, hard) of this process, which has them again afterwards."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_an_origin_takes_as_many_as_it_may_have(limits: tuple[int, int]) -> None:
    _, hard = limits
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard - 1, hard))
    assert descriptors.allowed() == hard
    descriptors.raise_limit()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
