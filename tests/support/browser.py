"""Chromium without a window, on pages of the test's own server, which they report to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from aiohttp import web

from tests.support.programs import require

MPEGTS = "mpegts.js@1.8.2"  # the player that most pages with HTTP-FLV use
SECONDS = 40.0  # for a machine that is busy

OPTIONS = (
    "--headless",
    "--no-sandbox",  # it refuses to run as root with it
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)


def mpegts_js() -> str:
    """The player's source, from the npm registry; kept for the next time."""
    kept = Path(tempfile.gettempdir()) / f"rtmp-sync-tests-{os.getuid()}" / f"{MPEGTS}.js"
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            command = [require("npm"), "pack", MPEGTS, "--silent"]
            ran = subprocess.run(command, cwd=folder, capture_output=True, timeout=60)
            if ran.returncode != 0:
                message = f"{MPEGTS} cannot be had from the npm registry: {ran.stderr.decode()}"
                if os.environ.get("CI"):
                    pytest.fail(message)
                pytest.skip(message)
            (package,) = Path(folder).glob("*.tgz")
            with tarfile.open(package) as archive:
                source = archive.extractfile("package/dist/mpegts.js")
                assert source is not None
                new = Path(folder) / "new"
                new.write_bytes(source.read())
            new.replace(kept)  # whole or not at all
    return kept.read_text()


class Browser:
    """`async with Browser(page, files, log) as browser:` opens the page, which posts an object to
    `/report/NAME`: the last values of each name are in `reports`.

    files: what else the page's server has, by path.
    """

    def __init__(self, page: str, files: Mapping[str, str], log: Path) -> None:
        self.reports: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        self._files = {"/": page, **files}
        self._log = log
        self._news = asyncio.Event()
        self._program = require("chromium")

    async def __aenter__(self) -> Browser:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._serve)
        app.router.add_post("/report/{name}", self._take)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        port = self._runner.addresses[0][1]
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        with self._log.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                *(self._program, *OPTIONS, f"--user-data-dir={self._folder.name}"),
                f"http://127.0.0.1:{port}/",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        await self._runner.cleanup()
        self._folder.cleanup()

    async def until(self, name: str, true: Callable[[dict[str, Any]], bool]) -> None:
        """Wait until what the page reports is so."""
        try:
            async with asyncio.timeout(SECONDS):
                while not true(self.reports[name]):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            told = f"{name} reported {self.reports[name]}"
            pytest.fail(f"{told}\n{self._log.read_text()[-2000:]}")

    async def _serve(self, request: web.Request) -> web.Response:
        content = self._files.get(request.path)
        if content is None:
            return web.Response(status=404)
        kind = "text/javascript" if request.path.endswith(".js") else "text/html"
        return web.Response(text=content, content_type=kind)

    async def _take(self, request: web.Request) -> web.Response:
        self.reports[request.match_info["name"]] |= await request.json()
        self._news.set()
        return web.Response()
