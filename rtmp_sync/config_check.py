"""What `config check` looks at outside the file: secrets, pair file, folders, drivers."""

from __future__ import annotations

import ipaddress
import socket
import stat
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from rtmp_sync.config_errors import nearest
from rtmp_sync.errors import ConfigError
from rtmp_sync.server import descriptors
from rtmp_sync.server.networks import Networks

if TYPE_CHECKING:
    from rtmp_sync.config import Config

__all__ = ["check_files"]

SECRET_BYTES_MIN = 16  # what it keys is truncated to 16 bytes: less would be its weak point
PASSWORD_BYTES_SHORT = 8
ETCD_PATIENCE_SECONDS = 1.0  # to connect to each member

_GATES_FOR_ALL = ("listener", "none")  # while open

_PACKAGE = Path(__file__).parent
_NOT_DRIVERS = {"__init__", "base"}


class _Findings:
    """Collects, so that one run names everything."""

    def __init__(self) -> None:
        self.errors: list[ConfigError] = []
        self.warnings: list[str] = []

    def error(self, key: str, value: object, fix: str) -> None:
        self.errors.append(ConfigError(key, value, fix))

    def warn(self, key: str, value: object, fix: str) -> None:
        self.warnings.append(str(ConfigError(key, value, fix)))


def check_files(config: Config, *, store: bool) -> tuple[list[ConfigError], list[str]]:
    """Returns (errors, warnings) about what the configuration points at."""
    findings = _Findings()
    _check_secrets(config, findings)
    _check_tls(config, findings)
    _check_etcd(config, findings)
    _check_public_tls(config, findings)
    _check_relays(config, findings)
    if store:
        _check_pair_file(config, findings)
        _check_etcd_members(config, findings)
    _check_drivers(config, findings)
    _check_folders(config, findings)
    _check_proxies(config, findings)
    _check_addresses(config, findings)
    _check_commands(config, findings)
    _check_descriptors(config, findings)
    return findings.errors, findings.warnings


def _check_secrets(config: Config, findings: _Findings) -> None:
    for name in ("secret_file", "secret_file_old"):
        if (path := getattr(config.replication, name)) is not None:
            size = _secret_size(f"replication.{name}", path, findings)
            if size is not None and size < SECRET_BYTES_MIN:
                fix = f"holds {size} bytes; make it at least {SECRET_BYTES_MIN} random ones"
                findings.error(f"replication.{name}", str(path), fix)
    if (path := config.admin.password_file) is not None:
        size = _secret_size("admin.password_file", path, findings)
        if size == 0:
            findings.error("admin.password_file", str(path), "is empty; write a password into it")
        elif size is not None and size < PASSWORD_BYTES_SHORT:
            fix = f"the password is short; use at least {PASSWORD_BYTES_SHORT} characters"
            findings.warn("admin.password_file", str(path), fix)
    if (path := config.admin.tokens_file) is not None:
        _check_tokens(path, findings)


def _check_tokens(path: Path, findings: _Findings) -> None:
    from rtmp_sync.admin.tokens import KEY, Tokens

    if _secret_size(KEY, path, findings) is None:
        return
    try:
        Tokens(path)
    except ConfigError as error:
        findings.errors.append(error)


def _secret_size(key: str, path: Path, findings: _Findings) -> int | None:
    """Length of the secret in bytes; None when it cannot be read."""
    try:
        content = path.read_bytes().strip()
        mode = path.stat().st_mode
    except OSError as error:
        fix = f"cannot be read ({error.strerror}); create it with mode 0600"
        findings.error(key, str(path), fix)
        return None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        fix = f"others may read it (mode {stat.S_IMODE(mode):04o}); chmod 600 it"
        findings.warn(key, str(path), fix)
    return len(content)


def _check_tls(config: Config, findings: _Findings) -> None:
    from rtmp_sync.config_tls import check_link_tls

    try:
        warning = check_link_tls(config.replication)
    except ConfigError as error:
        findings.errors.append(error)
    else:
        if warning is not None:
            findings.warnings.append(warning)


