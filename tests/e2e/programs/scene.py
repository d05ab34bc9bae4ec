"""What all rows share: one origin, the clips, a folder; and how a program is run."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rtmp_sync.wire.flv import FlvTag
from tests.support.clips import make_clip
from tests.support.flv_tags import Tag, media_tags, read_messages
from tests.support.pair import ROOT, within
from tests.support.single import Single
from tests.support.stream_ends import END_SECONDS, publishing, send_tags

PROGRAM_SECONDS = 40.0  # for a clip of 2 seconds, on a busy machine


class Clip:
    """messages: what is sent of it. `tags`: its audio and video."""

    def __init__(self, file: Path, messages: list[FlvTag]) -> None:
        self.file = file
        self.messages = messages
        self.tags: list[Tag] = media_tags(messages)


class Program:
    """A program that runs, its output in a file."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def said(self) -> str:
        return self._log.read_text(errors="replace")

    async def end(self) -> int:
        """Wait for its end; its exit code."""
        async with asyncio.timeout(PROGRAM_SECONDS):
            return await self.process.wait()

    async def done(self) -> None:
        """Wait for its end, which must be a good one."""
        code = await self.end()
        assert code == 0, _complaint(self.said, code)

    async def stop(self) -> None:
        """Ask it to end, as Ctrl-C does, unless it has."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGINT)
            try:
                async with asyncio.timeout(5):
                    await self.process.wait()
            except TimeoutError:
                self.process.kill()
                await self.process.wait()


class Scene:
    """`open` makes one. Names of streams are used once each."""

    def __init__(self, origin: Single, folder: Path) -> None:
        self.origin = origin
        self.folder = folder
        self.address = f"rtmp://{origin.address}/live"
        self._clips: dict[tuple[str, float], asyncio.Task[Clip]] = {}
        self._numbers = itertools.count(1)

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path) -> AsyncIterator[Scene]:
        media, apps = folder / "media", folder / "apps"
        media.mkdir()
        apps.mkdir()
        for app in (ROOT / "apps/live.py", Path(__file__).with_name("archive.py")):
            shutil.copy(app, apps)
        origin = Single(storage={"media": media}, apps={"directory": apps})
        try:
            await origin.start()
            yield cls(origin, folder)
        finally:
            origin.clean_up()

    async def clip(self, codecs: str, seconds: float = 2.0) -> Clip:
        """Made when first asked for."""
        key = (codecs, seconds)
        if key not in self._clips:
            file = self.folder / f"clip-{len(self._clips)}.flv"
            self._clips[key] = asyncio.ensure_future(_made(codecs, file, seconds))
        return await self._clips[key]

    def new(self, suffix: str = ".flv") -> Path:
        """A file that is not there yet; its stem is good for a stream's name."""
        return self.folder / f"s{next(self._numbers)}{suffix}"

    def url(self, name: str, app: str = "live") -> str:
        return f"rtmp://{self.origin.address}/{app}/{name}"

    def recorded_files(self, name: str, app: str = "live") -> list[Path]:
        """The segments of a recording, in their order."""
        return sorted((self.folder / "media" / app / "_definst_" / f"{name}.rec").glob("*.flv"))

    # our ends of a stream

    async def publish(
        self, clip: Clip, name: str, kind: str = "live", *, shift_ms: int = 0
    ) -> None:
        """The whole clip, in the moment. shift_ms: added to its timestamps."""
        async with publishing(self.address, name, kind) as stream:
            await send_tags(stream, clip.messages, shift_ms=shift_ms)

    async def recorded(self, clip: Clip) -> str:
        """The name of a recording of this clip, made by publishing it."""
        name = self.new().stem
        await self.publish(clip, name, "record")
        await self.logged("segment", stream=name, state="closed")
        return name

    # programs

    @asynccontextmanager
    async def running(self, *command: str) -> AsyncIterator[Program]:
        """A program, which is over at the end of the block in any case."""
        log = self.new(".log")
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
            )
        program = Program(process, log)
        try:
            yield program
        finally:
            await program.stop()

    async def run(self, *command: str) -> str:
        """A program to its good end; what it said."""
        async with self.running(*command) as program:
            await program.done()
        return program.said

    async def playing(self, name: str, players: int = 1) -> None:
        """Wait until so many have begun to play this stream."""
        await self.logged("play", players, stream=name)

    async def logged(self, event: str, times: int = 1, **fields: object) -> dict[str, Any]:
        """Wait until the origin's log has so many lines with these; the last of them."""
        wanted = {"event": event, **fields}.items()

        async def found() -> list[dict[str, Any]]:
            lines = self.origin.logs().splitlines()
            said = [json.loads(one) for one in lines if one.endswith("}") and f'"{event}"' in one]
            telling = [one for one in said if wanted <= {**one, "exception": ""}.items()]
            return telling if len(telling) >= times else []

        lines: list[dict[str, Any]] = await within(END_SECONDS, f"{event} {fields}", found)
        return lines[-1]


async def _made(codecs: str, file: Path, seconds: float) -> Clip:
    await asyncio.to_thread(make_clip, codecs, file, seconds)
    return Clip(file, read_messages(file))


def _complaint(said: str, code: int) -> str:
    """The first line that tells of an error, or the last one."""
    lines = [re.sub(r"^\[.*?\] *", "", line.strip()) for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if any(word in line.lower() for word in _TELLING)]
    return (telling or lines[-1:] or [f"exit code {code}"])[0]


_TELLING = ("not implemented", "error", "not compatible", "cannot", "invalid", "failed")
