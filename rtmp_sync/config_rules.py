"""Rules between configuration keys: what can be told without looking at any file."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING

from rtmp_sync.config_errors import NOT_GIVEN
from rtmp_sync.errors import ConfigError

if TYPE_CHECKING:
    from rtmp_sync.cluster.timing import Timing
    from rtmp_sync.cluster.view import Policy
    from rtmp_sync.config import Config

__all__ = ["broken_rules", "policy_of", "timing_of"]

# Timing fields that [failover] may override; replication.ack_timeout is the one elsewhere.
TIMING_KEYS = (
    "probe_interval",
    "probe_deadline",
    "fall",
    "rise",
    "t_conf",
    "margin",
    "hb_interval",
    "ttl",
    "renew_interval",
    "guard_interval",
    "guard_deadline",
)

TLS_KEYS = ("tls_certificate", "tls_key", "tls_ca")
RTMPS_KEYS = ("tls_listen", "tls_certificate", "tls_key")


def broken_rules(config: Config) -> list[ConfigError]:
    """Every rule that the configuration violates."""
    return [
        *_pair_is_complete(config),
        *_coordinator_has_its_store(config),
        *_etcd_keys_fit(config),
        *_admin_is_complete(config),
        *_addresses_differ(config),
        *_peer_is_another(config),
        *_mode_fits(config),
        *_link_keys_fit(config),
        *_rtmps_keys_fit(config),
        *_http_keys_fit(config),
        *(ConfigError(key, value, fix) for key, value, fix in timing_of(config).violations()),
    ]


def policy_of(config: Config) -> Policy:
    """The choices of [failover] and [replication]; "never" is an infinite wait."""
    from rtmp_sync.cluster.view import Policy

    failover = config.failover
    alone = failover.cold_start_alone
    return Policy(
        mode=config.replication.mode,
        promote_lag_max=failover.promote_lag_max,
        cold_start_alone=alone if isinstance(alone, float) else math.inf,
        guard_lost=failover.guard_lost,
        drain_seconds=failover.drain_seconds,
        failsafe=failover.failsafe,
        lb_path=failover.lb_path,
    )


def timing_of(config: Config) -> Timing:
    """The profile's numbers, overridden by those that the file gives."""
    from dataclasses import replace

    from rtmp_sync.cluster.timing import PROFILES

    given = {key: getattr(config.failover, key) for key in TIMING_KEYS}
    given["ack_timeout"] = config.replication.ack_timeout
    overrides = {key: value for key, value in given.items() if value is not None}
    return replace(PROFILES[config.failover.profile], **overrides)


def _pair_is_complete(config: Config) -> Iterator[ConfigError]:
    if not config.is_pair:
        return
    replication, failover = config.replication, config.failover
    needed = {
        "replication.peer": (replication.peer, "give the other origin's replication host:port"),
        "replication.secret_file": (
            replication.secret_file,
            "give a file with the secret that both origins share",
        ),
        "failover.peer_admin": (
            failover.peer_admin,
            "give the host:port of the other origin's health listener",
        ),
        "admin.user": (config.admin.user, "a pair needs it, the same on both origins"),
        "admin.password_file": (
            config.admin.password_file,
            "a pair needs it, the same on both origins",
        ),
    }
    for key, (value, fix) in needed.items():
        if value is None:
            yield ConfigError(key, NOT_GIVEN, fix)
    if config.coordinator == "none":
        fix = (
            "a pair needs one: give failover.pair_file, the file that both origins mount, or "
            "failover.etcd and failover.nodes"
        )
        yield ConfigError("failover.coordinator", "none", fix)


def _coordinator_has_its_store(config: Config) -> Iterator[ConfigError]:
    failover = config.failover
    if config.coordinator == "file" and failover.pair_file is None:
        fix = "give the path of the pair file"
        yield ConfigError("failover.pair_file", NOT_GIVEN, fix)
    if failover.coordinator is None and failover.pair_file is not None and failover.etcd:
        fix = 'the record lives in one place: say "file" or "etcd", or give only one of the two'
        yield ConfigError("failover.coordinator", NOT_GIVEN, fix)
    if config.coordinator != "etcd":
        return
    if not failover.etcd:
        fix = 'give the client addresses of the etcd members, for example ["10.0.0.1:2379"]'
        yield ConfigError("failover.etcd", NOT_GIVEN, fix)
    names = {node.casefold() for node in failover.nodes}
    if len(failover.nodes) != 2 or len(names) != 2:
        fix = "give the two node ids in slot order, the same on both origins"
        yield ConfigError("failover.nodes", failover.nodes or NOT_GIVEN, fix)
    elif config.node.id.casefold() not in names:
        fix = f"must be one of failover.nodes ({', '.join(failover.nodes)})"
        yield ConfigError("node.id", config.node.id, fix)


