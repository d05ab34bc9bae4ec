"""Who came, what was published and played, and how much went over the wire: `[access_log]`.

    connect, connect-refused, disconnect        category session
    publish, unpublish, play, stop              category stream

Two forms: W3C Extended Log File Format with the field names of Flash Media Server, or one JSON
object a line. Codes (`x-status`) are FMS's: 200, 401 refused, 409 the name is taken.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from rtmp_sync.server.access_file import AccessFile
from rtmp_sync.server.clock import now

if TYPE_CHECKING:
    from rtmp_sync.app import Client
    from rtmp_sync.config_sections import AccessLogSection
    from rtmp_sync.server.instance import Instance

__all__ = ["AccessLog"]

OK: Final = 200
REFUSED: Final = 401
TAKEN: Final = 409

_ENDS: Final = {"publish": "unpublish", "play": "stop"}
_SAFE: Final = "/:;,@=+&?()[]{}'!*$%"  # of a W3C field, besides letters and digits
_MAX_CHARS: Final = 500  # of one field: clients choose some of them

_W3C: Final = {
    "x-event": "event",
    "x-category": "category",
    "date": "date",
    "time": "time",
    "c-ip": "address",
    "c-proto": "transport",
    "c-client-id": "client",
    "cs-username": "user",
    "x-app": "app",
    "x-appinst": "instance",
    "x-sname": "stream",
    "x-status": "status",
    "x-duration": "duration",
    "cs-bytes": "bytes_in",
    "sc-bytes": "bytes_out",
    "c-referrer": "referrer",
    "c-user-agent": "agent",
    "x-comment": "comment",
}
_HEADER: Final = f"#Version: 1.0\n#Software: rtmp_sync\n#Fields: {' '.join(_W3C)}\n"


@dataclass(frozen=True, slots=True)
class _Entry:
    """duration: in seconds. bytes_in, bytes_out: of the connection, so far."""

    event: str
    category: str
    at: datetime
    address: str
    transport: str
    app: str
    instance: str
    client: str = ""
    user: str = ""
    stream: str = ""
    status: int = OK
    duration: float | None = None
    bytes_in: int | None = None
    bytes_out: int | None = None
    referrer: str = ""
    agent: str = ""
    comment: str = ""

    def as_json(self) -> str:
        fields = {
            key: _cut(value) for key, value in asdict(self).items() if value not in ("", None)
        }
        return json.dumps({**fields, "at": self.at.isoformat(timespec="milliseconds")})

    def as_w3c(self) -> str:
        values = asdict(self)
        values["date"], values["time"] = self.at.strftime("%Y-%m-%d %H:%M:%S").split()
        return " ".join(_field(values[name]) for name in _W3C.values())


class AccessLog:
    """Nothing is written without `access_log.file`."""

    def __init__(self, section: AccessLogSection) -> None:
        self._json = section.format == "json"
        self._begun: dict[str, dict[int, tuple[str, str, float]]] = {}  # by client and stream
        self._since: dict[str, float] = {}  # by client
        self._file: AccessFile | None = None
        if section.file is not None:
            self._file = AccessFile(
                section.file,
                max_bytes=section.max_bytes,
                keep=section.keep,
                header="" if self._json else _HEADER,
            )

    @property
    def dropped(self) -> int:
        """Lines that the disk was too slow for."""
        return self._file.dropped if self._file is not None else 0

    def start(self) -> None:
        if self._file is not None:
            self._file.start()

    def stop(self) -> None:
        if self._file is not None:
            self._file.stop()

    def refused(self, address: str, transport: str, app: str, instance: str, reason: str) -> None:
        """A connect was refused."""
        self._put(
            _Entry(
                *("connect-refused", "session", datetime.now(UTC), _ip(address), transport),
                *(app, instance),
                status=REFUSED,
                comment=reason,
            )
        )

    def connected(self, instance: Instance, client: Client) -> None:
        if self._file is not None:
            self._since[client.id] = now()
            self._tell("connect", instance, client)

    def disconnected(self, instance: Instance, client: Client, reason: str) -> None:
        """Its streams end with it."""
        if self._file is None:
            return
        for msid in list(self._begun.get(client.id, ())):
            self.ended(instance, client, msid)
        since = self._since.pop(client.id, now())
        self._tell("disconnect", instance, client, duration=now() - since, comment=reason)

    def began(
        self, event: str, instance: Instance, client: Client, msid: int, stream: str, status: int
    ) -> None:
        """event: "publish" or "play", in message stream `msid`."""
        if self._file is None:
            return
        self.ended(instance, client, msid)
        if status == OK:
            self._begun.setdefault(client.id, {})[msid] = (event, stream, now())
        self._tell(event, instance, client, stream=stream, status=status)

    def ended(self, instance: Instance, client: Client, msid: int) -> None:
        """What it did there, if anything."""
        streams = self._begun.get(client.id, {})
        if msid not in streams:
            return
        event, stream, since = streams.pop(msid)
        if not streams:
            del self._begun[client.id]
        self._tell(_ENDS[event], instance, client, stream=stream, duration=now() - since)

    def _tell(
        self,
        event: str,
        instance: Instance,
        client: Client,
        *,
        stream: str = "",
        status: int = OK,
        duration: float | None = None,
        comment: str = "",
    ) -> None:
        traffic = client.traffic
        self._put(
            _Entry(
                event=event,
                category="stream" if stream else "session",
                at=datetime.now(UTC),
                address=client.ip,
                transport=client.transport,
                app=instance.app_name,
                instance=instance.name,
                client=client.id,
                user=client.user_name,
                stream=stream,
                status=status,
                duration=None if duration is None else round(duration, 3),
                bytes_in=traffic.bytes_in,
                bytes_out=traffic.bytes_out,
                referrer=client.page_url,
                agent=client.agent,
                comment=comment,
            )
        )

    def _put(self, entry: _Entry) -> None:
        if self._file is not None:
            self._file.put(entry.as_json if self._json else entry.as_w3c)


def _ip(address: str) -> str:
    """Without the port, which an address that a reverse proxy tells does not have."""
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(address))
    return address.rpartition(":")[0].strip("[]") or address


def _cut(value: object) -> object:
    return value[:_MAX_CHARS] if isinstance(value, str) else value


def _field(value: object) -> str:
    """Of a W3C line: no blanks, "-" for nothing."""
    return quote(str(_cut(value)), safe=_SAFE) if value not in ("", None) else "-"
