"""A copy of the package with rtmp_sync/wire compiled, beside the sources that are worked on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def compiled_copy(folder: Path) -> str | None:
    """Build the copy in `folder` (a directory that is empty or does not exist).

    Returns None, or why it could not be built. `folder` then goes into PYTHONPATH.
    """
    ignore = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(ROOT / "rtmp_sync", folder / "rtmp_sync", ignore=ignore)
    shutil.copy(ROOT / "setup.py", folder)
    (folder / "pyproject.toml").write_text('[project]\nname = "copy"\nversion = "0"\n')
    environment = {name: value for name, value in os.environ.items() if name != "RTMP_SYNC_PURE"}
    build = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    if any((folder / "rtmp_sync" / "wire").glob("amf0_reader.*.so")):
        return None
    said = (build.stdout + build.stderr).strip().splitlines()
    return said[-1] if said else "it says nothing"
