"""FMS's administration API in FMS's XML, of a real origin with real clients."""

from __future__ import annotations

import re
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from rtmp_sync.admin.method import found_methods
from tests.admin.calling import PASSWORD, SUCCESS, Calls, administered, client_of, texts
from tests.admin.conftest import Http
from tests.support.joined import instance
from tests.support.origins import until, url

# What answers of FMS 4 have in these elements, of what makes sense here.
SERVER = {"launchTime", "uptime", "cpus", "cpu_Usage", "num_cores", "memory_Usage", "physical_Mem"}
TRAFFIC = {"msg_in", "msg_out", "msg_dropped", "bytes_in", "bytes_out"}
COUNTS = TRAFFIC | {"bw_in", "bw_out", "total_connects", "total_disconnects", "connected"}
IO = COUNTS | {"rtmp_connects", "normal_connects"}
VHOST = COUNTS | {"accepted", "rejected", "total_apps"}
INSTANCE = COUNTS | {"accepted", "rejected", "launch_time", "up_time", "name"}
USER = TRAFFIC | {"connect_time", "msg_queue", "protocol", "stream_ids"}
PUBLISHER = {"name", "time", "type", "client", "stream_id", "client_type", "publish_time"}
LINUX_TIMESTAMP = re.compile(r"[A-Z][a-z]{2} \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [AP]M \w+")
FMS_TIME = re.compile(r"[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d \d{4}")

ROOM = "probe/room"


def tags(element: ElementTree.Element) -> set[str]:
    return {child.tag for child in element}


def numbers(element: ElementTree.Element) -> dict[str, int]:
    return {child.tag: int(child.text or "") for child in element if (child.text or "").isdigit()}


async def test_a_success_has_the_elements_of_fms_in_their_order(calls: Calls) -> None:
    status, text = await calls.text("getApps")
    assert status == 200
    assert text.startswith('<?xml version="1.0" encoding="utf-8"?>\n<result><level>status</level>')
    result = ElementTree.fromstring(text)
    assert [element.tag for element in result] == ["level", "code", "timestamp", "data"]
    assert result.findtext("code") == SUCCESS
    assert LINUX_TIMESTAMP.fullmatch(result.findtext("timestamp") or "")


async def test_a_failure_has_the_elements_of_fms_in_their_order(calls: Calls) -> None:
    result = await calls.xml("getUsers", appInst="probe/nowhere")
    assert [element.tag for element in result] == ["level", "code", "description", "timestamp"]
    assert result.findtext("level") == "error"
    assert result.findtext("code") == "NetConnection.Call.Failed"
    assert result.findtext("description") == "There is no instance probe/nowhere."


async def test_the_servers_figures_have_fmss_names_and_count(calls: Calls) -> None:
    async with client_of(calls, ROOM) as client:
        await client.call("echo", "x" * 10_000)
        data = await calls.data("getServerStats")
    io = data.find("io")
    assert io is not None
    assert tags(data) >= SERVER
    assert tags(io) >= IO
    figures = numbers(io)
    assert figures["connected"] == figures["total_connects"] == 1
    assert figures["bytes_in"] > 10_000 < figures["bytes_out"]
    assert figures["msg_in"] >= 2 <= figures["msg_out"]
    assert FMS_TIME.fullmatch(data.findtext("launchTime") or "")
    assert int(data.findtext("physical_Mem") or "") > 1_000_000
    assert numbers(await calls.data("getIOStats")).keys() >= IO
    assert numbers(await calls.data("getVHostStats", vhost="_defaultVHost_")).keys() >= VHOST


async def test_names_of_methods_are_in_any_case_as_in_documents_of_fms(tmp_path: Path) -> None:
    async with administered(tmp_path, commands=["getVHostStats"]) as calls:
        data = await calls.data("getVhostStats", vhost='"_defaultVhost_"')
        assert tags(data) >= VHOST
        assert await calls.code("GETAPPS") == "NetConnection.Admin.CommandFailed"
        assert await calls.code("Ping") == SUCCESS


async def test_what_has_gone_still_counts(calls: Calls) -> None:
    async with client_of(calls, ROOM) as client:
        await client.call("echo", "x" * 5_000)
        before = numbers(await calls.data("getInstanceStats", appInst=ROOM))
    await until(lambda: not len(calls.origin.sessions))
    for method, query in (("getInstanceStats", {"appInst": ROOM}), ("getIOStats", {})):
        after = numbers(await calls.data(method, **query))
        assert (after["connected"], after["total_connects"], after["total_disconnects"]) == (
            0,
            1,
            1,
        )
        assert after["bytes_in"] >= before["bytes_in"] > 5_000
        assert after["msg_out"] >= before["msg_out"]


