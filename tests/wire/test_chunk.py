"""What the chunk reader refuses and holds, and the forms that the writer chooses."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmp_sync.errors import LocalProtocolError, RemoteProtocolError
from rtmp_sync.wire import constants as c
from rtmp_sync.wire.chunk import ChunkReader, ChunkWriter, Message, encode_message


def first_chunk(csid: int, length: int, data: bytes, fmt_byte: int = 0) -> bytes:
    """A fmt 0 header of a message of `length` bytes, and some of them."""
    return (
        bytes((fmt_byte | csid,)) + b"\0\0\0" + length.to_bytes(3, "big") + b"\x09\1\0\0\0" + data
    )


def fields(message: Message) -> tuple[int, int, int, bytes, int]:
    return message.type, message.msid, message.timestamp, message.payload, message.csid


# --- limits


def test_a_message_over_the_limit_is_refused_at_its_header() -> None:
    reader = ChunkReader(max_message_bytes=1000)
    with pytest.raises(RemoteProtocolError, match="1001 bytes; 1000 are allowed"):
        reader.feed(first_chunk(6, 1001, b""))


def test_sixteen_megabytes_announced_on_sixty_streams_cost_nothing() -> None:
    reader = ChunkReader(max_message_bytes=c.MAX_MESSAGE_BYTES)
    for csid in range(3, 63):
        assert reader.feed(first_chunk(csid, 0xFFFFFF, bytes(128))) == []
    assert reader.partial_bytes == 60 * 128


def test_unfinished_messages_have_a_limit_over_all_chunk_streams() -> None:
    reader = ChunkReader(max_message_bytes=10_000, max_partial_bytes=1000)
    for csid in range(3, 10):
        reader.feed(first_chunk(csid, 5000, bytes(128)))
    with pytest.raises(RemoteProtocolError, match="1000 bytes of unfinished messages"):
        reader.feed(first_chunk(10, 5000, bytes(128)))


def test_a_message_that_ends_frees_what_it_held() -> None:
    reader = ChunkReader(max_message_bytes=10_000, max_partial_bytes=1000)
    for _ in range(100):
        reader.feed(encode_message(9, 1, 0, bytes(900), 6, 128))
    assert reader.partial_bytes == 0


def test_chunk_streams_with_an_unfinished_message_have_a_limit() -> None:
    reader = ChunkReader(max_partial_streams=4)
    for csid in range(3, 7):
        reader.feed(first_chunk(csid, 500, bytes(128)))
    with pytest.raises(RemoteProtocolError, match="more than 4 unfinished messages"):
        reader.feed(first_chunk(7, 500, bytes(128)))


def test_chunk_streams_ever_used_have_a_limit() -> None:
    reader = ChunkReader(max_chunk_streams=4)
    for csid in range(3, 7):
        reader.feed(encode_message(8, 1, 0, b"x", csid, 128))
    with pytest.raises(RemoteProtocolError, match="more than 4 chunk streams"):
        reader.feed(encode_message(8, 1, 0, b"x", 7, 128))


# --- options and states


def test_fmt_3_after_fmt_0_may_mean_no_time_passed() -> None:
    data = encode_message(8, 1, 1000, b"abc", 4, 128) + b"\xc4abc"
    spec = ChunkReader().feed(data)
    nginx = ChunkReader(fmt3_repeats_timestamp=False).feed(data)
    assert [m.timestamp for m in spec] == [1000, 2000]
    assert [m.timestamp for m in nginx] == [1000, 1000]


def test_a_reader_knows_whether_a_message_has_begun() -> None:
    reader = ChunkReader()
    states = []
    data = encode_message(9, 1, 0, bytes(200), 6, 128)
    for byte in data:
        reader.feed(bytes((byte,)))
        states.append(reader.partial)
    assert states == [True] * (len(data) - 1) + [False]


def test_a_message_on_the_wire_has_a_readable_form() -> None:
    (message,) = ChunkReader().feed(encode_message(9, 1, 7, b"abc", 6, 128))
    assert repr(message) == "Message(type=9, msid=1, timestamp=7, csid=6, 3 bytes)"


# --- writing


def test_the_writer_takes_the_shortest_header_that_says_it() -> None:
    writer = ChunkWriter()
    written = [
        writer.write(8, 1, 1000, b"aaa", 4),  # fmt 0
        writer.write(8, 1, 1020, b"bbb", 4),  # fmt 2: same type and length
        writer.write(8, 1, 1040, b"ccc", 4),  # fmt 3: same delta
        writer.write(8, 1, 1060, b"dddd", 4),  # fmt 1: another length
        writer.write(9, 1, 1080, b"dddd", 4),  # fmt 1: another type
        writer.write(9, 2, 1100, b"dddd", 4),  # fmt 0: another message stream
        writer.write(9, 2, 1000, b"dddd", 4),  # fmt 0: backwards
        writer.write(9, 2, 1000, b"dddd", 4),  # fmt 2: never fmt 3 right after fmt 0
    ]
    assert [data[0] >> 6 for data in written] == [0, 2, 3, 1, 1, 0, 0, 2]
    read = ChunkReader().feed(b"".join(written))
    assert [m.timestamp for m in read] == [1000, 1020, 1040, 1060, 1080, 1100, 1000, 1000]


def test_the_writer_announces_its_chunk_size_before_it_uses_it() -> None:
    writer = ChunkWriter()
    data = writer.set_chunk_size(5000) + writer.write(9, 1, 0, bytes(4000), 6)
    assert len(data) == 16 + 12 + 4000
    reader = ChunkReader()
    assert [m.type for m in reader.feed(data)] == [c.SET_CHUNK_SIZE, 9]
    assert reader.chunk_size == 5000


@pytest.mark.parametrize("chunk_size", [0, 0x80000000])
def test_the_writer_does_not_say_a_chunk_size_that_nobody_takes(chunk_size: int) -> None:
    with pytest.raises(LocalProtocolError):
        ChunkWriter().set_chunk_size(chunk_size)


@pytest.mark.parametrize("csid", [-1, 0, 1, 65600])
def test_a_chunk_stream_that_cannot_be_said_is_refused(csid: int) -> None:
    with pytest.raises(LocalProtocolError, match="chunk stream"):
        encode_message(8, 1, 0, b"", csid, 128)


@pytest.mark.parametrize(
    ("type", "msid", "size"), [(8, -1, 0), (8, 1 << 32, 0), (256, 1, 0), (8, 1, 0x1000000)]
)
def test_a_message_that_cannot_be_said_is_refused(type: int, msid: int, size: int) -> None:
    with pytest.raises(LocalProtocolError):
        encode_message(type, msid, 0, bytes(size), 4, 128)


messages = st.tuples(
    st.sampled_from([8, 9, 18, 20]),
    st.integers(0, 0xFFFFFFFF),
    st.one_of(st.integers(0, 0xFFFFFFFF), st.integers(0xFFFFF0, 0x100000F)),
    st.binary(max_size=600),
    st.one_of(st.integers(3, 8), st.integers(64, 65599)),
)


@given(st.lists(messages, max_size=12), st.integers(1, 700), st.integers(1, 300))
def test_what_is_written_is_read_whatever_the_sizes(
    sent: list[tuple[int, int, int, bytes, int]], chunk_size: int, piece: int
) -> None:
    writer = ChunkWriter()
    stateful = writer.set_chunk_size(chunk_size) + b"".join(writer.write(*m) for m in sent)
    stateless = b"".join(encode_message(*m, chunk_size) for m in sent)
    for data, reader in ((stateful, ChunkReader()), (stateless, ChunkReader(chunk_size))):
        found = [
            m for pos in range(0, len(data), piece) for m in reader.feed(data[pos : pos + piece])
        ]
        assert [fields(m) for m in found if m.type != c.SET_CHUNK_SIZE] == sent
        assert not reader.partial


@given(st.lists(st.binary(max_size=80), max_size=8))
def test_any_bytes_are_read_or_refused(pieces: list[bytes]) -> None:
    reader = ChunkReader(max_message_bytes=5000, max_partial_bytes=5000)
    try:
        for piece in pieces:
            reader.feed(piece)
            assert reader.partial_bytes <= 5000
    except RemoteProtocolError:
        pass


def test_interleaved_chunks_are_put_together_in_every_order() -> None:
    long = first_chunk(6, 300, bytes(128)), b"\xc6" + bytes(128), b"\xc6" + bytes(44)
    short = first_chunk(5, 129, bytes(128)), b"\xc5\1"
    orders = [(0, 0, 1, 1, 0), (1, 0, 0, 0, 1), (0, 1, 1, 0, 0), (1, 1, 0, 0, 0)]
    for order in orders:
        queues = [list(long), list(short)]
        data = b"".join(queues[which].pop(0) for which in order)
        assert sorted(len(m.payload) for m in ChunkReader().feed(data)) == [129, 300]


def test_a_set_chunk_size_message_reports_its_payload() -> None:
    (message,) = ChunkReader().feed(encode_message(1, 0, 0, struct.pack(">I", 4096), 2, 128))
    assert message.payload == struct.pack(">I", 4096)
