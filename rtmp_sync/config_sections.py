"""The sections of a configuration file: one model each, one described field per key.

The descriptions are the reference: docs/configuration.md is generated from them.
Numbers that default to None take the value of `failover.profile` (see cluster/timing.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from rtmp_sync.config_values import (
    Address,
    ConfigPath,
    ListenAddress,
    Network,
    NodeId,
    PeerAddress,
)

__all__ = [
    "AccessLogSection",
    "AdminSection",
    "FailoverSection",
    "FirewallSection",
    "HealthSection",
    "HooksSection",
    "HttpSection",
    "NodeSection",
    "ReplicationSection",
    "RtmpSection",
    "Section",
    "StorageSection",
]

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
SecondsOrZero = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Bytes = Annotated[int, Field(ge=1024)]
HttpUrlText = Annotated[str, Field(pattern=r"^https?://[^/\s]+\S*$")]


class Section(BaseModel):
    """A table of the file: unknown keys and TOML values of another type are errors."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        use_attribute_docstrings=True,
        validate_default=True,
    )


class NodeSection(Section):
    """Who this origin is."""

    id: NodeId
    """The origin's name: the one it has in the pair file."""
    environment: str = ""
    """Which `[environments.NAME]` table is laid over the rest, for example `"production"`; the
    variable `RTMP_SYNC_ENVIRONMENT` comes before it."""


class RtmpSection(Section):
    """The public RTMP listener and what one client may use."""

    listen: ListenAddress = Address("0.0.0.0", 1935)
    """Where clients connect. It listens only while this origin is the active one."""
    tls_listen: ListenAddress | None = None
    """Where clients connect with `rtmps:`, for example `"0.0.0.0:443"`; nowhere unless given."""
    tls_certificate: ConfigPath | None = None
    """For `tls_listen`: PEM file with the certificate chain. All files of certificates are read
    again when they change; connections stay, and files that are wrong change nothing."""
    tls_key: ConfigPath | None = None
    """PEM file with that certificate's key, without a passphrase, mode 0600."""
    tls_names: dict[
        Annotated[str, Field(min_length=1)],
        Annotated[list[ConfigPath], Field(min_length=2, max_length=2)],
    ] = {}
    """Further certificates, by the host that a client names (SNI): pattern = `[certificate, key]`,
    for example `"*.example.org" = ["org.pem", "org.key"]`. The first that fits is shown."""
    proxy_protocol_from: list[Network] = []
    """Addresses and networks of load balancers that send a PROXY header (version 1 or 2) first,
    which tells the client's own address. Required of them, never looked for from others. On
    `tls_listen` none is read: let such a load balancer end TLS."""
    chunk_size: Annotated[int, Field(ge=128, le=0xFFFFFF)] = 4096
    """Bytes of a message in one chunk, for what we send."""
    window: Bytes = 2_500_000
    """Bytes after which the peer must acknowledge (RTMP's window acknowledgement size)."""
    allow: list[Network] = []
    """Addresses and networks that may connect, browsers too; empty: all. Others are closed without
    a word. Behind a load balancer that tells no addresses this is about the load balancer."""
    deny: list[Network] = []
    """Addresses and networks that may not, whatever `allow` says."""
    max_connections: Count = 10_000
    """Clients at once; one more is refused. Each needs an open file: the process takes as many as
    the system lets it (`ulimit -Hn`), and warns when that is less."""
    max_connections_per_address: Count | None = None
    """The same of one IPv4 address, or one IPv6 /64; unset: any number."""
    max_byte_rate: Bytes | None = None
    """Bytes that one client may send in a second; who sends faster is read later, and loses
    nothing. A second's worth may come at once. Unset: any number."""
    max_message_rate: Count | None = None
    """The same in messages: calls, updates of shared objects, frames of video and audio."""
    idle_timeout: Seconds | None = None
    """Seconds after which a client is disconnected that sends nothing but answers to pings and is
    sent nothing; unset: never."""
    max_message_bytes: Bytes = 4_194_304
    """Longest message accepted from a client."""
    max_partial_bytes: Bytes = 8_388_608
    """Bytes of unfinished messages that one client may hold on all chunk streams together."""
    max_chunk_streams: Count = 64
    """Chunk streams of one client."""
    max_depth: Count = 64
    """Nesting of an AMF value."""
    max_values: Count = 100_000
    """Values in one AMF message."""
    handshake_timeout: Seconds = 5.0
    """Seconds until the handshake must be complete."""
    message_timeout: Seconds = 10.0
    """Seconds for which a begun message may stay unfinished while nothing arrives."""
    ping_interval: Seconds = 30.0
    """Seconds of silence after which a client is pinged."""
    ping_timeout: Seconds = 30.0
    """Seconds until a ping must be answered."""
    outbox_bytes: Bytes = 8_388_608
    """Bytes waiting for one client; a player loses frames before, the rest disconnect."""
    send_timeout: Seconds = 30.0
    """Seconds after which a client is disconnected that takes nothing of what waits for it."""
    stop_timeout: Annotated[float, Field(ge=0, le=86_400)] = 5.0
    """Seconds that clients get to leave by themselves when this origin is told to stop and no
    other one can take over. They are served meanwhile, and nobody new is let in."""
    media_flush_ms: Annotated[int, Field(ge=0, le=1000)] = 0
    """Milliseconds for which a live stream's messages are gathered and then sent to each player
    in one write: less CPU for so much delay. 0 sends each one at once."""
    gop_cache_bytes: Annotated[int, Field(ge=0)] = 8_388_608
    """Bytes of a live stream kept since its last key frame for late joiners; 0 keeps none."""


