"""Everything that the nemesis knows to do to a pair; each returns when its cause has ended.

Nothing here takes the only complete copy away: processes die, hosts freeze and links break,
but a disk is lost only when the other node has everything, and never together with something
else (`alone`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from tests.support.pair import Node, now

from .field import Field

GUARD_DEADLINE = 2.0  # a silent origin lives no longer
HUNG_SECONDS = 30.0  # for the guard to see and kill it, on a busy machine
RESTART = 5.0  # seconds until `pair` starts a node again whose guard is gone


@dataclass(frozen=True, slots=True)
class Fault:
    """alone: it is never one of two at once, and begins only when the pair is whole."""

    name: str
    strike: Callable[[Field], Awaitable[None]]
    alone: bool = False


FAULTS: list[Fault] = []


def fault(
    name: str, *, alone: bool = False
) -> Callable[[Callable[[Field], Awaitable[None]]], Callable[[Field], Awaitable[None]]]:
    def add(strike: Callable[[Field], Awaitable[None]]) -> Callable[[Field], Awaitable[None]]:
        FAULTS.append(Fault(name, strike, alone))
        return strike

    return add


# ---- death ----


@fault("kill active")
async def kill_active(field: Field) -> None:
    await field.kill(await field.active())


@fault("kill standby")
async def kill_standby(field: Field) -> None:
    await field.kill(await field.standby())


@fault("kill both origins")
async def kill_both(field: Field) -> None:
    await field.kill(*field.pair.nodes())


@fault("kill active's guard")
async def kill_active_guard(field: Field) -> None:
    await _kill_guard(field, await field.active())


@fault("kill standby's guard")
async def kill_standby_guard(field: Field) -> None:
    await _kill_guard(field, await field.standby())


async def _kill_guard(field: Field, node: Node) -> None:
    """The origin serves on alone; it is killed later, so that `pair` starts both again."""
    await field.kill(node, origin=False, guard=True)
    await asyncio.sleep(field.moments.uniform(1.0, 4.0))
    await field.kill(node, guard=True)


@fault("power off active")
async def power_off_active(field: Field) -> None:
    await field.kill(await field.active(), guard=True)


@fault("power off standby")
async def power_off_standby(field: Field) -> None:
    await field.kill(await field.standby(), guard=True)


@fault("power off both")
async def power_off_both(field: Field) -> None:
    await field.kill(*field.pair.nodes(), guard=True)


@fault("power off everything", alone=True)
async def power_off_everything(field: Field) -> None:
    """The front door, too; somebody switches it on again."""
    await asyncio.to_thread(field.pair.power_off)
    for node in field.pair.nodes():
        field.gates.ended(node, now())
    await asyncio.to_thread(field.pair.start)


# ---- hanging and freezing ----


@fault("hang active")
async def hang_active(field: Field) -> None:
    await _hang(field, await field.active())


@fault("hang standby")
async def hang_standby(field: Field) -> None:
    await _hang(field, await field.standby())


async def _hang(field: Field, node: Node) -> None:
    """The origin alone stops, and its guard kills it; another fault may have taken that away."""
    pids = await field.pause(node, guard=False)
    if not await field.gone(pids, HUNG_SECONDS):
        assert not (field.stopped(pids) and field.pair.living(node).guards), (
            f"the guard of {node.id} left a hung origin alone for {HUNG_SECONDS:g} s"
        )
        await field.kill(node)


@fault("stall active")
async def stall_active(field: Field) -> None:
    await _stall(field, await field.active())


@fault("stall standby")
async def stall_standby(field: Field) -> None:
    await _stall(field, await field.standby())


async def _stall(field: Field, node: Node) -> None:
    """The origin stops for a time that its guard just about bears, or just not."""
    pids = await field.pause(node, guard=False)
    since = now()
    await asyncio.sleep(field.moments.uniform(0.2, GUARD_DEADLINE))
    await field.go_on(node, pids=pids, since=since)


@fault("freeze active briefly")
async def freeze_active_briefly(field: Field) -> None:
    await field.freeze(await field.active(), seconds=field.moments.uniform(0.2, 3.5))


@fault("freeze active long")
async def freeze_active_long(field: Field) -> None:
    await field.freeze(await field.active(), seconds=field.moments.uniform(5.0, 9.0))


@fault("freeze standby briefly")
async def freeze_standby_briefly(field: Field) -> None:
    await field.freeze(await field.standby(), seconds=field.moments.uniform(0.2, 3.5))


@fault("freeze standby long")
async def freeze_standby_long(field: Field) -> None:
    await field.freeze(await field.standby(), seconds=field.moments.uniform(5.0, 9.0))


@fault("freeze both")
async def freeze_both(field: Field) -> None:
    await field.freeze(*field.pair.nodes(), seconds=field.moments.choice((1.0, 2.5, 3.6, 6.0)))


# ---- the link ----


@fault("cut link")
async def cut_link(field: Field) -> None:
    field.link.cut()


@fault("link flaps")
async def flap(field: Field) -> None:
    for _ in range(field.moments.randrange(3, 12)):
        field.link.cut()
        await asyncio.sleep(field.moments.uniform(0.02, 0.6))


@fault("partition")
async def partition(field: Field) -> None:
    field.link.refuse = True
    field.link.cut()
    await asyncio.sleep(field.moments.uniform(0.5, 6.0))
    field.link.refuse = False


@fault("flip bits on link")
async def flip_bits(field: Field) -> None:
    for _ in range(field.moments.randrange(1, 5)):
        field.link.flip_next()
        await asyncio.sleep(field.moments.uniform(0.05, 0.5))


@fault("repeat bytes on link")
async def repeat_bytes(field: Field) -> None:
    for _ in range(field.moments.randrange(1, 5)):
        field.link.repeat_next()
        await asyncio.sleep(field.moments.uniform(0.05, 0.5))


@fault("stall link")
async def stall_link(field: Field) -> None:
    """Nothing is lost, nothing passes: shorter and longer than ack_timeout."""
    field.link.stall()
    await asyncio.sleep(field.moments.choice((0.3, 0.9, 1.1, 3.0)))
    field.link.resume()


@fault("slow link")
async def slow_link(field: Field) -> None:
    field.link.bytes_per_second = field.moments.choice((20_000.0, 60_000.0, 200_000.0))
    await asyncio.sleep(field.moments.uniform(2.0, 6.0))
    field.link.bytes_per_second = None


@fault("silence A to B")
async def silence_a(field: Field) -> None:
    await _silence(field, callers=True)


@fault("silence B to A")
async def silence_b(field: Field) -> None:
    await _silence(field, callers=False)


async def _silence(field: Field, *, callers: bool) -> None:
    """What one node says is swallowed; it hears the other."""
    field.link.silence(callers=callers)
    await asyncio.sleep(field.moments.uniform(0.5, 5.0))
    field.link.thaw()


# ---- a new copy ----


@fault("standby loses its disk", alone=True)
async def lose_disk(field: Field) -> None:
    await _replace_disk(field)


@fault("kill standby in a snapshot", alone=True)
async def kill_in_snapshot(field: Field) -> None:
    """On a link so slow that the copy is still under way."""
    await _replace_disk(field)
    standby = await field.standby()
    field.link.bytes_per_second = 2_000_000.0
    began = await field.until(RESTART + 15.0, partial(_is_copying, field, standby))
    if began:
        await asyncio.sleep(field.moments.uniform(0.0, 0.8))
    await field.kill(standby, guard=field.moments.random() < 0.5)
    await asyncio.sleep(field.moments.uniform(0.0, 2.0))
    field.link.bytes_per_second = None


async def _replace_disk(field: Field) -> None:
    standby = await field.standby()
    killed = await field.kill(standby, guard=True)
    assert await field.gone(killed, RESTART), f"{killed} outlived SIGKILL"
    field.wipe(standby)


async def _is_copying(field: Field, standby: Node) -> bool:
    status = await field.pair.status(standby)
    return status is not None and status["peer"]["link"] == "up" and status["state"] == "SYNCING"


# ---- the operator ----


@fault("planned switchover")
async def switch_over(field: Field) -> None:
    """To the other node and, as often as not, back at once; by command or by hand."""
    for _ in range(field.moments.choice((1, 1, 2))):
        active = await field.active()
        by_hand = field.moments.random() < 0.5
        if active.id == "A":
            field.edit_line("A\\B\\secondaryUP")
        elif by_hand:
            field.edit_line("A\\B")
        else:
            await field.fail_back(active)
        await field.until(5.0, partial(_serves, field, field.pair.other(active)))


async def _serves(field: Field, node: Node) -> bool:
    return await field.pair.healthy(node, "active")
