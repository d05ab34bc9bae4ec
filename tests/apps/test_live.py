"""Live streams with a token."""

from __future__ import annotations

import pytest

from rtmp_sync import ConnectError, NetConnection, Origin
from tests.support.origins import url


async def test_with_a_token_configured_only_who_names_it_comes_in(origin: Origin) -> None:
    with pytest.raises(ConnectError, match="token"):
        await NetConnection(reconnect=False).connect(url(origin, "live"))
    async with NetConnection(reconnect=False) as one, NetConnection(reconnect=False) as two:
        for connection in (one, two):
            await connection.connect(url(origin, "live?token=open sesame"))
        publisher, player = await one.create_stream(), await two.create_stream()
        await publisher.publish("s", "live")
        await player.play("s")
        publisher.send(8, 40, b"\xaf\1frame")
        async for message in player:
            if message.type == 8:
                assert message.payload == b"\xaf\1frame"
                break
