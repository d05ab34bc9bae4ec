from __future__ import annotations

from dataclasses import replace

import pytest

from rtmp_sync.cluster.timing import DEFAULT, PROFILES


@pytest.mark.parametrize("name", PROFILES)
def test_the_shipped_profiles_keep_every_rule(name: str) -> None:
    assert PROFILES[name].violations() == []


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"hb_interval": 1.0}, "failover.hb_interval"),
        ({"renew_interval": 2.0}, "failover.renew_interval"),
        ({"ack_timeout": 3.0}, "replication.ack_timeout"),
        ({"guard_deadline": 3.0}, "failover.guard_deadline"),
        ({"guard_interval": 0.7}, "failover.guard_interval"),
        ({"probe_deadline": 0.5}, "failover.probe_deadline"),
        ({"ttl": 1.5, "renew_interval": 0.1}, "failover.ttl"),
    ],
)
def test_a_broken_rule_names_the_key_and_its_value(changes: dict[str, float], key: str) -> None:
    timing = replace(DEFAULT, **changes)
    found = {name: (value, fix) for name, value, fix in timing.violations()}
    assert set(found) == {key}
    assert found[key][0] == changes[key.partition(".")[2]]
    assert found[key][1]


def test_a_promise_binds_for_longer_than_an_authority_lasts() -> None:
    for timing in PROFILES.values():
        assert timing.binding == timing.t_conf + timing.margin
