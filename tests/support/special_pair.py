"""`rtmp-sync pair` with what only tests want: other numbers, a record elsewhere, a slow link.

python -m tests.support.special_pair --dir DIR --port PORT --apps APPS
    [--link HOST:PORT]   the first node dials the second one through this proxy
    [--failover JSON]    keys of [failover] for both nodes
    [--replication JSON] the same of [replication]
    [--own-media]        each node keeps its recordings to itself
    [--config TOML]      what the configuration of both nodes ends with
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rtmp_sync.config_values import Address
from rtmp_sync.server.loop import run
from rtmp_sync.server.pair import Pair
from rtmp_sync.server.pair_directory import PairDirectory


class ConfiguredDirectory(PairDirectory):
    """The configuration of both nodes ends with `more`."""

    more = ""

    def prepare(self) -> None:
        super().prepare()
        for node in self.nodes:
            with node.config.open("a") as config:
                config.write(f"\n{self.more}")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--apps", type=Path, required=True)
    parser.add_argument("--link", type=Address.parse)
    parser.add_argument("--failover", type=json.loads, default={})
    parser.add_argument("--replication", type=json.loads, default={})
    parser.add_argument("--own-media", action="store_true")
    parser.add_argument("--config", default="")
    options = parser.parse_args()
    directory = ConfiguredDirectory(
        options.dir,
        port=options.port,
        apps=options.apps,
        link=options.link,
        failover=options.failover,
        replication=options.replication,
        own_media=options.own_media,
    )
    directory.more = options.config

    async def ready() -> None:
        print("serving", flush=True)

    async def serve() -> int:
        return await Pair(directory, on_ready=ready, on_news=lambda news: print(news)).run()

    return run(serve())


if __name__ == "__main__":
    sys.exit(main())
