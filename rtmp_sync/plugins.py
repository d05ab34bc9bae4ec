"""Applications are found by file name: `apps/NAME.py` serves `rtmp://host/NAME`."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Final, NamedTuple

from rtmp_sync.app import Application
from rtmp_sync.errors import ConfigError

__all__ = ["APPLICATIONS", "Loaded", "line_of", "load", "load_applications"]

APPLICATIONS: Final = "rtmp_sync_apps."
"""What the names of their modules begin with."""


class Loaded(NamedTuple):
    """An application's file, run. digest: of its text, to tell one from another."""

    application: type[Application]
    module: ModuleType
    digest: str

    def put_in_use(self) -> None:
        """What looks for its module by name finds this one from now on, as after an import."""
        sys.modules[self.module.__name__] = self.module


def load_applications(directory: Path) -> dict[str, Loaded]:
    """Every application in the folder, by name; raises ConfigError for one that does not import.

    Files whose name begins with "_" are for the applications' own use.
    """
    if not directory.is_dir():
        fix = "no such folder; create it, or name the one with your applications"
        raise ConfigError("apps.directory", str(directory), fix)
    found: dict[str, Loaded] = {}
    for path in sorted(directory.glob("*.py")):
        if not path.name.startswith("_"):
            found[path.stem] = load(path)
            found[path.stem].put_in_use()
    return found


def load(path: Path) -> Loaded:
    """Run the file as it is now, as a module of its own: the one in use stays. Raises ConfigError.

    No bytecode is kept: its check by whole seconds misses what is saved twice in one.
    """
    name = f"{APPLICATIONS}{path.stem}"
    loader = SourceFileLoader(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None  # it has a loader
    module = importlib.util.module_from_spec(spec)
    former = sys.modules.get(name)
    sys.modules[name] = module  # as an import would: dataclasses and pickling look there
    try:
        text = loader.get_data(str(path))
        exec(loader.source_to_code(text, str(path)), module.__dict__)
    except (Exception, SystemExit) as error:  # whatever the file raises is its author's to read
        said = f"{type(error).__name__}: {_said(error, path)}{line_of(error, path)}"
        fix = f"does not import ({said}); correct it"
        raise ConfigError(f"apps.{path.stem}", str(path), fix) from error
    finally:
        if former is not None:
            sys.modules[name] = former
        else:
            del sys.modules[name]
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Application) and value.__module__ == name
    ]
    if len(found) != 1:
        fix = f"it defines {len(found)} Application classes; define exactly one"
        raise ConfigError(f"apps.{path.stem}", str(path), fix)
    return Loaded(found[0], module, hashlib.sha256(text).hexdigest()[:16])


def _said(error: BaseException, path: Path) -> str:
    """One line; of a SyntaxError of the file itself without its place, which `line_of` tells."""
    text = str(error)
    if isinstance(error, SyntaxError) and error.filename == str(path):
        text = error.msg
    return " ".join(text.split())


def line_of(error: BaseException, path: Path) -> str:
    """ ", line N" of the application's own file, if the error passed through it."""
    line = error.lineno if isinstance(error, SyntaxError) else None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f", line {line}" if line else ""
