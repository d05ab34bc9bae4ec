"""A pair whose record is in etcd: what its configuration needs, and what it says when that is
missing."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from rtmp_sync.config import Address, Config, WrongConfig, load_config

PAIR = """
[node]
id = "A"
[replication]
peer = "10.0.0.2:1936"
secret_file = "secret"
[failover]
peer_admin = "10.0.0.2:1112"
{failover}
[admin]
user = "admin"
password_file = "password"
"""

RIGHT = 'etcd = ["10.0.0.3:2379", "10.0.0.4:2379"]\nnodes = ["A", "B"]'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "apps").mkdir()
    for name in ("secret", "password"):
        (tmp_path / name).write_text("0123456789abcdef")
        (tmp_path / name).chmod(0o600)
    return tmp_path


def load(folder: Path, failover: str) -> Config:
    path = folder / "config.toml"
    path.write_text(PAIR.format(failover=failover))
    return load_config(path)


def test_the_coordinator_follows_from_the_members(folder: Path) -> None:
    config = load(folder, RIGHT)
    assert config.check(store=False) == []
    assert config.coordinator == "etcd"
    assert config.failover.etcd == [Address("10.0.0.3", 2379), Address("10.0.0.4", 2379)]


@pytest.mark.parametrize(
    ("failover", "line"),
    [
        (
            'coordinator = "etcd"\nnodes = ["A", "B"]',
            "failover.etcd = (not given): give the client addresses of the etcd members",
        ),
        ('etcd = ["10.0.0.3:2379"]', "failover.nodes = (not given): give the two node ids"),
        ('etcd = ["h:1"]\nnodes = ["A", "a"]', "failover.nodes = ['A', 'a']: give the two"),
        ('etcd = ["h:1"]\nnodes = ["B", "C"]', "node.id = 'A': must be one of failover.nodes"),
        (RIGHT + '\netcd_prefix = "pair"', "failover.etcd_prefix = 'pair'"),
        (RIGHT + '\netcd_prefix = "/"', "failover.etcd_prefix = '/'"),
        (RIGHT + "\nttl = 1.5", "failover.ttl = 1.5: etcd grants no lease below 2 seconds"),
        (RIGHT + "\nrenew_interval = 2", "failover.renew_interval = 2.0: two renewals"),
        (RIGHT + '\npair_file = "x"', "failover.coordinator = (not given): the record lives"),
    ],
)
def test_what_is_wrong_is_named_with_its_fix(folder: Path, failover: str, line: str) -> None:
    with pytest.raises(WrongConfig) as caught:
        load(folder, failover)
    assert any(str(error).startswith(line) for error in caught.value.errors), caught.value.errors


def test_a_node_is_found_in_whatever_case(folder: Path) -> None:
    assert load(folder, 'etcd = ["h:1"]\nnodes = ["b", "a"]').check(store=False) == []


def test_both_places_may_be_given_when_one_is_named(folder: Path) -> None:
    (folder / "pair.txt").write_text("A\\B")
    both = RIGHT + '\npair_file = "pair.txt"\ncoordinator = "file"'
    assert load(folder, both).coordinator == "file"


def test_members_that_cannot_be_reached_are_a_warning_each(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        well = f"127.0.0.1:{server.getsockname()[1]}"
        failover = f'etcd = ["{well}", "127.0.0.1:1"]\nnodes = ["A", "B"]'
        (warning,) = load(folder, failover).check()
    assert warning.startswith("failover.etcd = '127.0.0.1:1': cannot be reached now")