def _check_public_tls(config: Config, findings: _Findings) -> None:
    from rtmp_sync.config_public_tls import public_tls

    for section in (config.rtmp, config.http):
        if (tls := public_tls(section)) is None:
            continue
        try:
            tls.load()
        except ConfigError as error:
            findings.errors.append(error)
        else:
            findings.warnings += tls.warnings()


def _check_relays(config: Config, findings: _Findings) -> None:
    from rtmp_sync.config_tls import PemFile, server_tls

    for name in config.apps.configured:
        for relay in config.apps.section(name).relays:
            if relay.ca is not None:
                try:
                    server_tls(PemFile(f"apps.{name}.relays.ca", relay.ca))
                except ConfigError as error:
                    findings.errors.append(error)


def _check_etcd(config: Config, findings: _Findings) -> None:
    from rtmp_sync.config_tls import etcd_tls, open_key_warning

    failover = config.failover
    try:
        tls = etcd_tls(failover)
    except ConfigError as error:
        findings.errors.append(error)
    else:
        if tls is not None and failover.etcd_key is not None:
            warning = open_key_warning("failover.etcd_key", failover.etcd_key)
            findings.warnings += [warning] if warning is not None else []
    name = "failover.etcd_password_file"
    if (path := failover.etcd_password_file) is None:
        return
    if _secret_size(name, path, findings) == 0:
        findings.error(name, str(path), "is empty; write the password into it")


def _check_etcd_members(config: Config, findings: _Findings) -> None:
    """A warning each: one that is down now is what the others are for."""
    members = config.failover.etcd if config.coordinator == "etcd" else []
    for address in members:
        try:
            socket.create_connection(address, ETCD_PATIENCE_SECONDS).close()
        except OSError as error:
            fix = f"cannot be reached now ({error.strerror or error}); look whether it runs"
            findings.warn("failover.etcd", str(address), fix)


def _check_pair_file(config: Config, findings: _Findings) -> None:
    path = config.failover.pair_file
    if path is None or config.coordinator != "file":
        return
    from rtmp_sync.cluster.pair_file import parse

    key = "failover.pair_file"
    records = path.with_name(path.name + ".d")
    try:
        content = path.read_bytes()
    except OSError as error:
        # Valid records alone carry a pair whose line was deleted: the origin decides.
        if not isinstance(error, FileNotFoundError) or not records.is_dir():
            fix = f"cannot be read ({error.strerror}); write PRIMARY\\SECONDARY into it"
            findings.error(key, str(path), fix)
        return
    line = parse(content)
    if line is None:
        if not records.is_dir():
            fix = "must hold one line, PRIMARY\\SECONDARY or PRIMARY\\SECONDARY\\secondaryUP"
            findings.error(key, str(path), fix)
        return
    if config.node.id.casefold() not in {name.casefold() for name in line.nodes}:
        fix = f"is not in the pair file {path} ({' and '.join(line.nodes)})"
        findings.error("node.id", config.node.id, fix)


def _check_drivers(config: Config, findings: _Findings) -> None:
    """A driver is a file; its name, one word, is the value."""
    for key, value, folder in (
        ("failover.coordinator", config.coordinator, "coordinators"),
        ("firewall.driver", config.firewall.driver, "firewalls"),
    ):
        known = [path.stem for path in sorted((_PACKAGE / folder).glob("*.py"))]
        known = [name for name in known if name not in _NOT_DRIVERS and "_" not in name]
        if value not in known:
            findings.error(key, value, f"there is no such driver; known: {', '.join(known)}")
        elif folder == "firewalls":
            _check_gate(config, findings)


