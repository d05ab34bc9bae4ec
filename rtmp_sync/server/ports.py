"""Are the ports free? Asked before anything starts, so that a taken one is one clear line."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping

from rtmp_sync.config_values import Address
from rtmp_sync.errors import ConfigError

__all__ = ["can_bind", "taken_ports"]


def taken_ports(listeners: Mapping[str, Address]) -> list[ConfigError]:
    """An error for each listener (configuration key -> address) that could not listen now."""
    errors = []
    for key, address in listeners.items():
        if (reason := _refusal(address)) is not None:
            errors.append(ConfigError(key, str(address), reason))
    return errors


def can_bind(host: str) -> bool:
    """Whether this machine has the address `host`."""
    return _refusal(Address(host, 0)) is None


def _refusal(address: Address) -> str | None:
    """Why binding fails, as the fix of an error line. Nothing can connect meanwhile."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except PermissionError:
            return "this port needs more rights; give one above 1023"
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return "the port is in use; stop what uses it or give another one"
            return f"cannot listen there ({error.strerror}); give an address of this machine"
    return None