class HttpSection(Section):
    """Streams for browsers, as HTTP-FLV and WebSocket-FLV: see [browsers](browsers.md)."""

    listen: ListenAddress | None = None
    """Where browsers get streams; nowhere unless given. Like `rtmp.listen` it is open only while
    this origin is the active one."""
    origins: list[Annotated[str, Field(pattern=r"^(\*|https?://[^/*]+)$")]] = ["*"]
    """Pages that may play, by their origin, for example `"https://example.com"`; `"*"`: all.
    Programs that are no browser name none and are let in."""
    forwarded_for_from: list[Network] = []
    """Addresses and networks of reverse proxies whose `X-Forwarded-For` tells the client's own
    address. A load balancer that only passes connections on tells it as for RTMP: see
    `rtmp.proxy_protocol_from`, of which those listed here are left out."""
    publisher_wait: SecondsOrZero = 5.0
    """Seconds for which a request waits for somebody to publish, before it is told 404."""
    max_connections: Count = 10_000
    """Connections at once; one more is closed."""
    max_players_per_address: Count | None = None
    """Streams that one IPv4 address, or one IPv6 /64, plays at once; unset: any number."""
    max_request_rate: Count | None = None
    """Requests that it makes in a second, whatever comes of them; a second's worth may come at
    once, more are told 429. Unset: any number."""
    tls_certificate: ConfigPath | None = None
    """For `https:` and `wss:`: PEM file with the certificate chain. A PROXY header is not read
    then: a load balancer that tells addresses has to be the one that ends TLS."""
    tls_key: ConfigPath | None = None
    """PEM file with that certificate's key, without a passphrase, mode 0600."""


class HooksSection(Section):
    """Web addresses that are asked who may come in, publish and play, as nginx-rtmp asks them: see
    [security](security.md). Any 2xx allows it."""

    on_connect: HttpUrlText | None = None
    """Asked at each connect, before the application; browsers' requests are connects, too."""
    on_publish: HttpUrlText | None = None
    """Asked before a stream is published, after keys and before the application."""
    on_play: HttpUrlText | None = None
    """The same before one is played."""
    timeout: Seconds = 3.0
    """Seconds until an answer must be there; at most 100 are asked for at once, others wait in that
    time."""
    open_when_down: bool = False
    """Whether clients are let in when there is no answer. They are refused unless this is true."""


class AccessLogSection(Section):
    """Who connected, published and played, for log analysers: see [security](security.md)."""

    file: ConfigPath | None = None
    """Where it is written; nowhere unless given. It may be moved away at any time."""
    format: Literal["w3c", "json"] = "w3c"
    """W3C Extended Log File Format with the field names of FMS, or a JSON object a line."""
    max_bytes: Bytes = 104_857_600
    """Length after which the file becomes `FILE.1`, and that `FILE.2`, and so on."""
    keep: Annotated[int, Field(ge=0, le=1000)] = 10
    """How many of those stay."""


