"""`rtmp-sync pair` whose first node dials the second one through a proxy.

python -m tests.support.linked_pair --dir DIR --port PORT --apps APPS --link HOST:PORT
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rtmp_sync.config_values import Address
from rtmp_sync.server.loop import run
from rtmp_sync.server.pair import Pair
from rtmp_sync.server.pair_directory import PairDirectory


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--apps", type=Path, required=True)
    parser.add_argument("--link", type=Address.parse, required=True)
    options = parser.parse_args()
    directory = PairDirectory(options.dir, port=options.port, apps=options.apps, link=options.link)

    async def ready() -> None:
        print("serving", flush=True)

    async def serve() -> int:
        return await Pair(directory, on_ready=ready, on_news=lambda news: print(news)).run()

    return run(serve())


if __name__ == "__main__":
    sys.exit(main())
