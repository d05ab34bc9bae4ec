"""Browsers that read slowly, or not at all."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from rtmp_sync import Origin
from rtmp_sync.server.http_body import chunked, plain, websocket
from rtmp_sync.server.http_connection import HttpConnection
from rtmp_sync.server.http_delivery import HttpDelivery
from rtmp_sync.server.http_player import HttpPlayer as Player
from rtmp_sync.server.http_player import Tag
from rtmp_sync.wire import media
from rtmp_sync.wire.constants import AUDIO, VIDEO
from rtmp_sync.wire.flv import FlvReader, FlvTag, encode_file_header
from tests.support.http_player import HttpPlayer
from tests.support.origins import running, until
from tests.support.publisher import Publisher, inter, key, sound

LIMIT = 400_000
RTMP = {"outbox_bytes": LIMIT}
HTTP = {"listen": "127.0.0.1:0"}
FRAME = b"." * 20_000


def has_come(player: HttpPlayer, at: int) -> bool:
    return player.media()[-1][:2] == (AUDIO, at)


@pytest.fixture
async def origin(tmp_path: Path) -> AsyncIterator[Origin]:
    async with running(tmp_path / "state", rtmp=RTMP, http=HTTP) as origin:
        yield origin


async def slow_reader(origin: Origin) -> tuple[socket.socket, Player]:
    """A connection that plays and is not read; its player on the other side."""
    assert origin.http is not None
    known = set(origin.http._viewers)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", origin.http_port))
    await loop.sock_sendall(sock, b"GET /probe/live/s.flv HTTP/1.0\r\n\r\n")
    await until(lambda: origin.http and len(origin.http._viewers) > len(known))
    (viewer,) = origin.http._viewers - known
    await until(lambda: viewer.player.begun)
    return sock, viewer.player


async def test_a_slow_player_loses_pictures_up_to_a_key_frame_and_others_nothing(
    origin: Origin,
) -> None:
    url = f"http://127.0.0.1:{origin.http_port}/probe/live/s.flv"
    async with Publisher(origin, "s") as publisher, HttpPlayer(url) as quick:
        publisher.begin()
        publisher.push(VIDEO, 0, key())
        await quick.until(lambda: len(quick.media()) == 3)
        sock, slow = await slow_reader(origin)
        at = 0
        while slow.dropped_tags < 20:
            at += 1
            publisher.push(VIDEO, at, inter(FRAME) if at % 10 else key(FRAME))
            publisher.push(AUDIO, at, sound())
            await quick.until(partial(has_come, quick, at))
            assert slow.behind <= LIMIT
        assert [one[1] for one in quick.media() if one[0] == VIDEO][2:] == list(range(1, at + 1))

        reader = FlvReader()
        tags: list[FlvTag] = []
        loop = asyncio.get_running_loop()
        head = True
        end = at + 100
        while not tags or tags[-1].timestamp < end - 10:  # it reads again
            data = await loop.sock_recv(sock, 65536)
            assert data
            if head:
                data, head = data.partition(b"\r\n\r\n")[2], False
            tags += reader.feed(data) if data else []
            if at < end:
                at += 1
                publisher.push(VIDEO, at, inter(FRAME) if at % 10 else key(FRAME))
        seen = [tag.timestamp for tag in tags if tag.type == VIDEO][2:]
        gaps = [now for was, now in pairwise(seen) if now != was + 1]
        assert gaps
        assert all(one % 10 == 0 for one in gaps)  # after each gap a key frame
        sock.close()


async def test_who_does_not_read_at_all_is_disconnected(tmp_path: Path) -> None:
    rtmp = {**RTMP, "send_timeout": 0.4}
    async with (
        running(tmp_path, rtmp=rtmp, http=HTTP) as origin,
        Publisher(origin, "s") as publisher,
    ):
        publisher.begin()
        publisher.push(VIDEO, 0, key())
        sock, _ = await slow_reader(origin)
        for at in range(1, 300):
            publisher.push(VIDEO, at, key(FRAME))
        await until(lambda: not origin.http)
        sock.close()


async def mute_client(
    delivery: HttpDelivery, port: int | None
) -> tuple[socket.socket, HttpConnection]:
    """A client whose window is soon shut, and that says nothing; its connection."""
    known = set(delivery._connections)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    await until(lambda: delivery._connections - known)
    (connection,) = delivery._connections - known
    return sock, connection


async def test_what_is_left_of_an_answer_keeps_no_connection_that_does_not_read_it(
    tmp_path: Path,
) -> None:
    """Neither while it is open nor while it is being closed."""
    async with running(tmp_path, rtmp={**RTMP, "send_timeout": 0.3}, http=HTTP) as origin:
        delivery = origin.http
        assert delivery is not None
        for close in (lambda one: None, HttpConnection.force_close):
            sock, connection = await mute_client(delivery, origin.http_port)
            connection.writer.write(bytes(20_000_000))  # more than the system keeps
            close(connection)
            await until(lambda: not delivery.connected)
            sock.close()


async def test_who_has_a_shut_window_while_nothing_more_waits_for_it_may_pause(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, rtmp={**RTMP, "send_timeout": 0.3}, http=HTTP) as origin:
        delivery = origin.http
        assert delivery is not None
        paused, its = await mute_client(delivery, origin.http_port)
        its.writer.write(bytes(100_000))
        for _ in range(3):
            stuck, connection = await mute_client(delivery, origin.http_port)
            connection.writer.write(bytes(20_000_000))
            await until(lambda: delivery.connected == 1)
            stuck.close()
        assert delivery._connections == {its}
        paused.close()


class Pipe(asyncio.Transport):
    """A transport that keeps what is written until the test takes it."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[bytes] = []
        self.aborted = False

    def get_write_buffer_size(self) -> int:
        return sum(map(len, self.kept))

    def is_closing(self) -> bool:
        return self.aborted

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.kept.append(bytes(data))

    def abort(self) -> None:
        self.aborted = True


