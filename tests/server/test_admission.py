"""Who may come in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rtmp_sync import Client, ConnectError, NetConnection, Origin
from rtmp_sync.protocol.events import CallAnswered, ConnectAnswered
from tests.server.conftest import probe
from tests.support.origins import running, until, url
from tests.support.peer import Peer


async def refusal(origin: Origin, app: str, *arguments: object) -> ConnectError:
    with pytest.raises(ConnectError) as caught:
        await NetConnection(reconnect=False).connect(url(origin, app), *arguments)
    return caught.value


async def test_an_unknown_application_is_invalid(origin: Origin) -> None:
    assert (await refusal(origin, "nothing/x")).code == "NetConnection.Connect.InvalidApp"
    assert (await refusal(origin, "_origin")).code == "NetConnection.Connect.InvalidApp"


async def test_the_log_has_no_key_of_who_is_refused_and_little_of_what_it_says(
    origin: Origin, capsys: pytest.CaptureFixture[str]
) -> None:
    for app in ("probe?key=s3cret", "nowhere?key=s3cret", "x" * 5000):
        with pytest.raises(ConnectError):
            await NetConnection().connect(url(origin, app), "rejected", "User")
    told = capsys.readouterr().out
    assert "app=probe/_definst_ " in told
    assert told.count("connect_refused") == 3
    assert "s3cret" not in told
    assert "x" * 300 not in told


async def test_a_rejected_client_reads_why_and_is_disconnected(origin: Origin) -> None:
    error = await refusal(origin, "probe", "rejected", "User")
    assert (error.code, error.description) == ("NetConnection.Connect.Rejected", "not you")
    assert isinstance(error.info, dict)
    assert error.info["application"] == {"why": "because"}
    await until(lambda: len(origin.sessions) == 0)


async def test_a_redirected_client_is_told_where_to(origin: Origin) -> None:
    peer = Peer()
    answer = await peer.connect(origin.rtmp_port, "probe", "moved", "User")
    assert not answer.ok
    assert answer.info["ex"] == {"code": 302.0, "redirect": "rtmp://127.0.0.1:1/probe"}
    await peer.ended()
    peer.close()


@pytest.mark.parametrize("user_type", ["Admin", "Nobody", "user"])
async def test_a_type_that_is_neither_public_nor_granted_is_refused(
    origin: Origin, user_type: str
) -> None:
    error = await refusal(origin, "probe", "ann", user_type)
    assert error.code == "NetConnection.Connect.Rejected"


async def test_the_origins_own_type_is_never_accepted(origin: Origin) -> None:
    error = await refusal(origin, "probe", "trusted", "Origin")
    assert error.code == "NetConnection.Connect.Rejected"


async def test_on_connect_grants_a_type(origin: Origin) -> None:
    async with NetConnection(reconnect=False) as connection:
        await connection.connect(url(origin, "probe"), "trusted", "Nobody")


@pytest.mark.parametrize("arguments", [(), (None, 5), ("",), ("ann",)])
async def test_missing_names_are_admitted(origin: Origin, arguments: tuple[object, ...]) -> None:
    async with NetConnection(reconnect=False) as connection:
        await connection.connect(url(origin, "probe"), *arguments)
        (instance,) = origin.instances
        (client,) = instance.clients.values()
        assert client.user_type == ""


async def test_an_error_in_on_connect_lets_nobody_in_and_may_be_tried_again(
    origin: Origin,
) -> None:
    error = await refusal(origin, "probe", "crash", "User")
    assert error.code == "NetConnection.Connect.Failed"


async def test_nobody_comes_into_an_instance_that_does_not_start(origin: Origin) -> None:
    error = await refusal(origin, "probe/broken", "ann", "User")
    assert error.code == "NetConnection.Connect.Failed"
    await refusal(origin, "probe/broken", "ann", "User")
    starts = [said for said in probe(origin).said if said[0] == "start"]
    assert starts == [("start", "broken")] * 2  # each client is another try
    assert "probe/broken" not in origin.state.instances


async def test_what_a_client_sends_before_it_is_let_in_waits(origin: Origin) -> None:
    peer = await Peer().open(origin.rtmp_port)
    connect = peer.rtmp.connect({"app": "probe"}, "waits", "User")
    peer.send(connect + peer.rtmp.call("who.am.i")[1])
    assert (await peer.event(ConnectAnswered)).ok
    # sent in AMF0 with the default chunk size, before anything was agreed
    assert (await peer.event(CallAnswered)).result == ["waits", "User"]
    peer.close()


async def test_one_that_goes_while_the_application_decides_is_told_of_as_gone(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected: list[bool] = []
    on_disconnect = probe(origin).on_disconnect

    async def looks(application: Any, client: Client, reason: str) -> None:
        connected.append(client.connected)
        await on_disconnect(application, client, reason)

    monkeypatch.setattr(probe(origin), "on_disconnect", looks)
    peer = await Peer().open(origin.rtmp_port)
    peer.send(peer.rtmp.connect({"app": "probe"}, "waits", "User"))
    await until(lambda: ("connect", "waits") in probe(origin).said)
    peer.writer.transport.abort()
    await until(lambda: any(said[:2] == ("disconnect", "waits") for said in probe(origin).said))
    assert origin.state.instances["probe/_definst_"].clients == {}
    assert connected == [False]
    peer.close()


async def test_one_that_is_too_big_to_replicate_is_turned_away_and_told_of_as_gone(
    origin: Origin,
) -> None:
    peer = await Peer().open(origin.rtmp_port)
    peer.send(peer.rtmp.connect({"app": "probe", "pageUrl": "x" * 900_000}, "u", "User"))
    await peer.ended()
    assert ("disconnect", "u", "lost") in probe(origin).said
    peer.close()


async def test_the_default_instance_and_the_query_of_the_address(origin: Origin) -> None:
    async with NetConnection(reconnect=False) as one, NetConnection(reconnect=False) as two:
        await one.connect(url(origin, "probe?token=1"), "a", "User")
        await two.connect(url(origin, "probe/room/inner"), "b", "User")
        assert sorted(instance.scope for instance in origin.instances) == [
            "probe/_definst_",
            "probe/room/inner",
        ]


async def test_the_configuration_replaces_the_public_types(tmp_path: Path) -> None:
    apps = {"probe": {"public_types": ["Editor"]}}
    async with running(tmp_path, apps=apps) as origin:
        await refusal(origin, "probe", "ann", "User")
        async with NetConnection(reconnect=False) as connection:
            await connection.connect(url(origin, "probe"), "ann", "Editor")


async def test_one_client_too_many_is_turned_away(tmp_path: Path) -> None:
    async with running(tmp_path, rtmp={"max_connections": 1}) as origin:
        async with NetConnection(reconnect=False) as connection:
            await connection.connect(url(origin, "probe"), "ann", "User")
            await refusal(origin, "probe", "bob", "User")
        await until(lambda: len(origin.sessions) == 0)
        async with NetConnection(reconnect=False) as connection:
            await connection.connect(url(origin, "probe"), "bob", "User")
