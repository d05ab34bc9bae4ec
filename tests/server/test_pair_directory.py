"""The folder of a `pair`: made once, resumed later, never shared by two."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from rtmp_sync.config import load_config
from rtmp_sync.config_values import Address
from rtmp_sync.errors import ConfigError
from rtmp_sync.server.networks import Networks
from rtmp_sync.server.pair_directory import PairDirectory


@pytest.fixture
def apps(tmp_path: Path) -> Path:
    (tmp_path / 'my "apps"').mkdir()
    return tmp_path / 'my "apps"'


def prepared(path: Path, apps: Path, port: int = 19350) -> PairDirectory:
    directory = PairDirectory(path, port=port, apps=apps)
    directory.lock()
    directory.prepare()
    return directory


def test_a_new_folder_holds_two_right_configurations(tmp_path: Path, apps: Path) -> None:
    directory = prepared(tmp_path / "pair", apps)
    first, second = (load_config(node.config) for node in directory.nodes)
    assert first.check() == second.check() == []
    assert (first.node.id, second.node.id) == ("A", "B")
    assert first.replication.peer == second.replication.listen == ("127.0.0.1", 19362)
    assert second.replication.peer == first.replication.listen == ("127.0.0.1", 19361)
    assert first.failover.peer_admin == second.health.listen == ("127.0.0.1", 19382)
    assert (first.rtmp.listen.port, second.rtmp.listen.port) == (19351, 19352)
    assert (first.admin.listen.port, second.admin.listen.port) == (19371, 19372)
    assert first.secrets() == second.secrets()
    assert first.password() == second.password()
    assert first.apps.directory == apps
    assert (directory.path / "MainOriginConfig.txt").read_text() == "A\\B"
    directory.unlock()


def test_browsers_get_a_port_of_each_node_behind_the_front_doors_own(
    tmp_path: Path, apps: Path
) -> None:
    directory = PairDirectory(tmp_path, port=19350, apps=apps, http_port=8080)
    directory.prepare()
    listens = [load_config(node.config).http.listen for node in directory.nodes]
    assert listens == [("127.0.0.1", 8081), ("127.0.0.1", 8082)]
    assert directory.nodes[0].listeners()["http.listen"] == listens[0]
    directory.publish({"A": (1, 2), "B": (3, 4)})
    told = json.loads((tmp_path / "pair.json").read_text())
    assert told["front_http"] == "127.0.0.1:8080"
    assert [node["http"] for node in told["nodes"]] == ["127.0.0.1:8081", "127.0.0.1:8082"]


@pytest.mark.parametrize("http_port", [19348, 19350, 19352, 19360, 19380, 19382])
def test_options_whose_ports_are_the_same_are_both_named(
    tmp_path: Path, apps: Path, http_port: int
) -> None:
    directory = PairDirectory(tmp_path, port=19350, apps=apps, http_port=http_port)
    with pytest.raises(ConfigError) as refused:
        directory.check_ports()
    told = str(refused.value)
    assert f"--http-port = {http_port}: it takes the ports {http_port}-{http_port + 2}" in told
    taken = "19350-19352, 19361-19362, 19371-19372, 19381-19382"
    assert f"and --port 19350 takes {taken}" in told


@pytest.mark.parametrize("http_port", [None, 19347, 19353, 19358, 19363, 19383])
def test_options_whose_ports_are_different_ones_pass(
    tmp_path: Path, apps: Path, http_port: int | None
) -> None:
    PairDirectory(tmp_path, port=19350, apps=apps, http_port=http_port).check_ports()


def test_the_first_node_may_dial_the_second_through_another_address(
    tmp_path: Path, apps: Path
) -> None:
    through = Address("127.0.0.1", 4000)
    directory = PairDirectory(tmp_path, port=19350, apps=apps, link=through)
    directory.prepare()
    first, second = (load_config(node.config) for node in directory.nodes)
    assert first.replication.peer == through
    assert second.replication.peer == first.replication.listen


def test_the_origins_believe_the_front_door_and_nobody_else_here(
    tmp_path: Path, apps: Path
) -> None:
    directory = prepared(tmp_path, apps)
    first, second = (load_config(node.config) for node in directory.nodes)
    believed = [] if directory.front_source is None else [f"{directory.front_source}/32"]
    assert first.rtmp.proxy_protocol_from == second.rtmp.proxy_protocol_from == believed
    assert "127.0.0.1" not in Networks(believed)
    directory.unlock()


def test_other_numbers_and_a_record_in_etcd_may_be_asked_for(tmp_path: Path, apps: Path) -> None:
    failover = {"profile": "fast", "etcd": ["127.0.0.1:2379"], "etcd_prefix": "/test"}
    directory = PairDirectory(tmp_path, port=19350, apps=apps, failover=failover)
    directory.prepare()
    for node in directory.nodes:
        config = load_config(node.config)
        assert config.check(store=False) == []
        assert config.coordinator == "etcd"
        assert config.failover.nodes == ["A", "B"]
        assert config.failover.pair_file is None
        assert config.failover.profile == "fast"


@pytest.mark.parametrize("name", ["secret", "admin.password"])
def test_secrets_are_for_their_owner_only(tmp_path: Path, apps: Path, name: str) -> None:
    directory = prepared(tmp_path, apps)
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    directory.unlock()


def test_an_existing_folder_is_resumed_with_other_ports(tmp_path: Path, apps: Path) -> None:
    first = prepared(tmp_path, apps)
    secret = (tmp_path / "secret").read_text()
    (tmp_path / "MainOriginConfig.txt").write_text("A\\B\\secondaryUP")
    first.unlock()
    again = prepared(tmp_path, apps, port=29350)
    assert (tmp_path / "secret").read_text() == secret
    assert (tmp_path / "MainOriginConfig.txt").read_text() == "A\\B\\secondaryUP"
    assert load_config(again.nodes[0].config).rtmp.listen.port == 29351
    again.unlock()


def test_a_deleted_pair_file_is_not_made_again_beside_records(tmp_path: Path, apps: Path) -> None:
    (tmp_path / "MainOriginConfig.txt.d").mkdir()
    directory = prepared(tmp_path, apps)
    assert not (tmp_path / "MainOriginConfig.txt").exists()
    directory.unlock()


def test_a_folder_in_use_is_refused(tmp_path: Path, apps: Path) -> None:
    first = prepared(tmp_path, apps)
    with pytest.raises(ConfigError, match="a pair already runs there"):
        PairDirectory(tmp_path, port=29350, apps=apps).lock()
    first.unlock()
    prepared(tmp_path, apps).unlock()


def test_pair_json_tells_where_everything_is(tmp_path: Path, apps: Path) -> None:
    directory = prepared(tmp_path, apps)
    directory.publish({"A": (11, 12), "B": (21, 22)})
    content = json.loads((tmp_path / "pair.json").read_text())
    assert content["front"] == "127.0.0.1:19350"
    assert content["nodes"][0] == {
        "id": "A",
        "rtmp": "127.0.0.1:19351",
        "replication": "127.0.0.1:19361",
        "admin": "127.0.0.1:19371",
        "health": "127.0.0.1:19381",
        "pid": 11,
        "guard_pid": 12,
        "log": str(tmp_path / "A" / "log"),
        "config": str(tmp_path / "A" / "config.toml"),
    }
    assert (content["nodes"][1]["pid"], content["nodes"][1]["guard_pid"]) == (21, 22)
    directory.withdraw()
    assert not (tmp_path / "pair.json").exists()
    directory.unlock()
