"""FLV files as they are in the wild."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmp_sync.errors import LocalProtocolError, RemoteProtocolError
from rtmp_sync.wire import flv


def fields(tag: flv.FlvTag) -> tuple[int, int, bytes]:
    return tag.type, tag.timestamp, tag.payload


tags = st.tuples(st.sampled_from([8, 9, 18]), st.integers(0, 0xFFFFFFFF), st.binary(max_size=300))


@given(st.lists(tags, max_size=6), st.integers(1, 500))
def test_what_is_written_is_read_in_any_pieces(
    written: list[tuple[int, int, bytes]], piece: int
) -> None:
    data = flv.encode_file_header() + b"".join(flv.encode_tag(*tag) for tag in written)
    reader = flv.FlvReader()
    read = [
        tag for pos in range(0, len(data), piece) for tag in reader.feed(data[pos : pos + piece])
    ]
    assert [fields(tag) for tag in read] == written
    assert reader.pending_bytes == 0


def test_sizes_behind_tags_are_not_believed() -> None:
    tag = flv.encode_tag(8, 0, b"abc")
    reader = flv.FlvReader()
    data = flv.encode_file_header() + tag[:-4] + b"\xff\xff\xff\xff" + tag
    assert [t.payload for t in reader.feed(data)] == [b"abc", b"abc"]


def test_a_longer_file_header_is_skipped() -> None:
    header = b"FLV\x01\x05\0\0\0\x0b" + b"??" + bytes(4)
    reader = flv.FlvReader()
    assert [t.payload for t in reader.feed(header + flv.encode_tag(8, 0, b"abc"))] == [b"abc"]


def test_a_filtered_tag_says_so() -> None:
    data = bytearray(flv.encode_tag(8, 0, b"abc"))
    data[0] |= 0x20
    (tag,) = flv.FlvReader().feed(flv.encode_file_header() + bytes(data))
    assert tag.filtered
    assert tag.type == 8


@pytest.mark.parametrize(
    "data", [b"RIFF", b"FLV\x02\x05", b"FLV\x01\x05\0\0\0\x08" + bytes(9), b"FLV\x01\x05\xff\0\0\0"]
)
def test_what_is_no_flv_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        flv.FlvReader().feed(data)


def test_a_tag_that_does_not_fit_is_refused() -> None:
    with pytest.raises(LocalProtocolError):
        flv.encode_tag(9, 0, bytes(0x1000000))


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_any_bytes_are_tags_or_refused(pieces: list[bytes]) -> None:
    reader = flv.FlvReader()
    try:
        for piece in pieces:
            reader.feed(piece)
    except RemoteProtocolError:
        pass
