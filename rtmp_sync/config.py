"""The configuration of one origin: a TOML file, checked before anything starts.

    load_config(path)   reads the file; its shape, and the rules between keys
    Config.check()      looks at the files that it names; returns warnings

Both raise `WrongConfig` with every error found, each one line: key, value and fix.
`Config(node={"id": "A"})` is a complete configuration of a single origin.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError

from rtmp_sync.config_apps import AppSection, AppsSection
from rtmp_sync.config_environments import Environments
from rtmp_sync.config_errors import NOT_GIVEN, WrongConfig, errors_from
from rtmp_sync.config_sections import (
    AccessLogSection,
    AdminSection,
    FailoverSection,
    FirewallSection,
    HealthSection,
    HooksSection,
    HttpSection,
    NodeSection,
    ReplicationSection,
    RtmpSection,
    Section,
    StorageSection,
)
from rtmp_sync.config_values import Address
from rtmp_sync.errors import ConfigError

if TYPE_CHECKING:
    from rtmp_sync.cluster.timing import Timing
    from rtmp_sync.cluster.view import Policy

__all__ = ["Address", "AppSection", "Config", "ConfigError", "WrongConfig", "load_config"]


class Config(Section):
    """Everything that one origin is told: `Config(node={"id": "A"})`, or `load_config` of a file.
    Each table is an attribute and each key one of that; their types, units and defaults are in
    docs/configuration.md. WrongConfig, a ConfigError, for what is not so.

    Source: a TOML file; what FMS's XML files call the same is in `rtmp_sync/fms`.
    """

    node: NodeSection
    rtmp: RtmpSection = RtmpSection()
    http: HttpSection = HttpSection()
    replication: ReplicationSection = ReplicationSection()
    failover: FailoverSection = FailoverSection()
    firewall: FirewallSection = FirewallSection()
    admin: AdminSection = AdminSection()
    health: HealthSection = HealthSection()
    apps: AppsSection = AppsSection()
    storage: StorageSection = StorageSection()
    hooks: HooksSection = HooksSection()
    access_log: AccessLogSection = AccessLogSection()
    environments: dict[str, dict[str, Any]] = Field(
        default={},
        description="`[environments.NAME]` holds the same tables again. The one that "
        "`node.environment` names, or the variable `RTMP_SYNC_ENVIRONMENT`, is laid over the rest: "
        "tables key by key, lists as a whole. A name without a table is an error. "
        "`config show` prints what comes of it.",
    )
    application_object: dict[str, Any] = Field(
        default={},
        description="Free keys (`dept_name`, `server_name`, `env_name`, …) that applications "
        "read as `app.config`.",
    )

    @property
    def is_pair(self) -> bool:
        """This origin has a partner; a single origin has none and is always active."""
        return self.coordinator != "none" or self.replication.peer is not None

    @property
    def coordinator(self) -> str:
        """`failover.coordinator`, or what follows from the other keys."""
        if self.failover.coordinator is not None:
            return self.failover.coordinator
        if self.failover.etcd:
            return "etcd"
        return "file" if self.failover.pair_file is not None else "none"

    @property
    def public(self) -> list[Address]:
        """Where clients connect: what the gate opens and closes, the RTMP port first."""
        return list(self.public_by_key.values())

    @property
    def public_by_key(self) -> dict[str, Address]:
        """The same by the keys that give them."""
        others = {"rtmp.tls_listen": self.rtmp.tls_listen, "http.listen": self.http.listen}
        given = {key: listen for key, listen in others.items() if listen is not None}
        return {"rtmp.listen": self.rtmp.listen, **given}

    def timing(self) -> Timing:
        """The numbers of `failover.profile` with the overrides of this file."""
        from rtmp_sync.config_rules import timing_of

        return timing_of(self)

    def policy(self) -> Policy:
        """What the operator chose for the failover machine."""
        from rtmp_sync.config_rules import policy_of

        return policy_of(self)

    def secrets(self) -> list[bytes]:
        """The pair's shared secret, and the one before while it is replaced; without
        surrounding white space. Raises ConfigError."""
        replication = self.replication
        secrets = [_read_secret("replication.secret_file", replication.secret_file)]
        if replication.secret_file_old is not None:
            old = _read_secret("replication.secret_file_old", replication.secret_file_old)
            secrets.append(old)
        return secrets

    def password(self) -> str:
        """The password of `admin.user`; raises ConfigError."""
        return _read_password("admin.password_file", self.admin.password_file)

    def etcd_password(self) -> str:
        """The password of `failover.etcd_user`; raises ConfigError."""
        return _read_password("failover.etcd_password_file", self.failover.etcd_password_file)

    def check(self, *, store: bool = True) -> list[str]:
        """Look at everything outside the file that it names.

        store: also at the pair file, which may be on a NAS that hangs.
        Returns warnings, one line each; raises WrongConfig with all errors.
        """
        from rtmp_sync.config_check import check_files
        from rtmp_sync.config_rules import broken_rules

        errors, warnings = check_files(self, store=store)
        errors = [*broken_rules(self), *errors]
        if errors:
            raise WrongConfig(errors)
        return warnings


def load_config(path: str | Path, variables: Mapping[str, str] = os.environ) -> Config:
    """Read a configuration file; raises WrongConfig.

    Relative paths in it count from the file's own folder. variables: of which RTMP_SYNC_ENVIRONMENT
    may choose one of its environments.
    """
    path = Path(path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        fix = f"cannot be read ({error.strerror}); give the path of a TOML file"
        raise WrongConfig([ConfigError("--config", str(path), fix)]) from None
    except UnicodeDecodeError:
        fix = "is not UTF-8; save it as UTF-8"
        raise WrongConfig([ConfigError("--config", str(path), fix)]) from None
    except tomllib.TOMLDecodeError as error:
        fix = f"is not valid TOML: {error}"
        raise WrongConfig([ConfigError("--config", str(path), fix)]) from None
    # Present, so that their default paths count from the file, too.
    environments = Environments({"apps": {}, "storage": {}} | data, variables)
    config = _understood(environments, environments.in_force, path)
    errors = [] if isinstance(config, Config) else config
    for name in environments.others:
        other = _understood(environments, name, path)
        if not isinstance(other, Config):
            errors += [one for one in other if one.key.startswith(f"environments.{name}.")]
    if errors or not isinstance(config, Config):
        raise WrongConfig(errors)
    return config


def _understood(environments: Environments, name: str, path: Path) -> Config | list[ConfigError]:
    """The file `path` in one environment, or what is wrong with it."""
    from rtmp_sync.config_rules import broken_rules

    context = {"directory": path.absolute().parent}
    try:
        config = Config.model_validate(environments.laid_over(name), context=context)
    except ValidationError as error:
        errors = errors_from(error, Config)
    else:
        if not (errors := broken_rules(config)):
            return config
    return list(environments.blamed(name, errors))


def _read_password(key: str, path: Path | None) -> str:
    secret = _read_secret(key, path)
    try:
        return secret.decode()
    except UnicodeDecodeError:
        raise ConfigError(key, str(path), "the password must be UTF-8 text") from None


def _read_secret(key: str, path: Path | None) -> bytes:
    if path is None:
        raise ConfigError(key, NOT_GIVEN, "give the path of the file")
    try:
        return path.read_bytes().strip()
    except OSError as error:
        fix = f"cannot be read ({error.strerror}); create it with mode 0600"
        raise ConfigError(key, str(path), fix) from None
