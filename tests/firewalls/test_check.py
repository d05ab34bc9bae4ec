"""What `config check` says of a driver before anything is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rtmp_sync.config import Config, WrongConfig
from rtmp_sync.firewalls import check, driver_needs, nft_library


def config(listen: str = "0.0.0.0:1935", **firewall: Any) -> Config:
    tables = {"node": {"id": "A"}, "rtmp": {"listen": listen}, "firewall": firewall}
    return Config.model_validate(tables)


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process has the capability, whoever runs the tests."""
    monkeypatch.setattr(driver_needs, "_may_filter", lambda: True)


def said(config: Config) -> list[str]:
    return [str(error) for error in check(config)]


@pytest.mark.parametrize("driver", ["listener", "none"])
def test_some_drivers_need_nothing(driver: str) -> None:
    assert said(config(driver=driver)) == []


@pytest.mark.usefixtures("allowed")
def test_all_programs_that_are_missing_are_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert said(config("10.0.0.1:1935", driver="iptables")) == [
        "firewall.driver = 'iptables': iptables, iptables-restore not found in PATH; "
        "on Debian: apt-get install iptables"
    ]
    assert said(config("[fd77::1]:1935", driver="iptables")) == [
        "firewall.driver = 'iptables': ip6tables, ip6tables-restore not found in PATH; "
        "on Debian: apt-get install iptables"
    ]


@pytest.mark.usefixtures("allowed")
def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nft_library, "NAME", "libnowhere.so.1")
    assert said(config(driver="nftables")) == [
        "firewall.driver = 'nftables': libnftables.so.1 is not installed; "
        "on Debian: apt-get install nftables"
    ]


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize("driver", ["nftables", "iptables", "windows"])
def test_a_packet_filter_needs_a_fixed_port(driver: str) -> None:
    assert said(config("0.0.0.0:0", driver=driver))[0] == (
        "rtmp.listen = '0.0.0.0:0': a packet filter needs a fixed port; give one"
    )


@pytest.mark.parametrize("driver", ["listener", "none"])
def test_a_list_that_a_driver_does_not_look_at_is_a_warning(driver: str, tmp_path: Path) -> None:
    apps = {"directory": str(tmp_path)}
    tables = {"node": {"id": "A"}, "apps": apps, "firewall": {"driver": driver, "allow": ["::1"]}}
    assert Config.model_validate(tables).check() == [
        f"firewall.allow = ['::1/128']: driver = \"{driver}\" lets everybody in; "
        'use "nftables", or leave it out'
    ]


@pytest.mark.parametrize(
    ("peer", "warned"), [("10.0.0.2", False), ("10.1.0.2", True), ("b.example", False)]
)
def test_a_list_without_the_other_origin_is_a_warning(
    tmp_path: Path, peer: str, warned: bool
) -> None:
    commands = {f"{action}_command": ["true"] for action in ("open", "close", "verify")}
    tables = {
        "node": {"id": "A"},
        "apps": {"directory": str(tmp_path)},
        "firewall": {"driver": "command", "allow": ["10.0.0.0/24"], **commands},
        "failover": {"peer_admin": f"{peer}:1112"},
    }
    fix = f"lacks the other origin ({peer}), whose probes of this port fail; add it"
    said = Config.model_validate(tables).check()
    assert said == ([f"firewall.allow = ['10.0.0.0/24']: {fix}"] if warned else [])


def test_what_a_driver_misses_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    apps = {"directory": str(tmp_path)}
    tables = {"node": {"id": "A"}, "apps": apps, "firewall": {"driver": "command"}}
    with pytest.raises(WrongConfig) as wrong:
        Config.model_validate(tables).check()
    assert [error.key for error in wrong.value.errors] == [
        "firewall.open_command",
        "firewall.close_command",
        "firewall.verify_command",
    ]