async def test_applications_and_instances_are_listed_as_fms_lists_them(calls: Calls) -> None:
    apps = await calls.data("getApps", verbose="true", force="true")
    assert apps.findtext("total_apps") == "1"
    assert texts(apps) == ["probe"]
    assert texts(await calls.data("getApps", verbose="false")) == []
    assert texts(await calls.data("getActiveInstances")) == []
    async with client_of(calls, "probe"), client_of(calls, "probe/b/c"):
        assert texts(await calls.data("getActiveInstances")) == ["probe/_definst_", "probe/b/c"]
        stats = await calls.data("getAppStats", app="probe")
        assert stats.findtext("connected") == "2"
        core = stats.find("cores/_0")
        assert core is not None
        assert int(core.findtext("pid") or "") > 0
        for name in ("probe", "probe/_defInst_", "probe/_definst_"):
            data = await calls.data("getInstanceStats", appInst=name)
            assert tags(data) >= INSTANCE
            assert data.findtext("connected") == "1"


async def test_refused_connects_are_counted(calls: Calls) -> None:
    async with client_of(calls, ROOM):
        with pytest.raises(Exception, match="not you"):
            async with client_of(calls, ROOM, "rejected"):
                pass
        figures = numbers(await calls.data("getInstanceStats", appInst=ROOM))
    assert (figures["accepted"], figures["rejected"]) == (1, 1)


async def test_a_user_is_told_with_what_it_is_and_moved(calls: Calls) -> None:
    page, movie = "http://example.com/page", "http://example.com/<movie>.swf"
    before = int(time.time())
    async with client_of(calls, ROOM, "ann", pageUrl=page, swfUrl=movie) as client:
        stream = await client.create_stream()
        users = texts(await calls.data("getUsers", appInst=ROOM))
        instance(calls.origin).clients[users[0]].set_bandwidth_limit(to_client=50_000)
        for parameter in ("userid", "userId"):
            data = await calls.data("getUserStats", appInst=ROOM, **{parameter: users[0]})
        assert tags(data) >= USER
        told = {tag: data.findtext(tag) for tag in ("protocol", "user_name", "page_url")}
        assert told == {"protocol": "rtmp", "user_name": "ann", "page_url": page}
        assert data.findtext("referrer") == movie
        assert (data.findtext("ip") or "").startswith("127.0.0.1:")
        assert (data.findtext("agent") or "").startswith("LNX")
        limits = {
            way: data.findtext(f"bandwidth_limit/{way}") for way in ("to_server", "to_client")
        }
        assert limits == {"to_server": "", "to_client": "50000"}
        ids = data.find("stream_ids")
        assert ids is not None
        assert texts(ids) == [f"{users[0]}-{stream.msid}"]
        when = time.strptime(data.findtext("connect_time") or "", "%a %b %d %H:%M:%S %Y")
        assert before <= time.mktime(when) <= time.time()
    assert await calls.code("getUserStats", appInst=ROOM, userid="1-99") == (
        "NetConnection.Call.Failed"
    )


async def test_a_live_stream_is_told_with_its_publisher_and_subscribers(calls: Calls) -> None:
    async with client_of(calls, ROOM) as publisher, client_of(calls, ROOM) as player:
        camera, screen = await publisher.create_stream(), await player.create_stream()
        await camera.publish("cam1")
        await screen.play("cam1")
        users = texts(await calls.data("getUsers", appInst=ROOM))
        for number in range(3):
            camera.send(8, number, b"\xaf\1" + b"s" * 98)
        channel = next(iter(calls.origin.instances)).live.channel("cam1")
        assert channel is not None
        await until(lambda: channel.messages_in == 3)
        assert texts(await calls.data("getLiveStreams", appInst=ROOM)) == ["cam1"]
        data = await calls.data("getLiveStreamStats", appInst=ROOM, stream="cam1")
        told = data.find("publisher")
        assert told is not None
        assert tags(told) >= PUBLISHER
        assert (told.findtext("name"), told.findtext("type")) == ("cam1", "publishing")
        publisher_id, player_id = told.findtext("client"), data.findtext("subscribers/_0/client")
        assert {publisher_id, player_id} == set(users)
        assert FMS_TIME.fullmatch(data.findtext("subscribers/_0/subscribe_time") or "")
        assert (data.findtext("msg_in"), data.findtext("bytes_in")) == ("3", "300")

        ids = texts(await calls.data("getNetStreams", appInst=ROOM))
        assert set(ids) == {f"{publisher_id}-1", f"{player_id}-1"}
        streams = await calls.data("getNetStreamStats", appInst=ROOM, streamids="-1")
        doing = {one.findtext("client"): one.findtext("type") for one in streams}
        assert doing == {publisher_id: "publishing", player_id: "playing live"}
        for stream in streams:
            assert FMS_TIME.fullmatch(stream.findtext("time") or "")
        one = await calls.data("getNetStreamStats", appInst=ROOM, streamids=f"{player_id}-1")
        assert [stream.findtext("name") for stream in one] == ["cam1"]
        await camera.unpublish()
        assert texts(await calls.data("getLiveStreams", appInst=ROOM)) == []
    assert await calls.code("getLiveStreamStats", appInst=ROOM, stream="cam1") == (
        "NetConnection.Call.Failed"
    )


