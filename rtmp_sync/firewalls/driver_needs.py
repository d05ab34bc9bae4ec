"""What drivers ask of the machine and of the configuration, for `config check`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rtmp_sync.errors import ConfigError

if TYPE_CHECKING:
    from rtmp_sync.config import Config

__all__ = ["executable", "fixed_port", "net_admin", "programs"]

CAP_NET_ADMIN = 12  # linux/capability.h


def net_admin(config: Config) -> Iterator[ConfigError]:
    """Root, or the capability."""
    if not _may_filter():
        fix = (
            "needs root or CAP_NET_ADMIN (systemd: AmbientCapabilities=CAP_NET_ADMIN); "
            'give it, or use driver = "listener"'
        )
        yield ConfigError("firewall.driver", config.firewall.driver, fix)


def fixed_port(config: Config) -> Iterator[ConfigError]:
    for key, listen in config.public_by_key.items():
        if listen.port == 0:
            fix = "a packet filter needs a fixed port; give one"
            yield ConfigError(key, str(listen), fix)


def programs(config: Config, package: str, *names: str) -> Iterator[ConfigError]:
    """One error for all that are missing. package: where Debian has them."""
    missing = [name for name in names if not executable(name)]
    if missing:
        fix = f"{', '.join(missing)} not found in PATH; on Debian: apt-get install {package}"
        yield ConfigError("firewall.driver", config.firewall.driver, fix)


def executable(program: str) -> bool:
    """A path, or a name that is found in PATH."""
    return shutil.which(program) is not None


def _may_filter() -> bool:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:  # no Linux: the driver's programs tell
        return os.name != "posix" or os.geteuid() == 0
    effective = next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))
    return bool(effective >> CAP_NET_ADMIN & 1)
