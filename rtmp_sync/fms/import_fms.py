"""An FMS folder as a configuration of ours, with a comment for all that has no counterpart."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from rtmp_sync.config import Config
from rtmp_sync.config_errors import WrongConfig, errors_from
from rtmp_sync.config_rules import broken_rules
from rtmp_sync.fms.conversions import Folder, Noted
from rtmp_sync.fms.folder import FmsFolder, Setting
from rtmp_sync.fms.mapping import APPLICATION_OBJECT, SECRET_PATHS, find

__all__ = ["Imported", "import_fms"]

_APPS: Final = ("apps",)
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_SHOWN_CHARS: Final = 120
_NO_FOLDER: Final = "there is no such folder here: create or mount it, then take the # away"
_NO_CODE: Final = "there is no such application yet: then take the # away here and from its table"


@dataclass(frozen=True, slots=True)
class Mapped:
    """name: of a key of the user's own, as in [storage.virtual]. note: what of the element the
    value does not say. waits: why it is written as a comment until the operator has seen to
    something."""

    setting: Setting
    key: str
    value: object
    name: str = ""
    note: str = ""
    waits: str = ""

    @property
    def path(self) -> tuple[str, ...]:
        """Where the value stands: the names of its tables, and its own."""
        names = self.key.split(".")
        if names[0] == "apps" and self.setting.app:
            names.insert(1, self.setting.app)
        return (*names, self.name) if self.name else tuple(names)

    @property
    def plain(self) -> object:
        """The value as TOML has it."""
        return self.value.path if isinstance(self.value, Folder) else self.value


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of each setting, and the file."""

    source: str
    folder: FmsFolder
    node_id: str
    mapped: list[Mapped] = field(default_factory=list)
    unmapped: list[tuple[Setting, str]] = field(default_factory=list)

    def toml(self) -> str:
        """The configuration file."""
        lines = [
            f"# Made by `rtmp-sync import-fms` from {_shown(self.source)},",
            f"# virtual host {_shown(self.folder.host) or '(none)'}.",
            "# Behind each key: the element that it comes from. At the end: what has no key here.",
            "# A pair needs more: docs/installation.md.",
            "",
            "[node]",
            f"id = {_toml(self.node_id)}",
        ]
        if others := [host for host in self.folder.hosts if host != self.folder.host]:
            named = ", ".join(_shown(host) for host in others)
            lines.insert(
                2, f"# Other virtual hosts, each a configuration of its own (--vhost): {named}"
            )
        for table in dict.fromkeys([_APPS, *(one.path[:-1] for one in self.mapped)]):
            inside = [one for one in self.mapped if one.path[:-1] == table]
            waits = "# " if len(table) == 2 and all(one.waits == _NO_CODE for one in inside) else ""
            lines += ["", f"{waits}[{'.'.join(_name(part) for part in table)}]"]
            if table == _APPS:
                lines.append('directory = "apps"')
                lines += [
                    f"# {_shown(name)}: write it in Python, apps/NAME.py (docs/tutorial.md)"
                    for name in self.folder.applications
                ]
            lines += [_line(one) for one in inside]
        lines += ["", "# Without a counterpart"]
        shown = ""
        for setting, reason in self.unmapped:
            if setting.file != shown:
                shown = setting.file
                lines += ["#", f"# {_shown(shown)}"]
            told = f"{_shown(setting.path)} = {_value(setting)}: {_one_line(reason)}"
            lines.append(f"#   {told}")
        return "\n".join(lines) + "\n"

    def report(self) -> dict[str, Any]:
        """For programs."""
        return {
            "host": self.folder.host,
            "hosts": list(self.folder.hosts),
            "applications": list(self.folder.applications),
            "mapped": [
                {
                    **_told(one.setting),
                    "key": _full_key(one),
                    "note": one.note or None,
                    "waits": one.waits or None,
                }
                for one in self.mapped
            ],
            "unmapped": [{**_told(setting), "reason": reason} for setting, reason in self.unmapped],
        }


def import_fms(folder: FmsFolder, source: str, *, node_id: str, directory: Path) -> Imported:
    """directory: where the configuration will be, from which its relative paths count.

    Raises ConfigError for a wrong node_id.
    """
    _check_node_id(node_id)
    imported = Imported(source, folder, node_id)
    taken: dict[tuple[str, ...], str] = {}
    for setting in folder.settings:
        found = _mapped(setting)
        if isinstance(found, str):
            imported.unmapped.append((setting, found))
            continue
        if found.path in taken:
            reason = f"one is enough for {_full_key(found)}: that of {taken[found.path]}"
            imported.unmapped.append((setting, reason))
        elif wrong := _wrong(found, node_id):
            imported.unmapped.append((setting, wrong))
        else:
            taken[found.path] = setting.file
            imported.mapped.append(_seen(found, directory))
    _hold_back(imported)
    return imported


