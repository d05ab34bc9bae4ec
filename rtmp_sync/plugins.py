"""Applications are found by file name: `apps/NAME.py` serves `rtmp://host/NAME`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Final

from rtmp_sync.app import Application
from rtmp_sync.errors import ConfigError

__all__ = ["APPLICATIONS", "load_applications"]

APPLICATIONS: Final = "rtmp_sync_apps."
"""What the names of their modules begin with."""


def load_applications(directory: Path) -> dict[str, type[Application]]:
    """Every application in the folder, by name; raises ConfigError for one that does not import.

    Files whose name begins with "_" are for the applications' own use.
    """
    if not directory.is_dir():
        fix = "no such folder; create it, or name the one with your applications"
        raise ConfigError("apps.directory", str(directory), fix)
    return {
        path.stem: _load(path)
        for path in sorted(directory.glob("*.py"))
        if not path.name.startswith("_")
    }


def _load(path: Path) -> type[Application]:
    name = f"{APPLICATIONS}{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # a path that ends with .py always has a loader
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # as an import would: dataclasses and pickling look there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever the file raises is its author's to read
        del sys.modules[name]
        text = " ".join(str(error).split())  # one line, whatever it says
        fix = f"does not import ({type(error).__name__}: {text}{_line(error, path)}); correct it"
        raise ConfigError(f"apps.{path.stem}", str(path), fix) from error
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Application) and value.__module__ == name
    ]
    if len(found) != 1:
        fix = f"it defines {len(found)} Application classes; define exactly one"
        raise ConfigError(f"apps.{path.stem}", str(path), fix)
    return found[0]


def _line(error: BaseException, path: Path) -> str:
    """ ", line N" of the application's own file, if the error passed through it."""
    line = error.lineno if isinstance(error, SyntaxError) else None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f", line {line}" if line else ""
