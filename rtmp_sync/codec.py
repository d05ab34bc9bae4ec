"""Which build of `rtmp_sync.wire` runs: the one compiled by mypyc or the plain Python source.

Both are made from the same files. An install with a C compiler puts extension modules beside
the sources and Python prefers those; RTMP_SYNC_PURE=1 in the environment makes it load the
sources all the same. The package imports this module before any other, so that the choice is
made before the first wire module is loaded.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from types import ModuleType
from typing import Final, Literal

__all__ = ["running"]

_WIRE: Final = "rtmp_sync.wire."


class _SourcesOnly(MetaPathFinder):
    """Finds wire modules by their .py files, as if no extension module lay beside them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(_WIRE) or path is None:
            return None
        for folder in path:
            spec = FileFinder(folder, (SourceFileLoader, SOURCE_SUFFIXES)).find_spec(fullname)
            if spec is not None:
                return spec
        return None


def running() -> Literal["compiled", "pure"]:
    """The build that this process uses."""
    # imported here: this module comes before the wire modules whose loading it decides
    from rtmp_sync.wire import amf0_reader

    file = amf0_reader.__file__ or ""
    return "pure" if file.endswith(tuple(SOURCE_SUFFIXES)) else "compiled"


if os.environ.get("RTMP_SYNC_PURE") == "1":
    sys.meta_path.insert(0, _SourcesOnly())
