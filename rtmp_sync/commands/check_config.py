"""`config check`: says what is wrong with a configuration, or that nothing is."""

from __future__ import annotations

from pathlib import Path

from rtmp_sync.commands import terminal
from rtmp_sync.config import Config, ConfigError, WrongConfig, load_config
from rtmp_sync.plugins import load_applications
from rtmp_sync.server.whitelists import check_whitelists

__all__ = ["check_config"]


def check_config(path: Path, *, as_json: bool) -> int:
    """Returns 0 when an origin would start with it, else 2."""
    warnings: list[str] = []
    environment: str | None = None
    wrong: WrongConfig | None = None
    try:
        config = load_config(path)
        environment = config.node.environment
        warnings = config.check()
        loaded = load_applications(config.apps.directory)
        check_whitelists(config, {name: one.application for name, one in loaded.items()})
    except WrongConfig as error:
        wrong = error
    except ConfigError as error:
        wrong = WrongConfig([error])
    if as_json:
        errors = [
            {"key": error.key, "value": _plain(error.value), "fix": error.fix}
            for error in (wrong.errors if wrong else ())
        ]
        found = {"ok": wrong is None, "errors": errors, "warnings": warnings}
        terminal.print_json({**found, "environment": environment})
        return 2 if wrong else 0
    for warning in warnings:
        terminal.print_error(f"warning: {warning}")
    if wrong is not None:
        raise wrong
    terminal.console().print(f"{path}: good{_in_force(config)}", markup=False)
    return 0


def _in_force(config: Config) -> str:
    """Which environment it is good in."""
    if config.node.environment:
        return f", in the environment {config.node.environment}"
    known = ", ".join(config.environments)
    return f", and none of its environments ({known}) is in force" if known else ""


def _plain(value: object) -> object:
    """The value as JSON has it; others as they are printed."""
    return value if isinstance(value, str | int | float | bool | list) else repr(value)
