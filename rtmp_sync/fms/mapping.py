"""What becomes of each element of an FMS configuration: a key of ours, or the reason for none.

Paths are as in `folder.Setting`; "*" stands for any row of elements. The first entry that
matches counts. Elements as in Adobe's "XML configuration files reference" (3.5 and 4.5).
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from rtmp_sync.fms import conversions as to

__all__ = ["APPLICATION_OBJECT", "SECRET_PATHS", "Key", "find"]

APPLICATION_OBJECT: Final = "Application/JSEngine/ApplicationObject"
"""What is below it becomes the free keys of `[application_object]`."""

SECRET_PATHS: Final = ("*Password*", "*PassPhrase*", "*LicenseInfo*", "*Secret*")
"""Their values are never written down again."""


class Key(NamedTuple):
    """key: the name in our file. convert: of the value."""

    key: str
    convert: to.Conversion


_KEYS: Final[dict[str, Key]] = {
    "Adaptor/HostPortList/HostPort": Key("rtmp.listen", to.rtmp_port),
    "Adaptor/Allow": Key("rtmp.allow", to.addresses),
    "Adaptor/Deny": Key("rtmp.deny", to.denied),
    "Root/Server/AdminServer/HostPort": Key("admin.listen", to.admin_port),
    "Root/Server/AdminServer/Allow": Key("admin.allow", to.addresses),
    "VirtualHost/ResourceLimits/MaxConnections": Key("rtmp.max_connections", to.connections),
    "VirtualHost/VirtualDirectory/Streams": Key("storage.virtual", to.virtual_folder),
    "Application/StreamManager/StorageDir": Key("storage.media", to.folder),
    "Application/StreamManager/VirtualDirectory/Streams": Key("storage.virtual", to.virtual_folder),
    "Application/FileObject/VirtualDirectory": Key("storage.virtual", to.virtual_folder),
    "Application/Client/OutChunkSize": Key("rtmp.chunk_size", to.chunk_size),
    "Application/Client/BandwidthCap/ClientToServer": Key("rtmp.max_byte_rate", to.rate),
}

_KEYS_OF_APPLICATIONS: Final[dict[str, Key]] = {
    "Application/Client/Bandwidth/ClientToServer": Key("apps.client_to_server_rate", to.rate),
    "Application/Client/Bandwidth/ServerToClient": Key("apps.server_to_client_rate", to.rate),
}
"""Of all applications in `[apps]`, of one in `[apps.NAME]`."""

_UNKNOWN: Final = "has no counterpart"
_PER_ORIGIN: Final = "here for the whole origin, not for one application"
_PROCESSES: Final = "an origin is one process"
_TUNNEL: Final = "RTMPT is not served"
_TLS: Final = "give `rtmp.tls_listen`, or end TLS in the load balancer in front"
_LOGGING: Final = "the log goes to stdout, as lines of JSON or text"
_ACCESS: Final = "give `access_log.file`"
_LIMITS: Final = "memory and threads need no tuning here; the limits of a client are in [rtmp]"
_DETECTION: Final = "a client that asks for it (`checkBandwidth`) is told, in any application"
_CAP: Final = "an application sets what it likes: `client.set_bandwidth_limit`"
_PEERING: Final = "peer-to-peer (RTMFP) is not served"

_REASONS: Final[tuple[tuple[str, str], ...]] = (
    ("*@override", "every table of ours may be overridden by [environments.NAME]"),
    ("Adaptor/HostPortList/HostPort@*", "there is one listener and no edge process"),
    ("Adaptor/HTTPTunneling*", _TUNNEL),
    ("Adaptor/HTTPIdent*", _TUNNEL),
    ("*HTTPTunnel*", _TUNNEL),
    ("*HTTPNull*", _TUNNEL),
    ("*/SSL*", _TLS),
    ("*SSLClientCtx*", _TLS),
    ("*RTMPE*", "RTMPE is not served, RTMPS is: " + _TLS),
    ("*RTMFP*", _PEERING),
    ("Adaptor/Order", "what `rtmp.deny` lists stays out, whatever `rtmp.allow` says"),
    ("*/NetworkingIPv6*", 'an IPv6 address in `rtmp.listen` ("[::]:1935") says it'),
    ("Root/Server/AdminServer/Deny", "only addresses that are let in can be listed: `admin.allow`"),
    (
        "Root/Server/AdminServer/Order",
        "only addresses that are let in can be listed: `admin.allow`",
    ),
    ("Root/UserList/*", "give `admin.user` and `admin.password_file`; the old password is a hash"),
    ("*/User*Password*", "give `admin.user` and `admin.password_file`; the old password is a hash"),
    ("*/Process/UID", "User= in the systemd unit"),
    ("*/Process/GID", "Group= in the systemd unit"),
    ("Root/Server/Mask", "UMask= in the systemd unit"),
    ("Root/Server/License*", "no license is needed"),
    ("Root/Server/Logging/*", _LOGGING),
    ("Root/Logger/Access/*", _ACCESS),
    ("Logger/Access/*", _ACCESS),
    ("Root/Logger/*", _LOGGING),
    ("Logger/*", _LOGGING),
    ("Root/Server/ResourceLimits/*", _LIMITS),
    ("Root/Server/*GC*", _LIMITS),
    ("Adaptor/ResourceLimits/*", _PROCESSES),
    ("Root/Server/AutoDiscovery/*", "edges are given the load balancer's address"),
    ("VirtualHost/AppsDir", "write each application in Python: apps/NAME.py, docs/tutorial.md"),
    ("VirtualHost/Alias*", "applications are the same under every host name"),
    ("VirtualHost/Proxy/*", "this is an origin: give edges the load balancer's address"),
    ("VirtualHost/EdgeAutoDiscovery/*", "edges are given the load balancer's address"),
    ("VirtualHost/Allow", "look at `client.page_url` in `on_connect`"),
    ("VirtualHost/DNSSuffix", "one virtual host becomes one configuration"),
    ("VirtualHost/AppInstanceGC", "an instance ends when nobody has used it for 10 minutes"),
    ("VirtualHost/MaxAppIdleTime", "an instance ends when nobody has used it for 10 minutes"),
    ("Application/MaxAppIdleTime", "an instance ends when nobody has used it for 10 minutes"),
    ("VirtualHost/ResourceLimits/*", "only connections are limited: `rtmp.max_connections`"),
    ("VirtualHost/CacheDir*", "nothing is cached on disk"),
    ("Application/Process/*", _PROCESSES),
    ("Application/LoadOnStartup", "list the instance in `apps.NAME.start`"),
    ("Application/JSEngine/*", "applications are Python; their time is limited by `call_timeout`"),
    ("Application/SharedObjManager/StorageDir", "persistent objects are in `storage.state`"),
    ("Application/SharedObjManager/*", "shared objects are kept and replicated by themselves"),
    ("Application/StreamManager/*", "streams need none of it; recordings are in [storage]"),
    ("Application/Client/BandwidthDetection*", _DETECTION),
    ("Application/Client/BandwidthCap*", _CAP),
    ("Application/Client/AutoCloseIdleClients*", "give `rtmp.idle_timeout`"),
    ("Application/Client/Access/*", "give `client.read_access` and `write_access` in `on_connect`"),
    ("Application/Client/*", "the limits of a client are in [rtmp]"),
    ("*SWFVerification*", "what a client says of its own program is not looked at"),
    ("*DisallowedProtocols*", "there is one protocol"),
    ("Application/HTTP/*", "an application makes its own requests, with a library"),
    ("Application/WebService/*", "an application makes its own requests, with a library"),
    ("Application/XMLSocket*", "an application opens its own sockets"),
    ("Application/Debug*", "there are no debug connections; the admin API shows the same"),
    ("Application/FileObject/*", "an application opens files by itself, with aiofiles"),
)


def find(path: str, app: str) -> Key | str:
    """The key for an element, or the reason for which there is none. app: see `Setting`."""
    if path in _KEYS_OF_APPLICATIONS:
        return _KEYS_OF_APPLICATIONS[path]
    key = _KEYS.get(path)
    if key is not None:
        return _PER_ORIGIN if app else key
    return next((reason for pattern, reason in _REASONS if fnmatchcase(path, pattern)), _UNKNOWN)