async def test_shared_objects_are_told_by_kind_and_name(calls: Calls) -> None:
    async with client_of(calls, ROOM) as client:
        board = await client.shared_object("board", persistent=True)
        await client.shared_object("cursor")
        await board.set("k", "v" * 100)
        data = await calls.data("getSharedObjects", appInst=ROOM)
        kinds = {kind: data.find(kind) for kind in ("persistent", "volatile")}
        assert {kind: texts(found) for kind, found in kinds.items() if found is not None} == {
            "persistent": ["board"],
            "volatile": ["cursor"],
        }
        query = {"appInst": ROOM, "sharedObject": "board"}
        figures = numbers(await calls.data("getSharedObjectStats", persistent="true", **query))
        assert (figures["num_properties"], figures["connected"]) == (1, 1)
        assert figures["bytes"] > 100
        assert await calls.code("getSharedObjectStats", persistent="false", **query) == (
            "NetConnection.Call.Failed"
        )


async def test_objects_of_other_applications_are_told_with_their_owner(calls: Calls) -> None:
    async with client_of(calls, ROOM) as client:
        running = calls.origin.instances.running(ROOM)
        assert running is not None
        app = running.application
        games = app.connection()
        app.shared_object("board", of=games)
        await games.connect(f"{url(calls.origin, 'probe/games')}?key=secret", "ann", "User")
        board = await client.shared_object("board")
        await board.set("k", 1)
        data = await calls.data("getSharedObjects", appInst=ROOM)
        (one,) = data.findall("proxied/_0")
        told = {element.tag: element.text for element in one}
        owner = url(calls.origin, "probe/games")
        assert told == {"name": "board", "persistent": "false", "owner": owner}
        query = {"appInst": ROOM, "sharedObject": "board"}
        figures = numbers(await calls.data("getSharedObjectStats", **query))
        assert (figures["num_properties"], figures["connected"]) == (1, 1)


async def test_the_application_variables_are_nobodys_to_see(calls: Calls) -> None:
    async with client_of(calls, ROOM) as client:
        await client.call("count")
        data = await calls.data("getSharedObjects", appInst=ROOM)
        assert [element.text for element in data.iter() if element.tag.startswith("_")] == []
        query = {"appInst": ROOM, "sharedObject": "vars"}
        for persistent in ("true", "false"):
            code = await calls.code("getSharedObjectStats", persistent=persistent, **query)
            assert code == "NetConnection.Call.Failed"


async def test_what_xml_cannot_hold_is_replaced(calls: Calls) -> None:
    async with client_of(calls, ROOM) as client:
        await client.shared_object("a\1b<&>")
        data = await calls.data("getSharedObjects", appInst=ROOM)
        assert data.findtext("volatile/_0") == "a\ufffdb<&>"


@pytest.mark.parametrize(
    ("method", "query", "description"),
    [
        ("getEverything", {}, "Method not found (getEverything)."),
        ("__class__", {}, "Method not found (__class__)."),
        ("getUsers", {}, "appInst is missing"),
        ("getApps", {"verbose": "perhaps"}, "verbose: give true or false"),
        ("broadcastMsg", {"scope": "Nobody", "method": "x"}, "scope: give Server, App:name or "),
        ("broadcastMsg", {"scope": "", "method": "x"}, "scope: give Server, App:name or "),
    ],
)
async def test_what_cannot_be_understood_is_a_bad_value(
    calls: Calls, method: str, query: dict[str, str], description: str
) -> None:
    result = await calls.xml(method, **query)
    assert result.findtext("level") == "error"
    assert result.findtext("code") == "NetConnection.Call.BadValue"
    assert (result.findtext("description") or "").startswith(description)


@pytest.mark.parametrize("method", sorted(found_methods()))
async def test_no_method_works_with_a_wrong_password(http: Http, method: str) -> None:
    for wrong in ({"auser": "admin", "apswd": "guess"}, {"auser": "root", "apswd": PASSWORD}, {}):
        status, text = await http.ask(f"/admin/{method}", params={"appInst": ROOM, **wrong})
        result = ElementTree.fromstring(text)
        assert status == 200
        assert result.findtext("code") == "NetConnection.Connect.Rejected"
        assert result.find("data") is None


async def test_only_commands_that_the_configuration_has_are_allowed(tmp_path: Path) -> None:
    async with administered(tmp_path, commands=["getServerStats", "getLive*"]) as calls:
        assert await calls.code("ping") == SUCCESS
        assert await calls.code("getServerStats") == SUCCESS
        for method in ("getApps", "unloadApp", "reloadApp"):
            result = await calls.xml(method, appInst="probe")
            assert result.findtext("code") == "NetConnection.Admin.CommandFailed"
            assert "admin.commands" in (result.findtext("description") or "")


async def test_without_being_told_otherwise_reading_is_all_that_is_allowed(tmp_path: Path) -> None:
    async with administered(tmp_path, commands=["get*"]) as calls:
        for method in found_methods().values():
            code = await calls.code(method.name, appInst="x/y", scope="App:x", method="m")
            denied = code == "NetConnection.Admin.CommandFailed"
            assert denied == method.changes