def _check_node_id(node_id: str) -> None:
    try:
        Config.model_validate({"node": {"id": node_id}})
    except ValidationError as error:
        raise WrongConfig(errors_from(error, Config)) from None


def _hold_back(imported: Imported) -> None:
    """What breaks a rule between keys waits, too: a port that another listener has, say."""
    data: dict[str, Any] = {"node": {"id": imported.node_id}}
    for one in imported.mapped:
        if not (one.waits or one.name or isinstance(one.value, Folder)):
            table = data
            for name in one.path[:-1]:
                table = table.setdefault(name, {})
            table[one.path[-1]] = one.value
    for error in broken_rules(Config.model_validate(data)):
        for index, one in enumerate(imported.mapped):
            if one.key == error.key:
                imported.mapped[index] = replace(one, waits=error.fix)


def _mapped(setting: Setting) -> Mapped | str:
    """The key and value of a setting, or the reason for which it has none."""
    if setting.unknown:
        return f"the symbol {_shown(setting.unknown[0])} is defined nowhere"
    if setting.path.startswith(f"{APPLICATION_OBJECT}/") and "@" not in setting.path:
        name = setting.path.removeprefix(f"{APPLICATION_OBJECT}/").removeprefix("config/")
        return Mapped(setting, "application_object", setting.value, name.replace("/", "."))
    key = find(setting.path, setting.app)
    if isinstance(key, str):
        return key
    try:
        value = key.convert(setting.value)
    except ValueError as reason:
        return str(reason)
    note = ""
    if isinstance(value, Noted):
        value, note = value
    name = value.name if isinstance(value, Folder) else ""
    return Mapped(setting, key.key, value, name, note)


def _wrong(mapped: Mapped, node_id: str) -> str:
    """What our configuration says against this value alone; "" if nothing."""
    data: Any = mapped.plain
    for name in reversed(mapped.path):
        data = {name: data}
    try:
        Config.model_validate({"node": {"id": node_id}, **data})
    except ValidationError as error:
        return "; ".join(wrong.fix for wrong in errors_from(error, Config))
    return ""


def _seen(mapped: Mapped, directory: Path) -> Mapped:
    """What is about a folder or an application that is not there yet must wait."""
    of_application = mapped.path[0] == "apps" and len(mapped.path) > 2
    if of_application and not (directory / "apps" / f"{mapped.path[1]}.py").is_file():
        return replace(mapped, waits=_NO_CODE)
    folder = mapped.value
    if not isinstance(folder, Folder) or (directory / folder.path).is_dir():
        return mapped
    return replace(mapped, waits=_NO_FOLDER)


# -- TOML ------------------------------------------------------------------------------------------


def _full_key(mapped: Mapped) -> str:
    return ".".join(mapped.path)


def _line(mapped: Mapped) -> str:
    origin = f"{_shown(mapped.setting.file)}: {_shown(mapped.setting.path)}"
    begin = "# " if mapped.waits else ""
    notes = "".join(f"; {_one_line(note)}" for note in (mapped.note, mapped.waits) if note)
    return f"{begin}{_name(mapped.path[-1])} = {_toml(mapped.plain)}  # {origin}{notes}"


def _name(name: str) -> str:
    """Of a key or a table."""
    return name if _BARE.fullmatch(name) else _toml(name)


def _toml(value: object) -> str:
    """A value as TOML; a JSON string is one of TOML's, but for DEL, and as long as it has no pair
    of surrogates."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")


def _shown(text: str) -> str:
    line = _one_line(text)
    return line if len(line) <= _SHOWN_CHARS else f"{line[:_SHOWN_CHARS]}…"


def _one_line(text: str) -> str:
    """On one line of a comment, whatever it holds."""
    return "".join(sign if sign.isprintable() else " " for sign in " ".join(text.split()))


def _value(setting: Setting) -> str:
    if setting.value and any(fnmatchcase(setting.path, secret) for secret in SECRET_PATHS):
        return "(not shown)"
    return _shown(setting.value) or "(empty)"


def _told(setting: Setting) -> Mapping[str, str]:
    return {"file": setting.file, "path": setting.path, "value": _value(setting)}
