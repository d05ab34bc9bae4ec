"""Local shared objects that Flash wrote: our codecs read them as their publisher says."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.wire import amf0, amf3
from rtmp_sync.wire.limits import Limits
from tests.support import sol
from tests.support.rtmp_vectors import SHARED

FOLDER = SHARED / "sol"
FILES = sorted(FOLDER.glob("*.sol"))
if not FILES:
    why = f"the shared vectors ({FOLDER}) are not here"
    assert not os.environ.get("CI"), why
    pytest.skip(why, allow_module_level=True)

CUT = FOLDER / "2.sol"  # its publisher has it as one that is not readable


def test_a_file_cut_short_is_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        sol.read(CUT.read_bytes())


@pytest.mark.parametrize("path", [path for path in FILES if path != CUT], ids=lambda p: p.stem)
def test_a_file_reads_as_its_publisher_says_and_is_written_again(path: Path) -> None:
    version, slots = sol.read(path.read_bytes())
    tree = path.with_suffix(".json")
    if tree.exists():
        said = json.loads(tree.read_text())["body"]
        assert [name for name, _ in slots] == [element["name"] for element in said]
        for element, (name, value) in zip(said, slots, strict=True):
            assert sol.difference(element["value"], value, name) == ""
    codec = amf3 if version == 3 else amf0
    for name, value in slots:
        (again,) = codec.decode(codec.encode(value), Limits(max_values=1_000_000))
        assert type(again) is type(value), name
