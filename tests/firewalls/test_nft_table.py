"""What is said to nft, and what is read in its answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rtmp_sync.firewalls.nft_table import Table

TABLE = Table("A", [("0.0.0.0", 1935)], ["10.0.0.0/8", "fd77::2"])


def answer(*objects: dict[str, Any], switch: list[Any] | None = None, rules: int = 5) -> str:
    """As `nft -j list table` prints it."""
    opened: dict[str, Any] = {"name": "open", "flags": ["timeout"]}
    if switch is not None:
        opened["elem"] = switch
    return json.dumps(
        {
            "nftables": [
                {"metainfo": {"version": "1.0.6"}},
                {"table": {"name": "rtmp_sync_A_1935"}},
                {"set": opened},
                {"chain": {"name": "input", "hook": "input"}},
                *({"rule": {"handle": number}} for number in range(rules)),
                *objects,
            ]
        }
    )


OPEN = [{"elem": {"val": 1935, "timeout": 1, "expires": 0}}]


def test_a_table_bears_the_node_and_the_port() -> None:
    assert TABLE.name == "rtmp_sync_A_1935"
    assert Table("a-b_c.d", [("::", 80)]).name == "rtmp_sync_a_2db_5fc_2ed_80"


def test_the_whole_table_is_replaced_at_once() -> None:
    assert TABLE.replace(1000).splitlines() == [
        "add table inet rtmp_sync_A_1935",
        "delete table inet rtmp_sync_A_1935",
        "table inet rtmp_sync_A_1935 {",
        "  set open { type inet_service; flags timeout; elements = { 1935 timeout 1000ms } }",
        "  set allow4 { type ipv4_addr; flags interval; auto-merge; elements = { 10.0.0.0/8 } }",
        "  set allow6 { type ipv6_addr; flags interval; auto-merge; elements = { fd77::2/128 } }",
        "  chain gate {",
        '    iifname "lo" accept',
        "    tcp dport @open ip saddr @allow4 accept",
        "    tcp dport @open ip6 saddr @allow6 accept",
        "    reject with tcp reset",
        "  }",
        "  chain input {",
        "    type filter hook input priority filter - 10; policy accept;",
        "    tcp dport 1935 jump gate",
        "  }",
        "}",
    ]


def test_a_closed_table_has_an_empty_switch() -> None:
    assert "set open { type inet_service; flags timeout;  }" in TABLE.replace()


def test_without_addresses_everybody_may_come_while_it_is_open() -> None:
    text = Table("A", [("0.0.0.0", 1935)]).replace(1)
    assert "    tcp dport @open accept\n" in text
    assert "@allow" not in text


@pytest.mark.parametrize(
    ("host", "rule"),
    [
        ("10.0.0.1", "ip daddr 10.0.0.1 tcp dport 1935 jump gate"),
        ("fd77::1", "ip6 daddr fd77::1 tcp dport 1935 jump gate"),
        ("::", "    tcp dport 1935 jump gate"),
        ("origin.example", "    tcp dport 1935 jump gate"),
    ],
)
def test_only_the_address_that_is_listened_on_is_filtered(host: str, rule: str) -> None:
    assert rule in Table("A", [(host, 1935)]).replace()


def test_a_refresh_adds_deletes_and_adds_with_a_time_out() -> None:
    assert TABLE.refresh(750).splitlines() == [
        "add element inet rtmp_sync_A_1935 open { 1935 }",
        "delete element inet rtmp_sync_A_1935 open { 1935 }",
        "add element inet rtmp_sync_A_1935 open { 1935 timeout 750ms }",
    ]


@pytest.mark.parametrize(
    ("switch", "is_open"), [(OPEN, True), ([1935], True), ([1936], False), (None, False)]
)
def test_the_port_in_the_switch_tells_whether_it_is_open(
    switch: list[Any] | None, is_open: bool
) -> None:
    assert TABLE.parse(answer(switch=switch)).is_open is is_open


def test_opening_and_refreshing_does_not_alter_a_table() -> None:
    later = [{"elem": {"val": 1935, "timeout": 2, "expires": 1}}]
    contents = {TABLE.parse(answer(switch=switch)).content for switch in (OPEN, later, None)}
    assert len(contents) == 1


def test_what_others_add_alters_a_table() -> None:
    added = {"set": {"name": "mine"}}
    assert TABLE.parse(answer()).content != TABLE.parse(answer(added)).content


@pytest.mark.parametrize("rules", [0, 4, 6])
def test_another_number_of_rules_is_another_table(rules: int) -> None:
    with pytest.raises(ValueError, match="not the one of this gate"):
        TABLE.parse(answer(rules=rules))


def test_an_answer_that_is_not_json_is_refused() -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        TABLE.parse("table inet rtmp_sync_A_1935 {")


TWO = Table("A", [("0.0.0.0", 1935), ("10.0.0.1", 8080)])


def test_a_second_port_goes_with_the_first() -> None:
    text = TWO.replace(1000)
    assert TWO.name == TABLE.name
    assert "elements = { 1935 timeout 1000ms, 8080 timeout 1000ms }" in text
    assert "    tcp dport 1935 jump gate\n    ip daddr 10.0.0.1 tcp dport 8080 jump gate\n" in text
    assert TWO.refresh(750).splitlines()[1:] == [
        "delete element inet rtmp_sync_A_1935 open { 1935, 8080 }",
        "add element inet rtmp_sync_A_1935 open { 1935 timeout 750ms, 8080 timeout 750ms }",
    ]


@pytest.mark.parametrize(("switch", "is_open"), [([1935, 8080], True), (None, False)])
def test_both_ports_in_the_switch_tell_that_it_is_open(
    switch: list[Any] | None, is_open: bool
) -> None:
    assert TWO.parse(answer(switch=switch)).is_open is is_open


def test_a_table_that_is_half_open_is_not_known() -> None:
    with pytest.raises(ValueError, match="half open"):
        TWO.parse(answer(switch=[1935]))
