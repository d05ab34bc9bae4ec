r"""The `file` coordinator: the article's pair file on a NAS that both nodes mount.

The line `A\B` or `A\B\secondaryUP` is a *projection* of the record in `<pair file>.d`, written
for people. It is an operator's *request* only if it is not the file that we projected, or its
bytes are not those that we wrote; the same on two reads, and not the line that was there when
the record last agreed with it. Layout and I/O: `file_io.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtmp_sync.cluster.observer import Sighting
from rtmp_sync.cluster.pair_file import PairLine, format_line, parse
from rtmp_sync.cluster.record import Record, decode, encode
from rtmp_sync.cluster.view import CasResult, Outcome
from rtmp_sync.coordinators.base import Attempt, Reading
from rtmp_sync.coordinators.file_helper import FileHelper
from rtmp_sync.errors import ConfigError, StoreError, StoreTimeout
from rtmp_sync.server.clock import now

__all__ = ["FileCoordinator", "make"]


if TYPE_CHECKING:
    from rtmp_sync.config import Config


def make(config: Config, *, boot_id: str, last_epoch: int, owner: str) -> FileCoordinator:
    """A third of t_conf per request: three may fail before the authority runs out."""
    pair_file = config.failover.pair_file
    if pair_file is None:
        raise ConfigError("failover.pair_file", "(not given)", "give the path of the pair file")
    deadline = config.timing().t_conf / 3
    return FileCoordinator(pair_file, config.node.id, deadline_seconds=deadline, owner=owner)


@dataclass(frozen=True, slots=True)
class _Line:
    """What the pair file says, and whether it should be written anew."""

    status: str
    wished_holder: str | None = None
    stale: bool = False


class FileCoordinator:
    """Records, heartbeats and the line in a folder. `owner` tells apart the helpers of one
    node: its origin and its guard."""

    def __init__(
        self, pair_file: Path, node_id: str, *, deadline_seconds: float, owner: str = ""
    ) -> None:
        self.node_id = node_id
        self.condition = "ok"
        self._pair_file = pair_file
        self._helper = FileHelper(pair_file, owner or node_id, deadline_seconds)
        self._beats = 0
        self._nonces = 0
        self._nodes: tuple[str, str] | None = None
        self._foreign: tuple[str, int] | None = None  # an edit of the line, seen once
        self._accepted: tuple[str, int] | None = None  # what the line was when it asked nothing
        self._projecting: asyncio.Task[None] | None = None

    def on_change(self, told: Callable[[], None]) -> None:
        pass  # a folder on a NAS must be asked

    async def start(self) -> tuple[str, str] | None:
        """Raises ConfigError: no valid record and no valid line, or this node in neither."""
        try:
            reading = await self.read(beat=False)
        except StoreError:
            return None  # the watchdog will hold the node back and look again
        key, value = "failover.pair_file", str(self._pair_file)
        if reading.nodes is None and reading.line == "missing":
            raise ConfigError(key, value, "is missing; write PRIMARY\\SECONDARY into it")
        if reading.nodes is None:
            fix = "must hold one line, PRIMARY\\SECONDARY or PRIMARY\\SECONDARY\\secondaryUP"
            raise ConfigError(key, value, fix)
        if self.node_id not in reading.nodes:
            fix = f"is not in the pair file {value} ({' and '.join(reading.nodes)})"
            raise ConfigError("node.id", self.node_id, fix)
        return reading.nodes

    async def stop(self) -> None:
        if self._projecting is not None:
            await asyncio.wait([self._projecting])
        await self._helper.stop()

    async def read(self, *, beat: bool) -> Reading:
        started = now()
        content = None
        if beat:
            self._beats += 1
            content = f"{self._beats} {secrets.token_hex(8)}\n"
        answer = await self._ask("read", node=self.node_id, beat=content, peer=self._peer())
        if "error" in answer:
            raise StoreError(answer["error"])
        self.condition = answer["beat_error"] or "ok"
        reading = self._understand(answer, started, beat=beat and self.condition == "ok")
        if self._nodes is None and reading.nodes is not None and self._learn(reading.nodes):
            return await self.read(beat=beat)  # now that the peer's heartbeat has a name
        return reading

    async def cas(self, record: Record) -> Attempt:
        if record.released and not await self._helper.reaped():
            return _attempt(record, Outcome.REFUSED, "a hung helper could still write")
        content = encode(record).decode("latin-1")
        try:
            answer = await self._ask("cas", rev=record.rev, content=content, nonce=record.nonce)
        except StoreTimeout as error:
            return _attempt(record, Outcome.UNKNOWN, str(error))
        if "outcome" not in answer:
            return _attempt(record, Outcome.UNKNOWN, answer.get("error", ""))
        outcome, highest = Outcome(answer["outcome"]), _record(answer["record"])
        return replace(_attempt(record, outcome, answer.get("error", "")), highest=highest)

    async def write_nonce(self) -> str:
        self._nonces += 1
        nonce = f"{self._nonces:016d} {secrets.token_hex(8)}"
        await self._nonce(self.node_id, nonce)
        return nonce

    async def read_nonce(self, node: str) -> str | None:
        return await self._nonce(node, None)

    def _peer(self) -> str | None:
        if self._nodes is None:
            return None
        return next(node for node in self._nodes if node != self.node_id)

    def _learn(self, nodes: tuple[str, str]) -> bool:
        """The pair's spelling of the names is the one that counts."""
        mine = [node for node in nodes if node.casefold() == self.node_id.casefold()]
        if mine:
            self._nodes, self.node_id = nodes, mine[0]
        return bool(mine)

    def _understand(self, answer: dict[str, Any], started: float, *, beat: bool) -> Reading:
        record = _record(answer["record"])
        sighting = Sighting(
            started,
            now(),
            record,
            invalid=answer["rev"] > 0 and record is None,
            beat_written=beat,
            peer_beat=answer["peer_beat"] or "",
        )
        line = self._look_at_line(answer, record)
        if line.stale and record is not None and record.holder == self.node_id:
            self._begin_projection(record)
        parsed = _line(answer)
        nodes = record.nodes if record is not None else parsed.nodes if parsed else None
        return Reading(sighting, nodes, line.status, line.wished_holder)

    def _look_at_line(self, answer: dict[str, Any], record: Record | None) -> _Line:
        line = _line(answer)
        if line is None:
            return _Line("missing" if answer["line"] is None else "invalid")
        seen = (answer["line"], answer["line_inode"])
        if record is None:
            self._accepted = seen
            return _Line("valid")
        if [name.casefold() for name in line.nodes] != [n.casefold() for n in record.nodes]:
            return _Line("rejected")
        holder = record.nodes[line.secondary_up]
        source = _record(answer["line_record"])
        ours = source is not None and answer["line"].encode("latin-1") == _projection(source)
        if ours or holder == record.holder or seen == self._accepted:
            self._foreign, self._accepted = None, seen
            return _Line("valid", stale=holder != record.holder or not ours)
        stable, self._foreign = seen == self._foreign, seen
        return _Line("valid", holder if stable else None)

    def _begin_projection(self, record: Record) -> None:
        """Not awaited by the read: a takeover does not wait for the line."""
        if self._projecting is None or self._projecting.done():
            self._projecting = asyncio.ensure_future(self._project(record))

    async def _project(self, record: Record) -> None:
        content = _projection(record).decode("latin-1")
        with contextlib.suppress(StoreError):  # the next read finds the line stale again
            await self._ask("project", rev=record.rev, content=content)

    async def _nonce(self, node: str, content: str | None) -> str | None:
        answer = await self._ask("nonce", node=node, content=content)
        if "error" in answer:
            raise StoreError(answer["error"])
        nonce: str | None = answer.get("nonce")
        return nonce

    async def _ask(self, operation: str, **fields: object) -> dict[str, Any]:
        """Raises StoreTimeout."""
        try:
            answer = await self._helper.request(operation, **fields)
        except StoreTimeout:
            self.condition = "hung"
            raise
        self.condition = answer.get("error", "ok")
        return answer


def _projection(record: Record) -> bytes:
    return format_line(PairLine(record.nodes, record.holder == record.nodes[1]))


def _line(answer: dict[str, Any]) -> PairLine | None:
    line = answer["line"]
    return parse(line.encode("latin-1")) if line is not None else None


def _record(content: str | None) -> Record | None:
    if content is None:
        return None
    try:
        return decode(content.encode("latin-1"))
    except StoreError:
        return None


def _attempt(record: Record, outcome: Outcome, detail: str) -> Attempt:
    return Attempt(CasResult(record.nonce, outcome, now(), detail))
