"""Our codecs against pyamf's on 100,000 values from a seeded generator, both ways.

What we write pyamf must read as the value, and what pyamf writes so must we.
"""

from __future__ import annotations

from types import ModuleType

import pyamf
import pytest

from rtmp_sync.wire import amf0, amf3
from tests.support.amf_values import ValueMaker, comparable

# pyamf looks for an XML library when it first needs one
pytestmark = pytest.mark.filterwarnings("ignore:defusedxml:DeprecationWarning")

CHUNKS = 10
MESSAGES = 5_000  # a chunk, for each of the two encodings


@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.parametrize(("codec", "encoding"), [(amf0, 0), (amf3, 3)], ids=["amf0", "amf3"])
def test_pyamf_and_we_read_each_other(codec: ModuleType, encoding: int, chunk: int) -> None:
    maker = ValueMaker(seed=chunk, encoding=encoding)
    for number in range(MESSAGES):
        message = maker.message()
        wanted = comparable(message, encoding)
        theirs = pyamf.encode(*message, encoding=encoding).getvalue()
        ours = codec.encode(*message)
        read = codec.decode(theirs)
        unnamed = comparable(message, encoding, named=False)
        assert comparable(read, encoding) == unnamed, f"we read message {number}"
        read = list(pyamf.decode(ours, encoding=encoding))
        assert comparable(read, encoding) == wanted, f"pyamf reads message {number}"
