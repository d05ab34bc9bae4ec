"""Relays are known to other servers by keys that outlive a connection, and an origin."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from rtmp_sync import NetConnection
from rtmp_sync.server.relay import Remote
from rtmp_sync.server.relay_keys import RelayKeys
from rtmp_sync.server.relay_push import RelayPush
from rtmp_sync.wire.constants import PUBLISH_BAD_NAME, PUBLISH_START
from tests.support.joined import begin, instance, play, publish
from tests.support.origins import running, until, url
from tests.support.publisher import key
from tests.support.standby import SECRET, paired

REMOTE = Remote("rtmp://far.example/live?key=k", "s")


def test_both_origins_of_a_pair_have_the_same_key_and_nobody_else_has() -> None:
    keys = [
        RelayKeys(secret, scope).take(name, remote)
        for secret, scope, name, remote in (
            (b"secret", "app/room", "s", REMOTE),
            (b"Secret", "app/room", "s", REMOTE),
            (b"secret", "app/roo", "ms", REMOTE),
            (b"secret", "app/room", "t", REMOTE),
            (b"secret", "app/room", "s", REMOTE._replace(url="rtmp://far.example/live")),
            (b"secret", "app/room", "s", REMOTE._replace(name="t")),
        )
    ]
    assert len(set(keys)) == len(keys)
    assert {len(one) for one in keys} == {16}
    assert RelayKeys(b"secret", "app/room").take("s", REMOTE) == keys[0]


def test_two_relays_of_the_same_have_different_keys_until_one_has_ended() -> None:
    keys = RelayKeys(b"secret", "app/room")
    first, second = keys.take("s", REMOTE), keys.take("s", REMOTE)
    assert first != second
    keys.give_back(first)
    assert keys.take("s", REMOTE) == first


async def test_an_origin_of_a_pair_makes_them_of_the_pairs_secret(tmp_path: Path) -> None:
    async with paired(tmp_path) as (origin, _), NetConnection(reconnect=False) as user:
        await user.connect(url(origin, "probe/room"), "ann", "User")
        made = instance(origin).live.relay_keys.take("s", REMOTE)
        assert made == RelayKeys(SECRET, "probe/room").take("s", REMOTE)


async def test_the_next_origins_relay_takes_the_name_though_the_first_ones_connection_stands(
    tmp_path: Path,
) -> None:
    async with (
        running(tmp_path / "to") as target,
        running(tmp_path / "a") as first,
        running(tmp_path / "b") as second,
    ):
        player = await play(target)
        told: dict[str, list[str]] = {"first": [], "second": []}
        pushes: dict[str, RelayPush] = {}

        def hear(who: str, code: str, *_: str) -> None:
            told[who].append(code)
            if code == PUBLISH_BAD_NAME:  # it does not dial again: it is cut off, in truth
                pushes[who].close()

        for who, origin in (("first", first), ("second", second)):
            begin(await publish(origin))
            live = instance(origin).live
            live.relay_keys = RelayKeys(b"of one pair", "probe/_definst_")
            remote = Remote(url(target, "probe"), "s")
            pushes[who] = RelayPush(live, "s", remote, partial(hear, who))
            await until(partial(told.get, who))
        assert told["second"] == [PUBLISH_START]
        await until(lambda: told["first"] == [PUBLISH_START, PUBLISH_BAD_NAME])
        await until(lambda: [one[2] for one in player.frames].count(key(b"1")) == 2)
        pushes["second"].close()
