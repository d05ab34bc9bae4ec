"""What a configuration file says of applications: `[apps]`, `[apps.NAME]` and its relays.

As in config_sections.py the descriptions are the reference.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from rtmp_sync.bandwidth_limit import BandwidthLimit
from rtmp_sync.config_sections import Bytes, Count, Seconds, SecondsOrZero, Section
from rtmp_sync.config_values import ConfigPath

__all__ = ["AppSection", "AppsSection", "RelaySection"]

RtmpUrlText = Annotated[str, Field(pattern=r"^rtmps?://[^/\s]+/\S+$")]


class RelaySection(Section):
    """Streams that other servers get from here, or this one from them: as many tables as needed,
    each with `push` or `pull`. Keys stand in the query: `"rtmp://host/app?key=KEY"`. `rtmps:` is
    encrypted, and its port 443 unless another is given."""

    push: RtmpUrlText | None = None
    """`rtmp://host[:port]/app[/instance]` where each stream is published too, under its name."""
    pull: RtmpUrlText | None = None
    """`rtmp://host[:port]/app[/instance]` from which a stream comes that somebody wants to play
    and nobody publishes here."""
    ca: ConfigPath | None = None
    """PEM file of the authorities that may have signed the certificate of a server with `rtmps:`;
    those that the system trusts unless given. Read again at each connection."""
    streams: Annotated[list[str], Field(min_length=1)] = ["*"]
    """Patterns (`*` and `?`) of the names that this is for. Of several tables with `pull` the first
    that fits is asked."""
    instances: Annotated[list[str], Field(min_length=1)] = ["_definst_"]
    """Patterns of the names of the instances that this is for; `"_definst_"` is the one that
    clients use who name none."""
    linger: SecondsOrZero = 10.0
    """Seconds for which a pulled stream stays after its last player has left."""

    @model_validator(mode="after")
    def _goes_one_way(self) -> Self:
        if (self.push is None) == (self.pull is None):
            raise ValueError("give either `push` or `pull`")
        return self

    @model_validator(mode="after")
    def _needs_its_authority(self) -> Self:
        if self.ca is not None and not (self.push or self.pull or "").startswith("rtmps:"):
            raise ValueError("`ca` is for an address with `rtmps:`")
        return self


class AppSection(Section):
    """One application's overrides."""

    public_types: list[str] | None = None
    """User types that a client may claim by itself; replaces the application's own."""
    allow: dict[str, list[str] | dict[str, bool]] = {}
    """User type = `["method", …]` replaces what the type may call; `{ method = false }`
    switches single methods off or on."""
    whitelist: ConfigPath | None = None
    """TOML file with rules by user type and method pattern, and rates; it has the last word. Read
    at the start and at `rtmp-sync allow reload`."""
    call_timeout: Seconds = 600.0
    """Seconds after which a method that still runs is cancelled; its caller is told so."""
    publish_keys: ConfigPath | None = None
    """File of lines `PATTERN KEY`, mode 0600: who publishes a stream of such a name must give
    one of its keys, as `name?key=KEY` or `rtmp://host/app?key=KEY`. Read again when it changes."""
    play_keys: ConfigPath | None = None
    """The same for who plays."""
    max_shared_objects: Count = 10_000
    """Shared objects of one instance; clients make no more, the application may."""
    max_slots: Count = 100_000
    """Slots of one shared object; clients add no more, the application may."""
    max_object_bytes: Bytes = 67_108_864
    """Bytes of one shared object, names and values of its slots together; likewise."""
    client_to_server_rate: Bytes | None = None
    """Bytes a second that one client of the application may send, as `rtmp.max_byte_rate`: the
    smaller one counts. `on_connect` may set another (`client.set_bandwidth_limit`)."""
    server_to_client_rate: Bytes | None = None
    """Bytes a second that one client is sent: what is more of a live stream loses pictures, then
    sound; recordings, calls and shared objects come later. Likewise."""
    start: list[Annotated[str, Field(min_length=1, pattern="^[^/]+$")]] = []
    """Names of instances that run without anybody having connected, as long as this origin is the
    active one; `"_definst_"` is the one of clients that name none."""
    relays: list[RelaySection] = []
    """What is pushed to other servers and pulled from them: `[[apps.NAME.relays]]`, below."""


class AppsSection(Section):
    """The applications: one file each, found by name."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, AppSection] = Field(init=False)

    directory: ConfigPath = Path("apps")
    """Folder of the application files; `NAME.py` serves `rtmp://host/NAME`."""

    client_to_server_rate: Bytes | None = None
    """`[apps.NAME] client_to_server_rate` of all applications that have none of their own."""
    server_to_client_rate: Bytes | None = None
    """`[apps.NAME] server_to_client_rate`, likewise."""

    def section(self, name: str) -> AppSection:
        """The overrides of application `name`; an empty set when the file has none."""
        return self.__pydantic_extra__.get(name) or AppSection()

    def bandwidth_limit(self, name: str) -> BandwidthLimit:
        """What a client of application `name` begins with."""
        own = self.section(name)
        return BandwidthLimit(
            own.client_to_server_rate or self.client_to_server_rate,
            own.server_to_client_rate or self.server_to_client_rate,
        )

    @property
    def configured(self) -> list[str]:
        """Names of the applications that have a table of their own."""
        return list(self.__pydantic_extra__)
