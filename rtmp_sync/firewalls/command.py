"""The operator's own commands: a cloud's security group, a BIG-IP pool member, a switch's ACL.

`firewall.open_command`, `close_command` and `verify_command` are run with these variables added to
their environment:

    RTMP_SYNC_ACTION   "open", "close" or "verify"
    RTMP_SYNC_NODE     node.id
    RTMP_SYNC_EPOCH    the epoch that is opened; 0 as long as this process opened none
    RTMP_SYNC_HOST     host and port of rtmp.listen
    RTMP_SYNC_PORT
    RTMP_SYNC_TLS_HOST   the same of rtmp.tls_listen; empty without it
    RTMP_SYNC_TLS_PORT
    RTMP_SYNC_HTTP_HOST  … of http.listen
    RTMP_SYNC_HTTP_PORT
    RTMP_SYNC_ALLOW    firewall.allow, with spaces between

Exit codes: `open` and `close` 0 when it is done, another one when it is not; `verify` 0 open,
1 closed, another one not known. What a failing command says last is in the alarm. A command that
takes more than `command_deadline` is killed with all that it started. The same command may be run
twice, and `close` also when nothing was opened. The listener closes at once, whatever the
command does; the origin releases the service only when `verify` says that it is closed.

No dead man's switch, unless the operator's system has one. docs/samples has examples.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rtmp_sync.config_errors import NOT_GIVEN
from rtmp_sync.errors import ConfigError
from rtmp_sync.firewalls.base import GateState, Report
from rtmp_sync.firewalls.driver_needs import executable
from rtmp_sync.firewalls.listener import ListenerGate
from rtmp_sync.firewalls.packet_filter import READINGS, FilterGate
from rtmp_sync.firewalls.run_program import Run, run_program

if TYPE_CHECKING:
    from rtmp_sync.config import Config

__all__ = ["CommandFilter", "check", "make", "make_closer"]

ACTIONS = ("open", "close", "verify")
STATES: Mapping[int, GateState] = {0: "open", 1: "closed"}


class CommandFilter:
    """A PacketFilter (packet_filter.py), and a Closer (base.py)."""

    lapses = False

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        variables: Mapping[str, str],
        *,
        deadline_seconds: float,
        verify_seconds: float,
        run: Run = run_program,
    ) -> None:
        """commands: of each of ACTIONS. verify_seconds: between two readings."""
        self.fresh_seconds = READINGS * verify_seconds
        self._commands = commands
        self._variables = variables
        self._deadline_seconds = deadline_seconds
        self._run = run
        self._epoch = 0

    async def open(self, epoch: int, until: float) -> None:
        self._epoch = epoch
        await self._do("open")

    async def close(self) -> None:
        await self._do("close")

    async def verify(self) -> GateState:
        code = await self._do("verify", known=STATES)
        return STATES[code]

    async def remove(self) -> None:
        """Nothing else is known of it than that it must not stay open."""
        await self._do("close")

    def hold(self, until: float) -> None:
        """Nothing closes by itself."""

    async def _do(self, action: str, known: Container[int] = (0,)) -> int:
        """The exit code. known: all others are failures."""
        own = {"RTMP_SYNC_ACTION": action, "RTMP_SYNC_EPOCH": str(self._epoch)}
        ran = await self._run(
            self._commands[action],
            deadline_seconds=self._deadline_seconds,
            variables={**self._variables, **own},
        )
        if ran.code not in known:
            raise OSError(f"{action}_command: {ran.complaint}")
        return ran.code


def _commands(config: Config) -> dict[str, list[str]]:
    return {action: getattr(config.firewall, f"{action}_command") for action in ACTIONS}


def _filter(config: Config) -> CommandFilter:
    host, port = config.rtmp.listen
    tls_host, tls_port = config.rtmp.tls_listen or ("", "")
    http_host, http_port = config.http.listen or ("", "")
    variables = {
        "RTMP_SYNC_NODE": config.node.id,
        "RTMP_SYNC_HOST": host,
        "RTMP_SYNC_PORT": str(port),
        "RTMP_SYNC_TLS_HOST": tls_host,
        "RTMP_SYNC_TLS_PORT": str(tls_port),
        "RTMP_SYNC_HTTP_HOST": http_host,
        "RTMP_SYNC_HTTP_PORT": str(http_port),
        "RTMP_SYNC_ALLOW": " ".join(config.firewall.allow),
    }
    return CommandFilter(
        _commands(config),
        variables,
        deadline_seconds=config.firewall.command_deadline,
        verify_seconds=config.firewall.verify_interval,
    )


def make(config: Config, listener: ListenerGate, report: Report) -> FilterGate:
    return FilterGate(listener, _filter(config), report)


def make_closer(config: Config) -> CommandFilter:
    return _filter(config)


def check(config: Config) -> Iterator[ConfigError]:
    for action, command in _commands(config).items():
        key = f"firewall.{action}_command"
        if not command:
            fix = 'driver "command" needs it: ["/path/of/program", "argument", …]'
            yield ConfigError(key, NOT_GIVEN, fix)
        elif not executable(command[0]):
            fix = f"{command[0]} cannot be run; give an executable file's path"
            yield ConfigError(key, command, fix)
