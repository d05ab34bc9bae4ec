"""How one stream reaches many players: in what writes, and in what order."""

from __future__ import annotations

import asyncio
import math

from rtmp_sync.app import Client
from rtmp_sync.protocol.connection import Connection, Role
from rtmp_sync.server.authority import Authority
from rtmp_sync.server.commit import CommitPoint
from rtmp_sync.server.live_player import LivePlayer
from rtmp_sync.server.outbox import Outbox
from rtmp_sync.server.ranks import Ranks
from rtmp_sync.server.turn import Turn
from rtmp_sync.state.live_stream import LiveStream
from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.wire import media
from rtmp_sync.wire.chunk import ChunkReader
from rtmp_sync.wire.constants import AUDIO, VIDEO
from tests.support.origins import until
from tests.support.rtmp_peer import counting_bytes

KEY = media.VIDEO | media.KEY_FRAME
INTER = media.VIDEO | media.DROPPABLE


class Viewer:
    """A session as far as streams see it, and what was written to it."""

    def __init__(self, turn: Turn, limit: int) -> None:
        self.client = Client("viewer")
        self.connection = Connection(
            Role.SERVER, now=0.0, random_bytes=counting_bytes, chunk_size=128
        )
        self.outbox = Outbox(turn.outlets, limit, lambda: None)
        self.outbox.open(self)
        self.closing = False
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    @property
    def payloads(self) -> list[bytes]:
        return [one.payload for one in ChunkReader(128).feed(b"".join(self.writes))]


class Stage:
    def __init__(self, media_flush_ms: int = 0) -> None:
        self.authority = Authority()
        self.authority.grant(1, math.inf)
        self.turn = Turn(
            ReplicatedState(), self.authority, CommitPoint(), media_flush_ms=media_flush_ms
        )
        self.ranks = Ranks(self.turn)
        self.stream = LiveStream("s")

    def player(self, msid: int = 1, limit: int = 1000) -> tuple[Viewer, LivePlayer]:
        viewer = Viewer(self.turn, limit)
        player = LivePlayer(self.turn, viewer, msid, self.stream)
        self.ranks.add(player)
        return viewer, player

    def put(self, payload: bytes, flags: int = INTER) -> None:
        self.ranks.put(AUDIO if flags == media.AUDIO else VIDEO, flags, 0, payload)

    async def turn_ends(self) -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def media_leaves(self, viewer: Viewer) -> None:
        await until(lambda: bool(viewer.writes))


async def test_what_was_put_in_a_turn_leaves_at_its_end_in_one_write_for_each_player() -> None:
    stage = Stage()
    viewers = [stage.player()[0] for _ in range(3)]
    stage.put(b"one")
    stage.put(b"two")
    await stage.turn_ends()
    for viewer in viewers:
        assert len(viewer.writes) == 1
        assert viewer.payloads == [b"one", b"two"]


async def test_players_of_other_chunk_sizes_and_message_streams_get_bytes_of_their_own() -> None:
    stage = Stage()
    first, _ = stage.player(msid=1)
    second, _ = stage.player(msid=2)
    stage.put(b"frame")
    await stage.turn_ends()
    assert first.writes != second.writes
    assert first.payloads == second.payloads == [b"frame"]


async def test_with_a_flush_interval_the_messages_of_several_turns_leave_together() -> None:
    stage = Stage(media_flush_ms=50)
    viewer, _ = stage.player()
    stage.put(b"one")
    await stage.turn_ends()
    stage.turn.schedule()  # for something else
    await stage.turn_ends()
    assert not viewer.writes
    stage.put(b"two")
    await stage.media_leaves(viewer)
    assert len(viewer.writes) == 1
    assert viewer.payloads == [b"one", b"two"]


async def test_what_a_player_is_told_stands_behind_what_was_gathered_before() -> None:
    stage = Stage(media_flush_ms=1000)
    viewer, player = stage.player()
    stage.put(b"before")
    stage.ranks.remove(player)
    player.to.data(b"told")
    stage.ranks.add(player)
    stage.put(b"after")
    await stage.turn_ends()
    assert viewer.payloads == [b"before", b"told"]
    await stage.media_leaves(viewer)


async def test_who_comes_gets_nothing_of_before_and_who_goes_nothing_of_after() -> None:
    stage = Stage(media_flush_ms=50)
    early, leaving = stage.player()
    stage.put(b"one")
    late, _ = stage.player()
    stage.put(b"two")
    stage.ranks.remove(leaving)
    stage.put(b"three")
    await stage.media_leaves(early)
    await until(lambda: len(late.payloads) == 2)
    assert early.payloads == [b"one", b"two"]
    assert late.payloads == [b"two", b"three"]


async def test_who_waits_for_a_key_frame_joins_the_others_with_it() -> None:
    stage = Stage()
    viewer, player = stage.player()
    other, _ = stage.player()
    stage.ranks.remove(player)
    player.waits_for_key = True
    stage.ranks.add(player)
    for payload, flags in ((b"inter", INTER), (b"key", KEY), (b"next", INTER)):
        stage.put(payload, flags)
        await stage.turn_ends()
    assert viewer.payloads == [b"key", b"next"]
    assert other.payloads == [b"inter", b"key", b"next"]
    assert viewer.writes[-1] is other.writes[-1]


async def test_a_player_that_refuses_something_gets_the_rest() -> None:
    stage = Stage()
    viewer, player = stage.player()
    stage.ranks.remove(player)
    player.want(media.VIDEO, False)
    stage.ranks.add(player)
    stage.put(b"frame")
    stage.put(b"sound", media.AUDIO)
    await stage.turn_ends()
    assert viewer.payloads == [b"sound"]


async def test_a_slow_player_loses_pictures_while_the_others_get_all() -> None:
    stage = Stage()
    slow, _ = stage.player()
    quick, _ = stage.player()
    slow.outbox.pause()
    frames = [b"%04d" % number * 25 for number in range(20)]
    for frame in frames:
        stage.put(frame)
        await stage.turn_ends()
    assert not slow.writes
    assert quick.payloads == frames
    slow.outbox.resume()
    stage.put(b"key", KEY)
    await stage.turn_ends()
    assert slow.payloads == [*frames[: len(slow.payloads) - 1], b"key"]
    assert slow.outbox.dropped_frames == len(frames) + 1 - len(slow.payloads)


async def test_nothing_leaves_without_authority_and_all_of_it_with_it_again() -> None:
    stage = Stage()
    viewer, _ = stage.player()
    stage.authority.revoke()
    stage.put(b"one")
    await stage.turn_ends()
    assert not viewer.writes
    stage.authority.grant(1, math.inf)
    stage.put(b"two")
    await stage.turn_ends()
    assert viewer.payloads == [b"one", b"two"]


async def test_what_was_written_is_counted() -> None:
    stage = Stage()
    viewer, _ = stage.player()
    stage.put(b"one")
    stage.put(b"two")
    await stage.turn_ends()
    assert viewer.outbox.messages_out == 2
    assert viewer.outbox.bytes_out == len(viewer.writes[0])


async def test_so_much_that_it_is_no_quick_write_is_not_gathered_any_longer() -> None:
    stage = Stage(media_flush_ms=1000)
    viewer, _ = stage.player(limit=1_000_000)
    for _ in range(4):
        stage.put(bytes(100_000), KEY)
    await stage.turn_ends()
    assert [len(one) for one in viewer.payloads] == [100_000] * 3
