"""nginx-rtmp as a neighbour: it pulls from us what its players ask for, and pushes to us; and
relays of ours do the same with it."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.support.clips import PLAIN
from tests.support.flv_tags import same_frames
from tests.support.pair import within
from tests.support.single import Single, free_ports
from tests.support.stream_ends import publishing, send_tags, watching

from .row import Row
from .scene import Scene

PROGRAM = "nginx-rtmp"
NGINX = "nginx"
NEEDS = (NGINX,)
MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")

CONFIGURATION = """\
load_module {module};
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 64; }}
rtmp {{
    access_log off;
    server {{
        listen 127.0.0.1:{port};
        chunk_size 4096;
        application plain {{ live on; }}
        application pulled {{ live on; pull {origin}; }}
        application pushed {{ live on; push {origin}; }}
    }}
}}
"""


def version() -> str:
    command = [NGINX, "-v"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    found = re.search(r"nginx/(\S+)", said)
    module = subprocess.run(
        ["dpkg-query", "-W", "-f=${Version}", "libnginx-mod-rtmp"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    return f"{module} (nginx {found[1] if found else '?'})"


@asynccontextmanager
async def _serving(scene: Scene) -> AsyncIterator[str]:
    """rtmp://host:port of an nginx for one row."""
    folder = scene.new("")
    folder.mkdir()
    (port,) = free_ports(1)
    text = CONFIGURATION.format(module=MODULE, folder=folder, port=port, origin=scene.address)
    configuration = folder / "nginx.conf"
    configuration.write_text(text)
    command = (NGINX, "-e", "stderr", "-p", str(folder), "-c", str(configuration))

    async def listens() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    async with scene.running(*command) as server:
        await within(20, f"nginx listens {server.said}", listens)
        yield f"rtmp://127.0.0.1:{port}"


async def pulls(scene: Scene) -> str:
    clip, name = await scene.clip(PLAIN), scene.new().stem
    async with _serving(scene) as address, watching(f"{address}/pulled", name) as witness:
        await scene.playing(name)
        await scene.publish(clip, name)  # nginx goes on waiting for more of it
        return same_frames(clip.tags, await witness.at_least(len(clip.tags)))


async def pushes(scene: Scene) -> str:
    clip, name = await scene.clip(PLAIN), scene.new().stem
    async with _serving(scene) as address, watching(scene.address, name) as witness:
        async with publishing(f"{address}/pushed", name) as stream:
            await scene.logged("publish", stream=name)
            await send_tags(stream, clip.messages)
        return same_frames(clip.tags, await witness.end())


async def is_relayed_to_and_from(scene: Scene) -> str:
    """One application pushes to it, another one pulls that from it."""
    clip, name = await scene.clip(PLAIN), scene.new().stem
    async with _serving(scene) as address:
        relays = {
            "[apps.live.relays]": {"push": f"{address}/plain"},
            "[apps.channel.relays]": {"pull": f"{address}/plain"},
        }
        origin = Single(**relays)
        try:
            await origin.start()

            async def both_relay() -> bool:
                return origin.logs().count("relay_started") == 2

            async with (
                watching(f"rtmp://{origin.address}/channel", name) as witness,
                publishing(f"rtmp://{origin.address}/live", name) as stream,
            ):
                await within(20, "both relays are connected", both_relay)
                await send_tags(stream, clip.messages)
                return same_frames(clip.tags, await witness.at_least(len(clip.tags)))
        finally:
            origin.clean_up()


ROWS: Final = [
    Row(PROGRAM, f"pull {PLAIN} from us", pulls, NEEDS),
    Row(PROGRAM, f"push {PLAIN} to us", pushes, NEEDS),
    Row(PROGRAM, f"be pushed to by us, and pulled from, {PLAIN}", is_relayed_to_and_from, NEEDS),
]
VERSIONS: Final = {PROGRAM: version}
