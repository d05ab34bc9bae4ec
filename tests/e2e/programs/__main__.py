"""The table of programs: python -m tests.e2e.programs [--markdown FILE]

Exit code 1 when an outcome is not the expected one.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from .report import markdown
from .row import Outcome, outcomes
from .scene import Scene
from .table import TABLE


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    found = asyncio.run(_run())
    for one in found:
        mark = "as expected" if one.as_expected else "NOT AS EXPECTED"
        print(f"{one.row.id}: {'yes' if one.works else 'no'}, {one.observed} ({mark})")
    if options.markdown is not None:
        options.markdown.write_text(markdown(found))
    return 0 if all(one.as_expected for one in found) else 1


async def _run() -> list[Outcome]:
    with tempfile.TemporaryDirectory(prefix="rtmp-sync-programs-") as folder:
        async with Scene.open(Path(folder)) as scene:
            return await outcomes(TABLE, scene)


if __name__ == "__main__":
    sys.exit(main())
