"""A gate in a process of its own, which tests start on a host, freeze and kill:

    python -m tests.support.gate_process '{"node": {"id": "A"}, "firewall": {…}, …}'

The configuration is the origin's. Behind the gate whatever a client says is said back. Obeys a
line each on its standard input and answers with one:

    open EPOCH    held open from now on, as the watchdog does; "done", or what was wrong
    lapse         nobody extends the authority any more; it ends in 10 s
    close         "done"
    verify        "open", "closed" or "unknown"
    late          milliseconds by which it was late to hold the gate, at worst
    events        those that the gate reported, as JSON
    stop          the clean end; "done"
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from typing import Any

from rtmp_sync.config import Config
from rtmp_sync.firewalls import make_gate
from rtmp_sync.firewalls.base import Gate
from rtmp_sync.firewalls.listener import ListenerGate
from rtmp_sync.server.clock import now

HOLD_SECONDS = 0.25
AUTHORITY_SECONDS = 3.0
LAST_SECONDS = 10.0


class Echo(asyncio.Protocol):
    def __init__(self, sessions: set[asyncio.Transport]) -> None:
        self._sessions = sessions
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._sessions.add(transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)

    def connection_lost(self, _error: Exception | None) -> None:
        self._sessions.discard(self._transport)


class GateProcess:
    def __init__(self, config: Config) -> None:
        self._sessions: set[asyncio.Transport] = set()
        self._events: list[dict[str, Any]] = []
        listener = ListenerGate(*config.rtmp.listen, lambda: Echo(self._sessions))
        self._gate: Gate = make_gate(config, listener, self._report)
        self._holding: asyncio.Task[None] | None = None
        self._late_seconds = 0.0

    async def run(self) -> None:
        await self._gate.start()
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        print("ready", flush=True)
        while line := (await reader.readline()).decode().split():
            print(await self._obey(line), flush=True)
            if line[0] == "stop":
                return

    async def _obey(self, words: list[str]) -> str:
        match words:
            case ["open", epoch]:
                return await self._open(int(epoch))
            case ["lapse"]:
                self._let_go(now() + LAST_SECONDS)
            case ["close"]:
                await self._close()
            case ["verify"]:
                return await self._gate.verify()
            case ["late"]:
                return f"{self._late_seconds * 1000:.0f} ms"
            case ["events"]:
                return json.dumps(self._events)
            case ["stop"]:
                await self._close()
                await self._gate.stop()
        return "done"

    async def _open(self, epoch: int) -> str:
        self._gate.hold(now() + AUTHORITY_SECONDS)
        try:
            await self._gate.open(epoch)
        except OSError as error:
            return str(error)
        self._holding = asyncio.ensure_future(self._hold())
        return "done"

    async def _hold(self) -> None:
        while True:
            self._gate.hold(now() + AUTHORITY_SECONDS)
            await self._gate.verify()
            awake_at = now() + HOLD_SECONDS
            await asyncio.sleep(HOLD_SECONDS)
            self._late_seconds = max(self._late_seconds, now() - awake_at)

    async def _close(self) -> None:
        self._let_go(now())
        for session in list(self._sessions):
            session.abort()
        await self._gate.close()

    def _let_go(self, until: float) -> None:
        if self._holding is not None:
            self._holding.cancel()
            self._holding = None
            self._gate.hold(until)

    def _report(self, event: str, /, **fields: object) -> None:
        self._events.append({"event": event, **fields})


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(GateProcess(Config(**json.loads(sys.argv[1]))).run())