def tag(flags: int, size: int = 100) -> Tag:
    return Tag(flags, b"." * size)


KEY, INTER = media.VIDEO | media.KEY_FRAME, media.VIDEO | media.DROPPABLE


async def test_what_later_media_needs_is_never_lost() -> None:
    pipe = Pipe()
    player = Player(pipe, plain, 1000)
    player.begin(b"", [tag(KEY, 10)], has_video=True)
    player.write_some([tag(KEY, 300)])  # more than a quarter waits from here on
    needed = [
        media.VIDEO | media.SEQUENCE_HEADER,
        media.VIDEO | media.METADATA,
        media.VIDEO | media.END_OF_SEQUENCE,
        media.VIDEO | media.UNKNOWN,
        0,
    ]
    for flags in needed:
        before = len(pipe.kept)
        player.write_some([tag(INTER), tag(flags)])
        assert pipe.kept[before:] == [tag(flags).data]
    assert player.dropped_tags == len(needed)


async def test_sound_is_lost_later_than_pictures() -> None:
    pipe = Pipe()
    player = Player(pipe, plain, 1000)
    player.begin(b"", [tag(KEY, 10)], has_video=True)
    player.write_some([tag(KEY, 400)])
    player.write_some([tag(INTER), tag(media.AUDIO, 150)])
    assert [len(one) for one in pipe.kept] == [10, 400, 150]
    player.write_some([tag(media.AUDIO, 150)])
    assert player.dropped_tags == 2


async def test_the_frames_of_a_late_joiner_do_not_count_against_it() -> None:
    pipe = Pipe()
    player = Player(pipe, plain, 1000)
    player.begin(encode_file_header(), [tag(KEY, 50_000)], has_video=True)
    assert player.keeps_up
    player.write_some([tag(INTER, 300)])
    assert not player.keeps_up
    pipe.kept.clear()
    player.write_some([tag(KEY, 10)])
    assert player.keeps_up


async def test_a_player_without_a_key_frame_waits_for_one() -> None:
    pipe = Pipe()
    player = Player(pipe, plain, 1000)
    player.begin(b"flv", [], has_video=True)
    player.write_some([tag(INTER), tag(media.AUDIO, 5), tag(KEY, 7), tag(INTER, 9)])
    assert b"".join(pipe.kept) == b"flv" + b"." * 21
    assert player.keeps_up


async def test_it_is_stuck_when_it_takes_nothing_for_the_whole_time() -> None:
    pipe = Pipe()
    player = Player(pipe, plain, 1000)
    player.begin(b"", [tag(KEY, 50), tag(INTER, 50), tag(INTER, 50)], has_video=True)
    assert not player.is_stuck(10.0, 3.0)
    assert not player.is_stuck(12.9, 3.0)
    assert player.is_stuck(13.0, 3.0)
    pipe.kept = [b"." * 20]
    assert not player.is_stuck(13.1, 3.0)  # it has taken some
    assert player.is_stuck(16.1, 3.0)
    pipe.kept.clear()
    assert not player.is_stuck(20.0, 3.0)
    player.write(b"." * 1001)
    assert player.is_stuck(20.1, 3.0)  # far too much


@pytest.mark.parametrize("size", [1, 125, 126, 65_535, 65_536])
def test_frames_are_what_browsers_read(size: int) -> None:
    data = b"x" * size
    assert chunked(data) == f"{size:x}\r\n".encode() + data + b"\r\n"
    framed = websocket(data)
    assert framed[0] == 0x82
    short = framed[1]
    assert framed.endswith(data)
    told = {126: framed[2:4], 127: framed[2:10]}.get(short, framed[1:2])
    assert int.from_bytes(told, "big") == size
    assert len(framed) == size + {126: 4, 127: 10}.get(short, 2)


async def test_a_player_with_a_limit_gets_what_is_needed_and_a_seconds_worth_more_than_it_may(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at = 0.0
    monkeypatch.setattr("rtmp_sync.server.http_player.now", lambda: at)
    pipe = Pipe()
    player = Player(pipe, plain, 1_000_000)
    player.limit_rate(1000)
    header = media.VIDEO | media.SEQUENCE_HEADER
    late = [tag(0, 5), tag(header, 7), tag(KEY, 80), tag(INTER, 900), tag(media.AUDIO, 9)]
    player.begin(b"flv", late, has_video=True)
    assert b"".join(pipe.kept) == b"flv" + b"." * (5 + 7 + 80)  # the next one is a key frame
    assert not player.keeps_up
    pipe.kept.clear()
    for number in range(40):
        flags = KEY if number % 4 == 0 else INTER
        player.write_some([Tag(flags, b"K" * 190), Tag(media.AUDIO, b"a" * 50)])
    sent = b"".join(pipe.kept)
    assert (sent.count(b"K") // 190, sent.count(b"a") // 50) == (8, 28)
    assert player.dropped_tags == 80 - 8 - 28
    pipe.kept.clear()
    at = 3.0
    assert (player.wait, player.keeps_up) == (0.0, False)
    player.write_some([tag(KEY, 400)])
    assert player.keeps_up
    player.write_some([tag(KEY, 5000)])
    assert player.wait > 4
    player.limit_rate(None)
    assert (player.wait, player.keeps_up) == (0.0, True)
