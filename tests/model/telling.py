"""The steps to a violation, for people."""

from __future__ import annotations

from tests.model.happenings import Happening
from tests.model.life import Lives
from tests.model.state import Host, Pair

__all__ = ["told"]


def told(
    lives: Lives,
    happening: Happening,
    twist: tuple[str, str] | None,
    rows: list[tuple[str, str]],
    after: Pair | None,
) -> str:
    """One line: what happened, which rows acted, and what is then."""
    kind, *where = happening
    text = " ".join((*where, kind)) if where else kind
    if twist is not None:
        text += f" ({twist[0]}'s record: {twist[1]})"
    line = f"{text:<44}"
    if after is not None:
        line += f" {_host(lives, after.a):<18} {_host(lives, after.b):<18} {_record(after):<34}"
    return line + " ".join(f"{node}:{row}" for node, row in rows)


def _host(lives: Lives, host: Host) -> str:
    if host.life < 0:
        return f"{host.boot.node} -"
    frozen = " frozen" if host.frozen else ""
    gate = " OPEN" if host.gate == "open" else "" if host.gate == "closed" else " ?"
    return f"{host.boot} {lives.facts(host.life).state}{gate}{frozen}"


def _record(pair: Pair) -> str:
    record = pair.record
    if record is None:
        return "no record"
    sync = ",".join(copy.boot_id for copy in record.sync)
    flags = " released" * record.released + " paused" * record.paused
    return f"e{record.epoch} {record.boot_id} [{sync}]{flags}"
