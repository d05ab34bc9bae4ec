"""What is given to iptables-restore, and what is read in `iptables -S`."""

from __future__ import annotations

import pytest

from rtmp_sync.firewalls.iptables_rules import CHAIN_NAME_MAX, Rules

V4 = Rules(4, "A", [("0.0.0.0", 1935)], ["10.0.0.0/8", "fd77::2"])
V6 = Rules(6, "A", [("0.0.0.0", 1935)], ["10.0.0.0/8", "fd77::2"])

JUMP = "-A INPUT -p tcp -m tcp --dport 1935 -j rtmp-sync-A-1935"
CLOSED = [
    "-A rtmp-sync-A-1935 -i lo -j RETURN",
    "-A rtmp-sync-A-1935 -p tcp -j REJECT --reject-with tcp-reset",
]
OPEN = [CLOSED[0], "-A rtmp-sync-A-1935 -s 10.0.0.0/8 -j RETURN", CLOSED[1]]


def listing(*rules: str) -> str:
    return "\n".join(["-P INPUT ACCEPT", "-N rtmp-sync-A-1935", *rules, ""])


def test_a_chain_bears_the_node_and_the_port_as_long_as_its_name_may_be() -> None:
    assert V4.chain == "rtmp-sync-A-1935"
    long = [Rules(4, f"{'x' * 60}{number}", [("0.0.0.0", 65535)]).chain for number in (1, 2)]
    assert long[0] != long[1]
    assert all(len(name) <= CHAIN_NAME_MAX for name in long)


def test_the_first_time_the_chain_is_made_and_jumped_to_before_all_others() -> None:
    assert V4.replace("-P INPUT ACCEPT\n", is_open=True).splitlines() == [
        "*filter",
        ":rtmp-sync-A-1935 - [0:0]",
        *OPEN,
        "-I INPUT 1 -p tcp -m tcp --dport 1935 -j rtmp-sync-A-1935",
        "COMMIT",
    ]


def test_a_jump_that_is_in_its_place_stays_there() -> None:
    assert V4.replace(listing(JUMP, *OPEN), is_open=False).splitlines() == [
        "*filter",
        ":rtmp-sync-A-1935 - [0:0]",
        *CLOSED,
        "COMMIT",
    ]


def test_jumps_behind_the_rules_of_others_are_moved_before_them() -> None:
    text = V4.replace(listing("-A INPUT -j ACCEPT", JUMP, JUMP, *OPEN), is_open=False)
    assert text.splitlines()[-4:] == [
        JUMP.replace("-A INPUT", "-D INPUT"),
        JUMP.replace("-A INPUT", "-D INPUT"),
        JUMP.replace("-A INPUT", "-I INPUT 1"),
        "COMMIT",
    ]


def test_another_nodes_gate_may_come_first() -> None:
    other = "-A INPUT -p tcp -m tcp --dport 1945 -j rtmp-sync-B-1945"
    assert V4.states(listing(other, JUMP, *OPEN)) == {"open"}


@pytest.mark.parametrize(
    ("rules", "states"),
    [
        ([JUMP, *OPEN], {"open"}),
        ([JUMP, *CLOSED], {"closed"}),
        ([], set()),
        ([JUMP], set()),
        (OPEN, set()),
        (["-A INPUT -j ACCEPT", JUMP, *OPEN], set()),
        ([JUMP, OPEN[0], OPEN[2], OPEN[1]], set()),
        ([JUMP, "-A rtmp-sync-A-1935 -j ACCEPT", *CLOSED], set()),
    ],
)
def test_the_state_is_read_off_the_rules(rules: list[str], states: set[str]) -> None:
    assert V4.states(listing(*rules)) == states


def test_each_family_has_the_addresses_of_its_own() -> None:
    assert "-s fd77::2/128 -j RETURN" in V6.replace("", is_open=True)
    assert "10.0.0.0" not in V6.replace("", is_open=True)


def test_a_family_without_addresses_looks_the_same_open_and_closed() -> None:
    rules = Rules(6, "A", [("0.0.0.0", 1935)], ["10.0.0.0/8"])
    assert rules.states(listing(JUMP, *CLOSED)) == {"open", "closed"}


@pytest.mark.parametrize("allow", [(), ("0.0.0.0/0",)])
def test_everybody_is_no_address(allow: tuple[str, ...]) -> None:
    rules = Rules(4, "A", [("0.0.0.0", 1935)], allow)
    everybody = "-A rtmp-sync-A-1935 -j RETURN"
    assert everybody in rules.replace("", is_open=True).splitlines()
    assert everybody not in rules.replace("", is_open=False).splitlines()


def test_only_the_address_that_is_listened_on_is_filtered() -> None:
    text = Rules(4, "A", [("10.0.0.1", 1935)]).replace("", is_open=False)
    assert "-I INPUT 1 -d 10.0.0.1/32 -p tcp -m tcp --dport 1935 -j" in text
    text = Rules(6, "A", [("fd77::1", 1935)]).replace("", is_open=False)
    assert "-I INPUT 1 -d fd77::1/128 -p tcp -m tcp --dport 1935 -j" in text


def test_everything_is_removed_or_nothing_is_there() -> None:
    assert V4.remove(listing(JUMP, *OPEN)).splitlines() == [
        "*filter",
        JUMP.replace("-A INPUT", "-D INPUT"),
        ":rtmp-sync-A-1935 - [0:0]",
        "-X rtmp-sync-A-1935",
        "COMMIT",
    ]
    assert V4.remove("-P INPUT ACCEPT\n") == ""


BOTH = [("0.0.0.0", 1935), ("10.0.0.1", 8080)]
HTTP_JUMP = "-A INPUT -d 10.0.0.1/32 -p tcp -m tcp --dport 8080 -j rtmp-sync-A-1935"


def test_a_second_port_jumps_to_the_same_chain() -> None:
    rules = Rules(4, "A", BOTH, ["10.0.0.0/8"])
    assert rules.replace("-P INPUT ACCEPT\n", is_open=True).splitlines()[-3:-1] == [
        JUMP.replace("-A INPUT", "-I INPUT 1"),
        HTTP_JUMP.replace("-A INPUT", "-I INPUT 1"),
    ]
    assert rules.states(listing(HTTP_JUMP, JUMP, *OPEN)) == {"open"}
    assert rules.states(listing(JUMP, *OPEN)) == set()
    assert rules.states(listing(JUMP, "-A INPUT -j ACCEPT", HTTP_JUMP, *OPEN)) == set()
    removed = rules.remove(listing(HTTP_JUMP, JUMP, *OPEN)).splitlines()
    assert {one.replace("-A", "-D", 1) for one in (JUMP, HTTP_JUMP)} <= set(removed)


def test_an_address_of_the_other_family_has_no_jump() -> None:
    assert "8080" not in Rules(6, "A", BOTH).replace("", is_open=True)
