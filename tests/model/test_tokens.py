"""States that differ in names alone are one; others are not."""

from __future__ import annotations

from rtmp_sync.cluster.view import Policy
from tests.model.happenings import Happening, World
from tests.model.life import Lives
from tests.model.names import Canon
from tests.model.state import Pair
from tests.model.store import FileStore
from tests.model.tokens import Boot, Epoch, Instant, Names, Nonce, Rev, tokens


def _after(world: World, pair: Pair, *happenings: Happening) -> Pair:
    for happening in happenings:
        pair, _ = world.after(pair, happening)
    return pair


def _quiet(world: World, pair: Pair, ticks: int = 12) -> Pair:
    for _ in range(ticks):
        pair = _after(world, pair, ("round", "A"), ("round", "B"), ("tick",))
    return pair


def test_a_pair_that_moves_there_and_back_again_is_where_it_was() -> None:
    world = World(Lives(Policy(digest_seconds=float("inf"))), FileStore())
    canon = Canon(world.lives)
    pair, met = world.settled(), []
    for node in "ABAB":
        pair = _quiet(world, _after(world, pair, ("ask", node, "switchover")))
        met.append(canon.canonical(pair))
    assert [pair.b.gate for pair in met] == ["open", "closed"] * 2
    assert met[1] == met[3]
    assert met[0] != met[1]


def test_names_keep_order_and_neighbours() -> None:
    value = (Epoch(4), Epoch(5), Epoch(9), Rev(7), Boot("A", 3), Nonce(Boot("A", 3), 7, 0))
    names = Names(frozenset(tokens(value)))
    assert names.renamed(value) == (1, 2, 4, 1, "A1", "A1.1.0")


def test_instants_stay_instants_and_differences_do_not() -> None:
    assert type(Instant(1.0) + 2.0) is Instant
    assert type(3.0 + Instant(1.0)) is Instant
    assert type(Instant(3.0) - Instant(1.0)) is float
    assert type(Instant(3.0) - 1.0) is Instant