class ReplicationSection(Section):
    """The link between the two origins. It is never gated."""

    listen: ListenAddress = Address("0.0.0.0", 1936)
    """Where the other origin connects."""
    peer: PeerAddress | None = None
    """The other origin's `replication.listen`, as reached from here."""
    secret_file: ConfigPath | None = None
    """File with the secret that both origins share, at least 16 bytes, mode 0600."""
    secret_file_old: ConfigPath | None = None
    """While the secret is replaced: the file with the one before, which is accepted too. Give
    it on one origin after the other, each with the new `secret_file`, and restart it; then
    remove it the same way. The link works all the time."""
    tls_certificate: ConfigPath | None = None
    """TLS for the link, the same on both origins: PEM file with this origin's certificate, for
    client and server use. Host names in it are not looked at: the secret proves the node."""
    tls_key: ConfigPath | None = None
    """PEM file with that certificate's key, without a passphrase, mode 0600."""
    tls_ca: ConfigPath | None = None
    """PEM file with the authority that both origins' certificates come from."""
    mode: Literal["async", "semi", "strict"] = "semi"
    """What an acknowledgement to a client waits for: `semi` the other origin while it is in
    sync, `strict` always the other origin, `async` nothing (may lose acknowledged updates)."""
    ack_timeout: Seconds | None = None
    """Seconds after which a silent other origin is recorded as out of sync; in `strict`, after
    which a call that it has not confirmed is answered with "outcome unknown"."""
    snapshot_rate: Bytes = 33_554_432
    """Bytes a second at which a whole copy is sent to the other origin, at most. This much
    takes about a third of a core; clients are served with the rest."""
    reconnect_grace: SecondsOrZero = 30.0
    """Seconds that clients of the old active have to return after a takeover."""
    warm_streams: bool = False
    """Whether the active origin sends live streams to the standby as they come, so that after a
    takeover a player has a picture before the publisher is back. It costs the link their rate,
    and both origins some work; Changes never wait for it. The same on both origins."""


class FailoverSection(Section):
    """Who serves, and how that is decided."""

    coordinator: str | None = None
    """Where the pair's record lives: a file name in `rtmp_sync/coordinators`. Follows from
    what is given: `pair_file` means `"file"`, `etcd` means `"etcd"`, nothing means `"none"`
    (always active)."""
    pair_file: ConfigPath | None = None
    """The pair file, `PRIMARY\\SECONDARY` on one line; on the NAS that both origins mount."""
    etcd: list[PeerAddress] = []
    """Client addresses of the etcd members (3.4 or newer). One is enough to reach a cluster,
    but all of them are needed to outlive one of them."""
    etcd_prefix: Annotated[str, Field(pattern=r"^/[!-~]*[!-.0-~]$", max_length=200)] = (
        "/rtmp_sync/default"
    )
    """Key prefix of this pair in etcd; each pair needs its own."""
    etcd_ca: ConfigPath | None = None
    """TLS to etcd: PEM file with the authority that its members' certificates come from. They
    must name the addresses above."""
    etcd_certificate: ConfigPath | None = None
    """PEM file with this origin's certificate, for an etcd that asks for one. With `etcd_user`
    its subject must have no common name: etcd refuses others on its JSON gateway."""
    etcd_key: ConfigPath | None = None
    """PEM file with that certificate's key, without a passphrase, mode 0600."""
    etcd_user: Annotated[str, Field(min_length=1)] | None = None
    """Name of an etcd user that may read and write below `etcd_prefix`."""
    etcd_password_file: ConfigPath | None = None
    """File with that user's password, mode 0600."""
    nodes: list[NodeId] = []
    """With etcd: the two node ids in slot order, the same on both origins."""
    peer_admin: PeerAddress | None = None
    """The other origin's `health.listen`, as reached from here."""
    peer_rtmp: PeerAddress | None = None
    """The other origin's `rtmp.listen`, as reached from here and let in by `firewall.allow`: one
    more way to see that it lives, by an RTMP handshake, when the link between the two is down."""
    profile: Literal["default", "fast"] = "default"
    """Set of the numbers below; `fast` takes over sooner and needs a quiet network."""
    cold_start_alone: Literal["never"] | Seconds = "never"
    """Seconds after which an origin that is alone and closed serves from its own copy."""
    lb_path: Literal["alarm", "auto"] = "alarm"
    """What to do when only the other origin still sees the load balancer's checks."""
    guard_lost: Literal["alarm", "switchover"] = "alarm"
    """What to do when the origin's guard died."""
    failsafe: bool = False
    """With etcd: promises of the other origin keep the active one up while etcd is away."""
    promote_lag_max: Annotated[int, Field(ge=0)] | None = None
    """Changes that an origin out of sync may lack and still take over; unset means never.
    Setting it accepts that acknowledged updates can be lost."""
    drain_seconds: SecondsOrZero = 0.0
    """Seconds that clients get to leave by themselves at a planned switchover."""
    probe_interval: Seconds | None = None
    """Seconds between two probes of the other origin and reads of the record."""
    probe_deadline: Seconds | None = None
    """Seconds until a probe must be answered."""
    fall: Count | None = None
    """Failed probes in a row that count as "does not answer"."""
    rise: Count | None = None
    """Good probes in a row that count as "answers again"."""
    t_conf: Seconds | None = None
    """Seconds for which one confirmed heartbeat lets the active origin serve."""
    margin: Seconds | None = None
    """Seconds added to `t_conf` by the other side, for clocks of different rate."""
    hb_interval: Seconds | None = None
    """Seconds between two heartbeats in the store."""
    ttl: Seconds | None = None
    """With etcd: seconds that the lease lives."""
    renew_interval: Seconds | None = None
    """With etcd: seconds between two renewals of the lease."""
    guard_interval: Seconds | None = None
    """Seconds between two signs of life from the origin to its guard."""
    guard_deadline: Seconds | None = None
    """Seconds of silence after which the guard kills the origin."""


