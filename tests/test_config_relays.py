"""Relays in a configuration."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from rtmp_sync import Config


def config(relay: dict[str, Any]) -> Config:
    return Config.model_validate({"node": {"id": "A"}, "apps": {"live": {"relays": [relay]}}})


def test_a_relay_goes_one_way() -> None:
    (relay,) = config({"push": "rtmp://host:1936/app/instance"}).apps.section("live").relays
    assert relay.push == "rtmp://host:1936/app/instance"
    assert (relay.streams, relay.instances, relay.linger) == (["*"], ["_definst_"], 10.0)
    both = {"push": "rtmp://host/app", "pull": "rtmp://host/app"}
    for wrong in ({}, both):
        with pytest.raises(ValidationError, match="either `push` or `pull`"):
            config(wrong)


def test_an_authority_is_for_an_encrypted_relay() -> None:
    (relay,) = config({"pull": "rtmps://host/app", "ca": "/ca.pem"}).apps.section("live").relays
    assert str(relay.ca) == "/ca.pem"
    with pytest.raises(ValidationError, match="`rtmps:`"):
        config({"pull": "rtmp://host/app", "ca": "/ca.pem"})


@pytest.mark.parametrize("url", ["http://host/app", "rtmp://host", "rtmp:///app", "host/app"])
def test_an_address_without_application_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match=r"rtmps\?://"):
        config({"pull": url})
