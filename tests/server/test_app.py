"""What an application sees of shared objects, variables and its surroundings."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from rtmp_sync import Application, Client, NetConnection, Origin, allow
from tests.support.origins import until, url


@pytest.fixture
async def user(origin: Origin) -> AsyncIterator[NetConnection]:
    async with NetConnection(reconnect=False) as connection:
        await connection.connect(url(origin, "probe/room"), "ann", "User")
        yield connection


@pytest.fixture
def application(origin: Origin, user: NetConnection) -> Application:
    (instance,) = origin.instances
    return instance.application


async def test_a_shared_object_is_a_mapping(application: Application) -> None:
    board = application.shared_object("board")
    board["a"] = 1
    board.set("b", [1, "x"])
    board["c"] = {"d": None}
    assert dict(board) == {"a": 1.0, "b": [1.0, "x"], "c": {"d": None}}
    assert (board.size, len(board), board.names()) == (3, 3, ["a", "b", "c"])
    assert board.get("none", "default") == "default"
    assert "a" in board
    del board["a"]
    board["b"] = None
    board.delete("none")
    assert board.names() == ["c"]
    with pytest.raises(KeyError):
        del board["a"]
    with pytest.raises(KeyError):
        board["a"]
    board.clear()
    assert not board


async def test_each_change_is_a_version(application: Application) -> None:
    board = application.shared_object("board")
    first = board.version
    board["a"] = 1
    board["a"] = 1
    board.send("hello", 1)
    assert board.version == first + 2
    board.clear()
    assert board.version == first + 3


async def test_a_value_read_is_a_copy(application: Application) -> None:
    board = application.shared_object("board")
    board["a"] = [1]
    board["a"].append(2)
    assert board["a"] == [1.0]


async def test_kinds_of_objects_do_not_meet(application: Application) -> None:
    application.shared_object("vars")["x"] = "temporary"
    application.shared_object("vars", persistent=True)["x"] = "persistent"
    application.vars["x"] = "variable"
    assert [
        application.shared_object("vars")["x"],
        application.shared_object("vars", persistent=True)["x"],
        application.vars["x"],
    ] == ["temporary", "persistent", "variable"]


async def test_on_sync_tells_what_clients_and_the_application_did(
    application: Application, user: NetConnection
) -> None:
    board = application.shared_object("board")
    told: list[tuple[str, str]] = []
    board.on_sync = lambda items: told.extend((item["code"], item["name"]) for item in items)
    remote = await user.shared_object("board")
    await remote.set("k", 1)
    await remote.delete("k")
    board["mine"] = 1
    await remote.clear()
    await until(lambda: len(told) == 4)
    assert told == [("change", "k"), ("delete", "k"), ("success", "mine"), ("clear", "")]


async def test_an_error_in_on_sync_disturbs_nobody(
    application: Application, user: NetConnection
) -> None:
    board = application.shared_object("board")

    def bad(items: object) -> None:
        raise RuntimeError("a bug")

    board.on_sync = bad
    remote = await user.shared_object("board")
    await remote.set("k", 1)
    assert board["k"] == 1.0


async def test_clients_of_the_instance(application: Application, user: NetConnection) -> None:
    (client,) = application.clients
    assert (client.user_name, client.user_type, client.connected) == ("ann", "User", True)
    assert client.arguments == ("ann", "User")
    assert client.params["app"] == "probe/room"
    assert (application.name, application.instance) == ("probe", "room")
    ended: list[str] = []
    user.on_closed = ended.append
    client.disconnect("go")
    await until(lambda: ended)
    assert not client.connected


async def test_a_write_before_the_outside_world_is_touched(application: Application) -> None:
    application.vars["sent"] = True
    await application.committed()


async def test_a_repr_says_what_it_is(application: Application) -> None:
    assert "V:vars" in repr(application.vars)
    assert "ann" in repr(application.clients[0])


def test_what_a_subclass_replaces_is_allowed_as_it_says_there() -> None:
    class Parent(Application):
        @allow("User")
        async def kept(self, client: Client) -> None: ...

        @allow("User")
        async def widened(self, client: Client) -> None: ...

        @allow("User")
        async def closed(self, client: Client) -> None: ...

    class Child(Parent):
        @allow("User", "Guest")
        async def widened(self, client: Client) -> None: ...

        async def closed(self, client: Client) -> None: ...

    assert set(Child.methods) == {"kept", "widened"}
    assert Child.methods["widened"].user_types == {"User", "Guest"}
    assert Child.methods["widened"].function is Child.widened
    assert set(Parent.methods) == {"kept", "widened", "closed"}
