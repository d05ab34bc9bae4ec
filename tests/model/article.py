r"""The article's rules in the same search: its script (`tests.simulation.article.script`, line by
line) on both machines, the pair file, and a partition, a crash, a freeze or a lost store at any
moment. What must hold, and does not: never two who serve (D24), and one who serves again when
everything is repaired (D1), or when one machine is left and healthy (D8).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from tests.simulation.article import PRIMARY, SECONDARY, ScriptError, script

__all__ = ["DEFECTS", "ArticleFound", "search_article"]

GOOD, NOBODY = "<result>NetConnection.Call.Success</result>", "failed"
RUNS: Final = 4  # of both scripts, one after the other; then nothing changes any more


class Machine(NamedTuple):
    gate_open: bool
    runs: bool = True
    frozen: bool = False  # nothing runs, the firewall stays what it is
    reaches_file: bool = True

    @property
    def serves(self) -> bool:
        return self.gate_open and self.runs and not self.frozen


class Article(NamedTuple):
    line: str
    a: Machine
    b: Machine
    together: bool = True  # they reach each other


@dataclass(frozen=True, slots=True)
class ArticleFound:
    """defect: as failover.md section 5 numbers it; states: visited until then."""

    defect: str
    text: str
    faults: int
    states: int
    steps: tuple[str, ...]


def _run(pair: Article, me: str) -> Article:
    machine = pair.a if me == PRIMARY else pair.b
    if not machine.runs or machine.frozen:
        return pair
    reached = pair.a.runs and not pair.a.frozen and (me == PRIMARY or pair.together)
    line = pair.line
    try:
        if not machine.reaches_file:
            raise ScriptError("the NAS does not answer")
        step = script(me, line, GOOD if reached else NOBODY)
    except ScriptError:
        return pair
    machine = machine._replace(gate_open=step.gate_open)
    changed = pair._replace(line=step.line or line)
    return _with(changed, me, machine)


def _with(pair: Article, me: str, machine: Machine) -> Article:
    return pair._replace(a=machine) if me == PRIMARY else pair._replace(b=machine)


def _steps(pair: Article) -> Iterator[tuple[str, Article, int]]:
    """What can happen next, and what it costs."""
    for me in (PRIMARY, SECONDARY):
        yield f"{me} runs its script", _run(pair, me), 0
    for me in (PRIMARY, SECONDARY):
        machine = pair.a if me == PRIMARY else pair.b
        changes = {
            "crashes": machine._replace(runs=False, gate_open=False),
            "freezes": machine._replace(frozen=True),
            "loses the file": machine._replace(reaches_file=False),
        }
        repairs = {
            "is started": machine._replace(runs=True),
            "goes on": machine._replace(frozen=False),
            "reaches the file": machine._replace(reaches_file=True),
        }
        for cost, becomes in ((1, changes), (0, repairs)):
            for what, changed in becomes.items():
                if changed != machine:
                    yield f"{me} {what}", _with(pair, me, changed), cost
    if pair.together:
        yield "they lose sight of each other", pair._replace(together=False), 1
    else:
        yield "they see each other again", pair._replace(together=True), 0


def _after_runs(pair: Article) -> Article:
    for _ in range(RUNS):
        pair = _run(_run(pair, PRIMARY), SECONDARY)
    return pair


def _repaired(pair: Article) -> Article:
    return Article(
        pair.line,
        Machine(pair.a.gate_open),
        Machine(pair.b.gate_open),
    )


def _two_writers(pair: Article) -> bool:
    return pair.a.serves and pair.b.serves


def _closed_though_repaired(pair: Article) -> bool:
    later = _after_runs(_repaired(pair))
    return not (later.a.serves or later.b.serves)


def _closed_though_one_is_well(pair: Article) -> bool:
    """The other one is dead for good."""
    alone = _repaired(pair)._replace(b=Machine(gate_open=False, runs=False))
    return not _after_runs(alone).a.serves


DEFECTS: Final[dict[str, tuple[str, Callable[[Article], bool]]]] = {
    "D1": ("everything is repaired, and both are closed for ever", _closed_though_repaired),
    "D8": ("B is dead, and A is closed for ever", _closed_though_one_is_well),
    "D24": ("both serve", _two_writers),
}


def search_article(defect: str) -> ArticleFound | None:
    """All states, by the number of faults; the first that shows the defect."""
    text, broken = DEFECTS[defect]
    begin = Article(f"{PRIMARY}\\{SECONDARY}", Machine(gate_open=True), Machine(gate_open=False))
    came: dict[Article, tuple[Article, str] | None] = {begin: None}
    layer, faults, visited = [begin], 0, 0
    while layer:
        following: list[tuple[Article, Article, str]] = []
        for pair in layer:  # grows
            visited += 1
            if broken(pair):
                return ArticleFound(defect, text, faults, visited, _way(came, pair))
            for what, after, cost in _steps(pair):
                if cost:
                    following.append((after, pair, what))
                elif after not in came:
                    came[after] = (pair, what)
                    layer.append(after)
        layer, faults = [], faults + 1
        for after, pair, what in following:
            if after not in came:
                came[after] = (pair, what)
                layer.append(after)
    return None


def _way(came: dict[Article, tuple[Article, str] | None], pair: Article) -> tuple[str, ...]:
    steps: list[str] = []
    before = came[pair]
    while before is not None:
        pair, what = before
        steps.append(what)
        before = came[pair]
    return tuple(reversed(steps))