def _check_gate(config: Config, findings: _Findings) -> None:
    from rtmp_sync.firewalls import check

    findings.errors.extend(check(config))
    firewall, peer = config.firewall, config.failover.peer_admin
    if firewall.allow and firewall.driver in _GATES_FOR_ALL:
        fix = f'driver = "{firewall.driver}" lets everybody in; use "nftables", or leave it out'
        findings.warn("firewall.allow", firewall.allow, fix)
    elif firewall.allow and peer is not None and not _holds(firewall.allow, peer.host):
        fix = f"lacks the other origin ({peer.host}), whose probes of this port fail; add it"
        findings.warn("firewall.allow", firewall.allow, fix)


def _holds(networks: list[str], host: str, *, unknown: bool = True) -> bool:
    """unknown: the answer for a host name, which may be anywhere."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return unknown
    return any(address in ipaddress.ip_network(network) for network in networks)


def _check_folders(config: Config, findings: _Findings) -> None:
    directory = config.apps.directory
    if directory.is_dir():
        known = sorted(path.stem for path in directory.glob("*.py"))
        for name in config.apps.configured:
            if name not in known:
                close = nearest(name, known)
                fix = f"there is no {directory / name}.py" + (
                    f"; did you mean {close}?" if close else ""
                )
                findings.error(f"apps.{name}", name, fix)
    else:
        fix = "there is no such folder; create it or give the one with your applications"
        findings.error("apps.directory", str(directory), fix)
    folders = {"storage.media": config.storage.media}
    folders |= {f"storage.virtual.{name}": path for name, path in config.storage.virtual.items()}
    for key, path in folders.items():
        if path is not None and not path.is_dir():
            findings.error(key, str(path), "there is no such folder; create it")


def _check_descriptors(config: Config, findings: _Findings) -> None:
    """Each client holds a file open."""
    clients = config.rtmp.max_connections
    if config.http.listen is not None:
        clients += config.http.max_connections
    allowed = descriptors.allowed()
    if allowed is not None and clients + descriptors.SPARE > allowed:
        what = f"{clients} clients" if config.http.listen is None else f"{clients} with browsers"
        fix = (
            f"{what} are more than a process may have here: {allowed} open files, of which "
            f"{descriptors.SPARE} are for other things; raise `ulimit -Hn` (systemd: LimitNOFILE), "
            "or allow fewer clients"
        )
        findings.warn("rtmp.max_connections", config.rtmp.max_connections, fix)


def _check_commands(config: Config, findings: _Findings) -> None:
    from rtmp_sync.admin.method import found_methods

    known = list(found_methods())
    for pattern in config.admin.commands:
        if not any(fnmatchcase(name, pattern) for name in known):
            close = nearest(pattern, known)
            fix = f"there is no method {pattern}" + (f"; did you mean {close}?" if close else "")
            findings.warn("admin.commands", config.admin.commands, fix)


def _check_addresses(config: Config, findings: _Findings) -> None:
    """The other origin asks the RTMP port as a client does."""
    rtmp, peer = config.rtmp, config.failover.peer_rtmp
    if peer is None:
        return
    if rtmp.deny and _holds(rtmp.deny, peer.host, unknown=False):
        fix = f"holds the other origin ({peer.host}), whose probes of this port fail; leave it out"
        findings.warn("rtmp.deny", rtmp.deny, fix)
    if rtmp.allow and not _holds(rtmp.allow, peer.host):
        fix = f"lacks the other origin ({peer.host}), whose probes of this port fail; add it"
        findings.warn("rtmp.allow", rtmp.allow, fix)


def _check_proxies(config: Config, findings: _Findings) -> None:
    """Probes of the other origin come without a PROXY header."""
    networks = config.rtmp.proxy_protocol_from
    proxies = Networks(networks)
    peers = (config.replication.peer, config.failover.peer_admin)
    for host in sorted({peer.host for peer in peers if peer is not None and peer.host in proxies}):
        fix = f"holds the other origin ({host}), whose probes send no header; list load balancers"
        findings.warn("rtmp.proxy_protocol_from", networks, fix)
