"""Fuzzing. Contract: the decoders accept, or raise RemoteProtocolError; what they accept can be
written again and then decodes; the check without building agrees with decoding."""

from __future__ import annotations

import random
from types import ModuleType
from typing import Any

import pyamf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtmp_sync.errors import RemoteProtocolError
from rtmp_sync.wire import amf0, amf3, values
from tests.support.amf_values import ValueMaker

CODECS = pytest.mark.parametrize("codec", [amf0, amf3], ids=["amf0", "amf3"])
FORMATS = pytest.mark.parametrize(("codec", "encoding"), [(amf0, 0), (amf3, 3)], ids=["0", "3"])


def accepts(codec: ModuleType, data: bytes) -> bool:
    """Whether data is accepted; if so it must survive being written and read."""
    try:
        read = codec.decode(data)
    except RemoteProtocolError:
        return False
    assert len(codec.decode(codec.encode(*read))) == len(read)
    return True


def passes(data: bytes) -> bool:
    """Whether the check without building accepts every value of the message."""
    context = amf0.ScanContext()
    end = 0
    try:
        while end < len(data):
            end = amf0.scan(data, end, context)
    except RemoteProtocolError:
        return False
    return True


def mutated(data: bytes, chance: random.Random) -> bytes:
    """The message with a few bytes changed, inserted, removed or repeated."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(changed) + 1)
        kind = chance.randrange(4)
        if kind == 0 and at < len(changed):
            changed[at] = chance.choice((0, 1, 2, 9, 0x0A, 0x11, 0xFF, chance.randrange(256)))
        elif kind == 1:
            changed[at:at] = chance.randbytes(chance.randint(1, 3))
        elif kind == 2:
            del changed[at : at + chance.randint(1, 3)]
        else:
            changed[at:at] = changed[at : at + chance.randint(1, 8)]
    return bytes(changed)


@FORMATS
@pytest.mark.parametrize("seed", range(4))
def test_damaged_messages_are_accepted_or_refused(
    codec: ModuleType, encoding: int, seed: int
) -> None:
    chance = random.Random(seed)
    maker = ValueMaker(seed, encoding)
    accepted = 0
    for _ in range(1_500):
        data = mutated(codec.encode(*maker.message()), chance)
        accepted += accepts(codec, data)
        if accepts(amf0, data):
            assert passes(data)
    assert 0 < accepted < 1_500  # else the damage is of no use


@CODECS
@pytest.mark.parametrize("seed", range(4))
def test_noise_is_accepted_or_refused(codec: ModuleType, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(5_000):
        # mostly small numbers, which are markers, lengths and references
        weights = [8] * 20 + [1] * 236
        data = bytes(chance.choices(range(256), weights, k=chance.randint(1, 40)))
        accepts(codec, data)
        if accepts(amf0, data):
            assert passes(data)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.floats(allow_nan=False),
    st.integers(-(2**53), 2**53),
    TEXT,
    st.just(pyamf.Undefined),
    # a double of milliseconds holds no microseconds far from 1970
    st.datetimes().map(lambda when: when.replace(microsecond=when.microsecond // 1000 * 1000)),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(TEXT, inner, max_size=5),
        st.dictionaries(TEXT.filter(bool), inner, max_size=5, min_size=1).map(pyamf.MixedArray),
        st.lists(st.tuples(inner, inner), max_size=3).map(values.Dictionary),
        st.lists(inner, max_size=3).map(values.VectorObject),
        st.lists(st.integers(-(2**31), 2**31 - 1)).map(values.VectorInt),
    ),
    max_leaves=20,
)


@CODECS
@given(message=st.lists(VALUES, max_size=3))
@settings(max_examples=300, deadline=None)
def test_what_is_written_reads_as_it_was(codec: ModuleType, message: list[Any]) -> None:
    assert codec.decode(codec.encode(*message)) == message


@given(message=st.lists(VALUES, min_size=1, max_size=3))
@settings(max_examples=200, deadline=None)
def test_what_is_written_passes_the_check(message: list[Any]) -> None:
    assert passes(amf0.encode(*message))


@CODECS
@given(data=st.binary(max_size=60))
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_accepted_or_refused(codec: ModuleType, data: bytes) -> None:
    accepts(codec, data)
