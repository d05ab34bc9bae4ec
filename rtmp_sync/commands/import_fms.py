"""`import-fms`: the configuration of an FMS as one of ours."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from rich.markup import escape

from rtmp_sync.commands import terminal
from rtmp_sync.fms.folder import read_folder
from rtmp_sync.fms.import_fms import Imported
from rtmp_sync.fms.import_fms import import_fms as imported_from

__all__ = ["import_fms"]

_STDOUT: Final = Path("-")


def import_fms(
    folder: Path, output: Path, *, vhost: str | None, node_id: str, force: bool, as_json: bool
) -> int:
    """Returns 0 when the file is written. Raises ConfigError, WrongUse, CommandFailed."""
    found = read_folder(folder, vhost)
    imported = imported_from(
        found, str(folder), node_id=node_id, directory=output.absolute().parent
    )
    if output == _STDOUT:
        sys.stdout.write(imported.toml())
        return 0
    _write(output, imported.toml(), force=force)
    if as_json:
        terminal.print_json({"output": str(output), **imported.report()})
    else:
        _show(imported, output)
    return 0


def _write(output: Path, text: str, *, force: bool) -> None:
    try:
        with output.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise terminal.WrongUse(f"{output} is there: add --force to write over it") from None
    except OSError as error:
        raise terminal.CommandFailed(f"{output} cannot be written: {error.strerror}") from None
    apps = output.parent / "apps"  # which the file names
    if not apps.exists():
        apps.mkdir()


def _show(imported: Imported, output: Path) -> None:
    table = terminal.table("", "key", "value", "from")
    for row in imported.report()["mapped"]:
        waits = " (a comment: see there)" if row["waits"] else ""
        cells = (row["key"], row["value"] + waits, f"{row['file']}: {row['path']}")
        table.add_row(*map(escape, cells))
    out = terminal.console()
    out.print(table)
    counts = f"{len(imported.mapped)} keys; {len(imported.unmapped)} elements without one"
    out.print(f"{escape(str(output))}: {counts} are comments")
