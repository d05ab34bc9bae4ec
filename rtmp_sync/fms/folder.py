"""An FMS configuration folder, as a row of settings.

conf/ fms.ini  substitution.xml  Server.xml  Users.xml  Logger.xml
      ADAPTOR/ Adaptor.xml
               VHOST/ Vhost.xml  Application.xml     (one virtual host is read)
APPS/ NAME/ Application.xml                         (AppsDir of that virtual host)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rtmp_sync.errors import ConfigError
from rtmp_sync.fms.symbols import read_symbols, resolve
from rtmp_sync.fms.xml_file import read_xml

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["FmsFolder", "Setting", "read_folder"]

DEFAULT_HOST: Final = "_defaultRoot_/_defaultVHost_"
_MAX_PATH_CHARS: Final = 1000
_MAX_SETTINGS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Setting:
    """One element or attribute. path: "Adaptor/HostPortList/HostPort", "Server/Process@name".
    app: of which application, "" for all. unknown: symbols in it that nobody defined."""

    file: str
    path: str
    value: str
    app: str = ""
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FmsFolder:
    """host: which virtual host was read, as ADAPTOR/VHOST; hosts: all that there are."""

    settings: tuple[Setting, ...]
    host: str
    hosts: tuple[str, ...]
    applications: tuple[str, ...]


def read_folder(folder: Path, host: str | None = None) -> FmsFolder:
    """folder: FMS's `conf`, or the folder in which that is. host: ADAPTOR/VHOST, if not the
    default one. Raises ConfigError."""
    conf = next((one for one in (folder / "conf", folder) if _file(one, "Server.xml")), None)
    if conf is None:
        fix = "there is no Server.xml; give the folder `conf` of an FMS"
        raise ConfigError("DIR", str(folder), fix)
    symbols = read_symbols(conf.absolute())
    hosts = tuple(
        f"{path.parent.parent.name}/{path.parent.name}"
        for path in sorted(conf.glob("*/*/*"))
        if path.name.lower() == "vhost.xml"
    )
    chosen = host if host is not None else DEFAULT_HOST if DEFAULT_HOST in hosts else None
    chosen = chosen or next(iter(hosts), "")
    if host is not None and host not in hosts:
        raise ConfigError("--vhost", host, f"there is none; known: {', '.join(hosts) or 'none'}")
    adaptor = conf / chosen.partition("/")[0] if chosen else None
    paths = [_file(conf, name) for name in ("Server.xml", "Users.xml", "Logger.xml")]
    if adaptor is not None:
        paths += [_file(adaptor, "Adaptor.xml")]
        paths += [_file(conf / chosen, name) for name in ("Vhost.xml", "Application.xml")]
    settings: list[Setting] = []
    for path in paths:
        if path is not None:
            settings += _settings(path, str(path.relative_to(conf)), symbols)
    applications = _applications(conf, settings)
    for name, path in applications.items():
        if (own := _file(path, "Application.xml")) is not None:
            settings += _settings(own, f"{name}/{own.name}", symbols, app=name)
    return FmsFolder(tuple(settings), chosen, hosts, tuple(applications))


def _file(folder: Path, name: str) -> Path | None:
    """A file of that name, in whatever case: FMS on Windows did not care."""
    if not folder.is_dir():
        return None
    found = (path for path in sorted(folder.iterdir()) if path.name.lower() == name.lower())
    return next((path for path in found if path.is_file()), None)


def _applications(conf: Path, settings: list[Setting]) -> dict[str, Path]:
    """The folders of registered applications, where they can be seen from here."""
    named = [Path(one.value) for one in settings if one.path == "VirtualHost/AppsDir" and one.value]
    for folder in (*named, conf.parent / "applications"):
        if folder.is_dir():
            return {path.name: path for path in sorted(folder.iterdir()) if path.is_dir()}
    return {}


def _settings(
    path: Path, shown: str, symbols: Mapping[str, str], app: str = ""
) -> Iterator[Setting]:
    """Every leaf and every attribute of a file, in its order."""
    waiting: list[tuple[str, Element]] = [("", read_xml(path))]
    count = 0
    while waiting:
        above, element = waiting.pop()
        where = f"{above}/{element.tag}" if above else str(element.tag)
        if len(where) > _MAX_PATH_CHARS or count > _MAX_SETTINGS:
            fix = "the file is too deep or has too many elements"
            raise ConfigError(str(path), where[:_MAX_PATH_CHARS], fix)
        found = [(f"{where}@{name}", value) for name, value in element.attrib.items()]
        text = (element.text or "").strip()
        if text or not len(element):
            found.append((where, text))
        for at, raw in found:
            count += 1
            value, unknown = resolve(raw, symbols)
            yield Setting(shown, at, value, app, tuple(unknown))
        waiting += [(where, child) for child in reversed(element)]
