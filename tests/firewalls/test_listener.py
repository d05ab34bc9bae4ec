from __future__ import annotations

import asyncio
import gc
import socket
import warnings

import pytest

from rtmp_sync.firewalls.listener import ListenerGate, PublicPort
from rtmp_sync.firewalls.none import NoneGate


def connects(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=10).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.fixture
def gate() -> ListenerGate:
    return ListenerGate("127.0.0.1", 0, asyncio.Protocol)


async def test_a_gate_is_closed_until_it_is_opened(gate: ListenerGate) -> None:
    assert await gate.verify() == "closed"


async def test_an_open_gate_lets_clients_in_and_a_closed_one_refuses_at_once(
    gate: ListenerGate,
) -> None:
    await gate.open(1)
    assert await gate.verify() == "open"
    assert connects(gate.address)
    await gate.close()
    assert await gate.verify() == "closed"
    assert not connects(gate.address)


async def test_opening_and_closing_twice_changes_nothing(gate: ListenerGate) -> None:
    await gate.open(1)
    address = gate.address
    await gate.open(1)
    assert gate.address == address
    await gate.close()
    await gate.close()
    assert await gate.verify() == "closed"


async def test_a_gate_opens_again_on_the_same_port_beside_lingering_connections(
    gate: ListenerGate,
) -> None:
    await gate.open(1)
    reader, writer = await asyncio.open_connection(*gate.address)
    await gate.close()
    await gate.open(1)
    assert connects(gate.address)
    writer.close()
    del reader
    await gate.close()


async def test_a_taken_port_is_an_error_and_the_gate_stays_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        gate = ListenerGate("127.0.0.1", taken.getsockname()[1], asyncio.Protocol)
        with pytest.raises(OSError, match="in use"):
            await gate.open(1)
        assert await gate.verify() == "closed"


async def test_ports_beside_the_first_open_and_close_with_it() -> None:
    gate = ListenerGate(
        "127.0.0.1", 0, asyncio.Protocol, [PublicPort("127.0.0.1", 0, asyncio.Protocol)]
    )
    await gate.open(1)
    assert await gate.verify() == "open"
    ports = [gate.address, *gate.beside]
    assert [connects(port) for port in ports] == [True, True]
    await gate.close()
    assert await gate.verify() == "closed"
    assert [connects(port) for port in ports] == [False, False]


async def test_a_taken_port_beside_the_first_leaves_all_of_them_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        beside = PublicPort("127.0.0.1", taken.getsockname()[1], asyncio.Protocol)
        gate = ListenerGate("127.0.0.1", 0, asyncio.Protocol, [beside])
        with pytest.raises(OSError, match="in use"):
            await gate.open(1)
        assert await gate.verify() == "closed"
        assert not connects(gate.address)


async def test_a_gate_that_is_closed_while_it_opens_stays_closed(gate: ListenerGate) -> None:
    opening = asyncio.ensure_future(gate.open(1))
    await asyncio.sleep(0)
    await gate.close()
    with pytest.raises(OSError, match="closed meanwhile"):
        await opening
    assert await gate.verify() == "closed"
    assert not connects(gate.address)


async def turns(count: int) -> None:
    """Let the loop run that often."""
    for _ in range(count):
        await asyncio.sleep(0)


class Accepted(asyncio.Protocol):
    """Ends its connection at once, as a server that has closed its gate does."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


@pytest.mark.parametrize("before", range(4))
async def test_who_is_accepted_in_the_very_turn_of_the_close_is_not_left_to_the_collector(
    before: int,
) -> None:
    gate = ListenerGate("127.0.0.1", 0, Accepted)
    await gate.open(1)
    with warnings.catch_warnings(record=True) as caught, socket.socket() as client:
        warnings.simplefilter("always")
        client.connect(gate.address)
        await turns(before)
        await gate.close()
        await turns(4)
        gc.collect()
        assert caught == []


async def test_a_gate_that_is_opened_while_it_closes_opens_on_the_same_port(
    gate: ListenerGate,
) -> None:
    await gate.open(1)
    address = gate.address
    closing = asyncio.ensure_future(gate.close())
    await asyncio.sleep(0)
    await gate.open(1)
    await closing
    assert gate.address == address
    assert connects(address)
    await gate.close()


async def test_without_a_gate_the_port_stays_and_the_state_is_what_was_said(
    gate: ListenerGate,
) -> None:
    none = NoneGate(gate)
    assert await none.verify() == "closed"
    await none.open(1)
    assert await none.verify() == "open"
    await none.close()
    assert await none.verify() == "closed"
    assert connects(none.address)
    await gate.close()
