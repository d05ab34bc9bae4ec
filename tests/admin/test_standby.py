"""What the standby tells, and that it changes nothing."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from rtmp_sync.admin.method import found_methods
from tests.admin.calling import Calls, basic, client_of, texts
from tests.support.origins import SHIPPED_APPS, pair_of, until

SECRET = "0123456789abcdef"
ROOM = "text/room"


async def test_the_standby_tells_what_is_replicated_and_refuses_changes(tmp_path: Path) -> None:
    origins = pair_of(tmp_path, apps={"directory": SHIPPED_APPS})
    for origin in origins:
        await origin.start()
    try:
        await until(lambda: any(one.watchdog.role == "active" for one in origins))
        active, standby = sorted(origins, key=lambda one: one.watchdog.role != "active")
        await until(lambda: standby.watchdog.state == "READY")
        async with aiohttp.ClientSession() as http:
            served, shown = Calls(active, http), Calls(standby, http)
            async with client_of(served, ROOM, "ann", user_type="Type1") as client:
                board = await client.shared_object("board", persistent=True)
                await board.set("k", "v")
                await until(lambda: standby.state.journal.head == active.state.journal.head)
                asked = {"apswd": SECRET, "appInst": ROOM}
                for calls, clients in ((served, ["1-1"]), (shown, [])):
                    assert texts(await calls.data("getActiveInstances", apswd=SECRET)) == [ROOM]
                    assert texts(await calls.data("getUsers", **asked)) == clients
                    stats = await calls.data("getInstanceStats", **asked)
                    assert stats.findtext("connected") == str(len(clients))
                    assert stats.findtext("clients") == "1"
                    query = {**asked, "sharedObject": "board", "persistent": "true"}
                    told = await calls.data("getSharedObjectStats", **query)
                    assert (told.findtext("num_properties"), told.findtext("connected")) == (
                        "1",
                        str(len(clients)),
                    )
                password = basic(SECRET)
                for method in found_methods().values():
                    if method.changes:
                        path = method.path.format(app="text", instance="room", userid="1-1")
                        body = {
                            "broadcastMsg": {"scope": "Server", "method": "x"},
                            "unloadApp": {"appInst": ROOM},
                        }.get(method.name)
                        status, answer = await shown.request(path, password, "POST", body)
                        assert (status, answer["ask"]) == (409, active.node_id), method.name
                        assert answer["code"] == "NetConnection.Admin.CommandFailed"
                        assert standby.history.events()[-1]["event"] == "admin_refused"
                assert len(active.sessions) == 1
    finally:
        for origin in reversed(origins):
            await origin.stop()
