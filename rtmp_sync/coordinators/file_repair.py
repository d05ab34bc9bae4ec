r"""`config repair`: what can be mended in the folder of the `file` coordinator, and how.

    look(copies)    reads everything and makes a Plan; changes nothing
    carry_out(plan)

What may be wrong, and what is done:

  * the line is missing, no pair line, or names other nodes: it is written anew from the newest
    record. A valid line is never touched, since it may be somebody's request.
  * the newest record is damaged, or the records are gone: a record is written that both nodes
    take for a newer one. It names the node that serves now, in its epoch; if none does, the one
    with the newest copy, in a boot that is over, so that it must claim anew. It never lists
    anybody in sync: that is found out again. An older valid record alone is not enough for
    this, since what it says of the holder or of `sync` may have been taken back since: the
    nodes' own word is asked for, which is why both have to run (they stay closed meanwhile).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rtmp_sync.cluster.pair_file import PairLine, format_line, parse
from rtmp_sync.cluster.record import Record, decode, encode
from rtmp_sync.coordinators.file_helper import FileHelper
from rtmp_sync.errors import ConfigError, StoreError

__all__ = ["Copy", "FileRepair", "Plan", "copies_from"]

# A node that runs takes no record for a newer one than it has read; what the other one has read
# is not known here, but it is not so many records ahead.
REVISIONS_AHEAD = 100

DEADLINE_SECONDS = 10.0  # an operator waits longer than an origin


@dataclass(frozen=True, slots=True)
class Copy:
    """What a running node has: its copy ends at (epoch, seq). serving: its gate is open. rev:
    of the record it read last, 0 when that is not known."""

    node: str
    boot_id: str
    epoch: int
    seq: int
    serving: bool = False
    history_id: str = ""
    rev: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """found, steps: sentences for the operator. `steps` without anything to write are what the
    operator has to do before; with neither, all is well."""

    found: tuple[str, ...]
    steps: tuple[str, ...] = ()
    record: Record | None = None
    line: bytes | None = None

    @property
    def is_needed(self) -> bool:
        return self.record is not None or self.line is not None


def copies_from(status: Mapping[str, Any]) -> list[Copy]:
    """The copies that a node's /status speaks of: its own, and the other one's if it is linked."""
    copies = [
        Copy(
            status["id"],
            status["boot_id"],
            status["epoch"],
            status["seq"],
            status["gate"] == "open",
            status["history_id"],
            status["rev"],
        )
    ]
    peer = status["peer"]
    if peer["link"] == "up":
        is_open = bool(peer["gate_open"])
        copies.append(Copy(peer["id"], peer["boot_id"], peer["epoch"], peer["head_seq"], is_open))
    return copies


@dataclass(frozen=True, slots=True)
class _Findings:
    newest: int  # revision; 0 without records
    is_damaged: bool
    valid: Record | None  # the newest one
    line: PairLine | None
    has_line: bool

    @property
    def nodes(self) -> tuple[str, str] | None:
        if self.valid is not None:
            return self.valid.nodes
        return self.line.nodes if self.line is not None else None


class FileRepair:
    """One use: `look`, `carry_out`, `close`."""

    def __init__(self, pair_file: Path, node_id: str) -> None:
        self._pair_file = pair_file
        self._node_id = node_id
        self._helper = FileHelper(pair_file, f"{node_id}-repair", DEADLINE_SECONDS)

    async def look(self, copies: Sequence[Copy]) -> Plan:
        """copies: of the nodes that run. Raises StoreError, ConfigError."""
        found = await self._find()
        told = [_of_records(found), _of_line(found), *map(_of_copy, copies)]
        if found.valid is not None and not found.is_damaged:
            return self._with_line(found, Plan(tuple(told)), found.valid)
        if found.nodes is None:
            key, fix = "failover.pair_file", "write PRIMARY\\SECONDARY into it, and run this again"
            raise ConfigError(key, str(self._pair_file), fix)
        if found.newest == 0 and len(copies) == 2 and not any(copy.epoch for copy in copies):
            step = "nothing is missing: both copies are empty, and the pair starts by itself"
            return Plan(tuple(told), (step,))
        if (obstacle := self._obstacle(found.nodes, copies)) is not None:
            return Plan(tuple(told), (obstacle,))
        record = self._record(found, found.nodes, copies)
        step = f"write record {record.rev}: {_says(record)}"
        return self._with_line(found, Plan(tuple(told), (step,), record), record)

    async def carry_out(self, plan: Plan) -> None:
        """Raises StoreError: nothing, or not everything, was done."""
        if (record := plan.record) is not None:
            content = encode(record).decode("latin-1")
            answer = await self._ask("cas", rev=record.rev, content=content, nonce=record.nonce)
            if answer["outcome"] != "landed":
                raise StoreError(f"another record is there meanwhile: revision {answer['rev']}")
        if plan.line is not None:
            rev = (await self._find()).newest
            await self._ask("project", rev=rev, content=plan.line.decode("latin-1"))

    async def close(self) -> None:
        await self._helper.stop()

    # -- inside -------------------------------------------------------------------------

    async def _find(self) -> _Findings:
        answer = await self._ask("records")
        records = [(rev, _decoded(content)) for rev, content in answer["records"]]
        line: str | None = answer["line"]
        return _Findings(
            newest=records[0][0] if records else 0,
            is_damaged=bool(records) and records[0][1] is None,
            valid=next((record for _, record in records if record is not None), None),
            line=parse(line.encode("latin-1")) if line is not None else None,
            has_line=line is not None,
        )

    async def _ask(self, operation: str, **fields: object) -> dict[str, Any]:
        answer = await self._helper.request(operation, **fields)
        if "error" in answer:
            raise StoreError(answer["error"])
        return answer

    def _obstacle(self, nodes: tuple[str, str], copies: Sequence[Copy]) -> str | None:
        """Why no record can be written yet."""
        missing = [node for node in nodes if not any(_same(node, copy.node) for copy in copies)]
        if missing:
            who = " and ".join(missing)
            return f"start {who} (an origin stays closed without a record), and run this again"
        serving = [copy.node for copy in copies if copy.serving]
        if serving and not _same(serving[0], self._node_id):
            return f"{serving[0]} serves: run this there"
        return None

    def _record(self, found: _Findings, nodes: tuple[str, str], copies: Sequence[Copy]) -> Record:
        valid = found.valid
        best = max(copies, key=lambda copy: (copy.serving, copy.epoch, copy.seq))
        nonce = secrets.token_hex(8)
        epoch = best.epoch
        if not best.serving:  # else it goes on in the epoch that it serves
            epoch = max(1, epoch, valid.epoch if valid is not None else 0)
        return Record(
            rev=max(found.newest, *(copy.rev for copy in copies)) + REVISIONS_AHEAD,
            prev=valid.nonce if valid is not None else "",
            nonce=nonce,
            nodes=nodes,
            epoch=epoch,
            holder=next(node for node in nodes if _same(node, best.node)),
            boot_id=best.boot_id if best.serving else "",
            sync=(),
            released=False,
            paused=valid is not None and valid.paused,
            history_id=best.history_id if best.serving else f"{epoch}-{nonce}",
            seq=best.seq,
            reason="repaired",
            by=self._node_id,
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )

    def _with_line(self, found: _Findings, plan: Plan, record: Record) -> Plan:
        line = found.line
        if line is not None and [*map(str.casefold, line.nodes)] == [
            *map(str.casefold, record.nodes)
        ]:
            return plan
        content = format_line(PairLine(record.nodes, record.holder == record.nodes[1]))
        step = f"write the line {content.decode()}"
        return Plan(plan.found, (*plan.steps, step), plan.record, content)


def _of_records(found: _Findings) -> str:
    if found.newest == 0:
        return "there are no records"
    if found.valid is None:
        return f"none of the records is valid; the newest is {found.newest}"
    if found.is_damaged:
        newest = f"record {found.newest} is damaged; the newest valid one is {found.valid.rev}"
        return f"{newest}: {_says(found.valid)}"
    return f"record {found.newest} is valid: {_says(found.valid)}"


def _of_line(found: _Findings) -> str:
    if not found.has_line:
        return "the pair file is missing"
    if found.line is None:
        return "the pair file is no pair line"
    nodes = "\\".join(found.line.nodes)
    return f"the pair file says {nodes}, holder {found.line.holder}"


def _of_copy(copy: Copy) -> str:
    state = "serves" if copy.serving else "is closed"
    return f"{copy.node} runs and {state}; its copy ends at epoch {copy.epoch}, seq {copy.seq}"


def _says(record: Record) -> str:
    boot = f" (boot {record.boot_id})" if record.boot_id else ""
    return f"epoch {record.epoch}, holder {record.holder}{boot}"


def _decoded(content: str) -> Record | None:
    try:
        return decode(content.encode("latin-1"))
    except StoreError:
        return None


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()