def _etcd_keys_fit(config: Config) -> Iterator[ConfigError]:
    failover = config.failover
    needs = (
        ("etcd_certificate", "etcd_key", "a certificate needs its key"),
        ("etcd_key", "etcd_certificate", "a key needs its certificate"),
        ("etcd_certificate", "etcd_ca", "give the authority of the etcd members' certificates"),
        ("etcd_user", "etcd_password_file", "a user needs a password file"),
        ("etcd_password_file", "etcd_user", "a password needs a user name"),
    )
    for given, needed, fix in needs:
        if getattr(failover, given) is not None and getattr(failover, needed) is None:
            yield ConfigError(f"failover.{needed}", NOT_GIVEN, fix)


def _admin_is_complete(config: Config) -> Iterator[ConfigError]:
    admin = config.admin
    if config.is_pair or (admin.user is None) == (admin.password_file is None):
        return  # a pair's missing keys are already named
    if admin.user is None:
        yield ConfigError("admin.user", NOT_GIVEN, "a password needs a user name")
    else:
        yield ConfigError("admin.password_file", NOT_GIVEN, "a user needs a password file")


def _addresses_differ(config: Config) -> Iterator[ConfigError]:
    listeners = {
        **config.public_by_key,
        "admin.listen": config.admin.listen,
        "health.listen": config.health.listen,
    }
    if config.is_pair:
        listeners["replication.listen"] = config.replication.listen
    for (first, one), (second, other) in combinations(listeners.items(), 2):
        if one.collides_with(other):
            fix = f"{first} ({one}) takes the same port; give another one"
            yield ConfigError(second, str(other), fix)


def _peer_is_another(config: Config) -> Iterator[ConfigError]:
    dialled = (
        ("replication.peer", config.replication.peer, "replication", config.replication.listen),
        ("failover.peer_admin", config.failover.peer_admin, "health", config.health.listen),
        ("failover.peer_rtmp", config.failover.peer_rtmp, "rtmp", config.rtmp.listen),
    )
    for key, address, section, listen in dialled:
        if address is not None and address.reaches(listen):
            fix = f"this is the origin's own {section}.listen; give the other origin's address"
            yield ConfigError(key, str(address), fix)


def _mode_fits(config: Config) -> Iterator[ConfigError]:
    if config.replication.mode == "async" and config.failover.promote_lag_max is None:
        fix = (
            "mode async needs it: the number of Changes that may be lost at a takeover, "
            "for example 1000"
        )
        yield ConfigError("failover.promote_lag_max", NOT_GIVEN, fix)


def _link_keys_fit(config: Config) -> Iterator[ConfigError]:
    replication = config.replication
    if replication.secret_file_old is not None and replication.secret_file is None:
        fix = "give the file with the new secret; secret_file_old only adds the one before"
        yield ConfigError("replication.secret_file", NOT_GIVEN, fix)
    given = {name: getattr(replication, name) for name in TLS_KEYS}
    if any(given.values()) and not all(given.values()):
        fix = "TLS of the link needs tls_certificate, tls_key and tls_ca together; give it too"
        for name, value in given.items():
            if value is None:
                yield ConfigError(f"replication.{name}", NOT_GIVEN, fix)


def _rtmps_keys_fit(config: Config) -> Iterator[ConfigError]:
    rtmp = config.rtmp
    given = {name: getattr(rtmp, name) for name in RTMPS_KEYS}
    if any(given.values()) or rtmp.tls_names:
        fix = "RTMPS needs tls_listen, tls_certificate and tls_key together; give it too"
        for name, value in given.items():
            if value is None:
                yield ConfigError(f"rtmp.{name}", NOT_GIVEN, fix)


def _http_keys_fit(config: Config) -> Iterator[ConfigError]:
    http = config.http
    if http.tls_certificate is not None and http.tls_key is None:
        yield ConfigError("http.tls_key", NOT_GIVEN, "a certificate needs its key")
    if http.tls_key is not None and http.tls_certificate is None:
        yield ConfigError("http.tls_certificate", NOT_GIVEN, "a key needs its certificate")
