"""The server as a whole: whether it is well, what it uses, what it moved."""

from __future__ import annotations

import os
import time
from datetime import datetime
from typing import Annotated, Final

from rtmp_sync.admin import facts, process
from rtmp_sync.admin.method import SPREAD, Answer, Argument, Call, Done, Method
from rtmp_sync.admin.refusal import CALL_FAILED, Refusal
from rtmp_sync.admin.subjects import scopes, wall_time
from rtmp_sync.admin.traffic_figures import Connections, connections
from rtmp_sync.server.clock import now

VHOST: Final = "_defaultVHost_"


class Io(Connections):
    """Input and output of the server since the process started."""

    rtmp_connects: int
    """Connections over RTMP now: what all of the above is of."""
    normal_connects: int
    """The same: of clients, as opposed to edges."""
    http_connects: int
    """Players over HTTP and WebSocket now."""


class Server(Answer):
    """How the server is."""

    launchTime: datetime
    """When the process started to serve HTTP."""
    uptime: int
    """Seconds since then."""
    cpus: int
    """Processors of the machine."""
    cpu_Usage: int
    """Percent of one processor that the process uses: since the last look."""
    num_cores: int
    """Processes that serve: always 1."""
    memory_Usage: int
    """Percent of the machine's memory that the process has."""
    physical_Mem: int
    """The same in bytes."""
    node: str
    """The origin's `node.id`."""
    role: str
    """`active`, `standby` or `closed`."""
    version: str
    """Of rtmp_sync."""
    io: Io
    """What went in and out."""


class VHost(Connections):
    """The one virtual host, which is the whole server."""

    total_apps: int
    """Applications installed."""
    total_instances: int
    """Instances running."""


class VHosts(Answer):
    """Virtual hosts."""

    vhosts: Annotated[list[str], SPREAD]
    """Always the one: applications are told apart by their names only."""


class Adaptors(Answer):
    """Adaptors."""

    adaptors: Annotated[list[str], SPREAD]
    """Always the one."""


async def ping(call: Call) -> Done:
    test = call.origin.self_test()
    if not test.ok:
        raise Refusal(503, CALL_FAILED, str(test))
    return Done()


async def get_server_stats(call: Call) -> Server:
    status = facts.status(call.origin)
    uptime = now() - call.rates.begun
    resident, machine = process.resident_bytes(), process.machine_bytes()
    cpu = call.rates.per_second("cpu", process.cpu_seconds(), now())
    return Server(
        launchTime=wall_time(time.time() - uptime),
        uptime=int(uptime),
        cpus=os.cpu_count() or 1,
        cpu_Usage=round(cpu * 100),
        num_cores=1,
        memory_Usage=round(100 * resident / machine) if machine else 0,
        physical_Mem=resident,
        node=status["id"],
        role=status["role"],
        version=status["version"],
        io=_io(call),
    )


async def get_io_stats(call: Call) -> Io:
    return _io(call)


async def get_vhost_stats(call: Call) -> VHost:
    origin = call.origin
    return VHost(
        **connections(call, "server", [origin.sessions.tally], origin.sessions),
        total_apps=len(origin.instances.applications),
        total_instances=len(scopes(origin)),
    )


async def get_vhosts(_: Call) -> VHosts:
    return VHosts(vhosts=[VHOST])


async def get_adaptors(_: Call) -> Adaptors:
    return Adaptors(adaptors=["_defaultRoot_"])


def _io(call: Call) -> Io:
    sessions, http = call.origin.sessions, call.origin.http
    here = len(sessions)
    return Io(
        **connections(call, "server", [sessions.tally], sessions),
        rtmp_connects=here,
        normal_connects=here,
        http_connects=len(http) if http is not None else 0,
    )


_VHOST_ARGUMENT = Argument("vhost", "the virtual host", default=VHOST, ignored=True)
_ADAPTOR = Argument("adaptor", "the adaptor", default="_defaultRoot_", ignored=True)

METHODS = (
    Method("ping", "/ping", "Is the server well?", Done, ping),
    Method(
        "getServerStats",
        "/server",
        "Uptime, processor, memory, and what went in and out.",
        Server,
        get_server_stats,
    ),
    Method("getIOStats", "/server/io", "What went in and out.", Io, get_io_stats),
    Method(
        "getVHostStats",
        "/vhosts/_defaultVHost_",
        "What went in and out of the one virtual host, which is the whole server.",
        VHost,
        get_vhost_stats,
        (_VHOST_ARGUMENT,),
    ),
    Method("getVHosts", "/vhosts", "The virtual hosts.", VHosts, get_vhosts, (_ADAPTOR,)),
    Method("getAdaptors", "/adaptors", "The adaptors.", Adaptors, get_adaptors),
)