class FirewallSection(Section):
    """The gate: how the load balancer is kept away from the standby."""

    driver: str = "listener"
    """A file name in `rtmp_sync/firewalls`. `"listener"` needs no rights: the public port
    listens on the active origin only. `"nftables"` adds a filter in the kernel, which closes the
    port by itself within a second when the whole machine's user space is frozen; `"iptables"` and
    `"windows"` add one without that; `"command"` runs the operator's own scripts. `"none"` leaves
    the gate to the load balancer."""
    allow: list[Network] = []
    """Addresses and networks of the load balancers and of the other origin: only they reach the
    port while it is open, besides this machine itself. Empty: everybody does. For drivers that
    filter."""
    open_command: list[str] = []
    """Of driver `"command"`: program and arguments that let clients in; exit code 0 when done."""
    close_command: list[str] = []
    """Of driver `"command"`: keeps everybody out; exit code 0 when done, also when it was."""
    verify_command: list[str] = []
    """Of driver `"command"`: exit code 0 when open, 1 when closed, another one when not known."""
    command_deadline: Seconds = 5.0
    """Seconds after which one of these is killed."""
    verify_interval: Seconds = 10.0
    """Seconds between two runs of `verify_command`; what it said counts for four times as long."""


class AdminSection(Section):
    """HTTP for operators: everything, on an address of its own."""

    listen: ListenAddress = Address("127.0.0.1", 1111)
    """Where the admin API and the status page are."""
    user: Annotated[str, Field(min_length=1, pattern="^[^:]+$")] | None = None
    """Name for what changes state, for `/history` and for `/admin/ping`."""
    password_file: ConfigPath | None = None
    """File with that user's password, mode 0600; the same on both origins."""
    tokens_file: ConfigPath | None = None
    """File of lines `NAME ROLE TOKEN`, mode 0600: bearer tokens for the JSON API below `/api/v1`.
    ROLE is `read` or `change`; NAME is told with each change in the history. Read again when it
    changes."""
    commands: list[Annotated[str, Field(min_length=1)]] = ["get*"]
    """FMS's methods that may be called as `/admin/METHOD?auser=…&apswd=…`; `*` and `?` stand for
    any characters. `ping` always may. What changes anything must be added by its name
    (`"unloadApp"`, …): passwords in addresses get into the logs of proxies."""
    allow: list[Network] = []
    """Addresses and networks that may ask here, besides this machine itself. Empty: whoever
    reaches `listen`. `health.listen` has no such list."""
    peer: PeerAddress | None = None
    """The other origin's `admin.listen`, as reached from here: with it the commands that are
    given this configuration find both origins. No origin uses it."""


class HealthSection(Section):
    """HTTP for load balancers and the other origin: `/health/*` and `/admin/ping` only."""

    listen: ListenAddress = Address("0.0.0.0", 1112)
    """Where the health checks are."""


class StorageSection(Section):
    """Files of this origin."""

    state: ConfigPath = Path("state")
    """Folder for the journal and its snapshots; private to this origin, never on the NAS."""
    disk: Literal["off", "journal", "fsync"] = "journal"
    """What an acknowledgement waits for: nothing, the write, or the write on the disk."""
    media: ConfigPath | None = None
    """Folder for recorded streams; may be on the NAS."""
    segment_seconds: Seconds = 600.0
    """A recording goes on in a new file at the first key frame after so long."""
    segment_bytes: Bytes = 1_073_741_824
    """The same for a file that has become so long."""
    record_queue_bytes: Bytes = 33_554_432
    """Bytes of one recording that may wait for the disk; with more of them it ends, and the
    stream goes on."""
    virtual: dict[str, ConfigPath] = {}
    """Stream name prefix = folder, for example `"/myFMSfiles" = "/nas/FMSfiles"`."""
