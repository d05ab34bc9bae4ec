"""An origin as the admin endpoints see one, so that every state can be shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from rtmp_sync.admin.credentials import basic_header
from rtmp_sync.admin.server import AdminServer
from rtmp_sync.cluster.ledger import Ledger
from rtmp_sync.config import Config
from rtmp_sync.server.clock import now
from rtmp_sync.server.load_balancer import LoadBalancerChecks
from rtmp_sync.server.renewals import Renewals
from rtmp_sync.server.traffic import Tally, Traffic
from rtmp_sync.server.watchdog import Result
from tests.admin.calling import Calls, administered

PASSWORD = "open sesame"
AT = "2026-01-01T00:00:00+00:00"


@dataclass
class ShownWatchdog:
    state: str = "ACTIVE"
    role: str = "active"
    record: Any = None
    store: dict[str, object] = field(default_factory=lambda: {"condition": "ok", "coherent": None})
    alarms: dict[str, str] = field(default_factory=dict)
    active: bool = True
    standby: bool = False
    ledger: Ledger = field(default_factory=Ledger)
    renewals: Renewals = field(default_factory=Renewals)
    answer: Result = field(default_factory=lambda: Result(True, "A serves"))
    asked: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def health_active(self) -> bool:
        return self.active

    def health_standby(self) -> bool:
        return self.standby

    async def request(self, kind: str, by: str, **options: Any) -> Result:
        self.asked.append((kind, by, options))
        return self.answer


class ShownTest(SimpleNamespace):
    def __str__(self) -> str:
        return "the loop is 2 s late <&>"


class ShownMany(SimpleNamespace):
    """Sessions or instances, of which there are none now."""

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0


class ShownOrigin:
    """Origin A of a pair in ACTIVE; tests change what they are about."""

    def __init__(self, folder: Path) -> None:
        password = folder / "password"
        password.write_text(PASSWORD)
        listen = {"listen": "127.0.0.1:0"}
        admin = {**listen, "user": "admin", "password_file": password}
        self.config = Config.model_validate({"node": {"id": "A"}, "admin": admin, "health": listen})
        self.node_id, self.boot_id = "A", "boot-1"
        self.listed = False  # by the record, as in sync
        self.watchdog = ShownWatchdog()
        self.watchdog.record = SimpleNamespace(
            sync=(SimpleNamespace(node="B"),),
            holder="A",
            rev=12,
            nodes=("A", "B"),
            paused=False,
            lists=lambda node, boot_id: self.listed,
            held_by=lambda node, boot_id: self.watchdog.record.holder == node,
        )
        self.authority = SimpleNamespace(gate_open=True)
        self.departure: Any = SimpleNamespace(status=None)
        journal = SimpleNamespace(
            epoch=3, head=17, taken=17, history_id="h3", backlog_start=5, backlog_bytes=100
        )
        self.state = SimpleNamespace(journal=journal)
        self.load_balancer = LoadBalancerChecks([])
        self.commit = SimpleNamespace(level=15, waiting_bytes=90)
        peer = SimpleNamespace(
            node_id="B",
            boot_id="boot-2",
            state="READY",
            protocol=2,
            position=(3, 17),
            head_seq=17,
            gate_open=False,
            hb_age=lambda now: 0.125,
        )
        self.replication: Any = SimpleNamespace(
            same_id=set(),
            connected=True,
            peer=peer,
            lag_changes=4,
            lag_ms=2.5,
            alarms={},
            acked=16,
            queued_bytes=70,
            ack_seconds=0.001,
            full_copies=1,
            partial_copies=2,
            links_lost=3,
            replays_left_out=0,
            refusals={"bad_mac": 2, "gap": 0},
        )
        replays = SimpleNamespace(done=3, failed=1, left_out=2)
        refusals = SimpleNamespace(counts={("Guest", "setText", "not_allowed"): 5})
        access = SimpleNamespace(calls={("Type1", "setText"): 7}, refusals=refusals)
        self.instances = ShownMany(
            whitelists=[("text", access)],
            replays=replays,
            code=SimpleNamespace(trouble={}),
            hooks=SimpleNamespace(asked=Counter({("on_play", "refused"): 3})),
        )
        self.http: Any = None
        self.certificates: Any = None
        self.tasks = SimpleNamespace(steps=SimpleNamespace(blocked=1))
        self.admin = SimpleNamespace(refused=Counter(credentials=2))
        access = SimpleNamespace(dropped=0)
        tally = Tally(connects=9, ended=Traffic(1, 2, 3, 4, 5))
        refused = Counter(denied=6)
        self.sessions = ShownMany(tally=tally, waiting_bytes=1234, access=access, refused=refused)
        self.events: list[dict[str, Any]] = [{"at": AT, "clock": 1.0, "event": "started"}]
        counts = Counter(event["event"] for event in self.events)
        self.history = SimpleNamespace(events=lambda: self.events, counts=counts, record=self.note)
        self.persistence = SimpleNamespace(written_seq=17, failed=False, failures=2, compactions=4)
        self.test = ShownTest(ok=True, persist_failed=False, loop_lag=0.003)

    def note(self, event: str, **fields: Any) -> None:
        self.events.append({"at": AT, "clock": now(), "event": event, **fields})

    def counts(self) -> dict[str, int]:
        return {"clients": 2, "instances": 1}

    def self_test(self) -> Any:
        return self.test


class Http:
    """Asks the two listeners."""

    def __init__(self, server: AdminServer, session: aiohttp.ClientSession) -> None:
        admin, health = server.addresses
        self._bases = {"admin": f"http://{admin}", "health": f"http://{health}"}
        self._session = session

    async def ask(
        self, path: str, *, on: str = "admin", method: str = "GET", **options: Any
    ) -> tuple[int, str]:
        url = self._bases[on] + path
        async with self._session.request(method, url, **options) as answer:
            return answer.status, await answer.text()


@pytest.fixture
def origin(tmp_path: Path) -> ShownOrigin:
    return ShownOrigin(tmp_path)


@pytest.fixture
async def http(origin: ShownOrigin) -> AsyncIterator[Http]:
    server = AdminServer(origin)  # type: ignore[arg-type] # it has what is read of an Origin
    await server.start()
    async with aiohttp.ClientSession() as session:
        yield Http(server, session)
    await server.stop()


@pytest.fixture
def admin() -> dict[str, str]:
    """The headers of the administrator."""
    return {"Authorization": basic_header("admin", PASSWORD)}


@pytest.fixture
async def calls(tmp_path: Path) -> AsyncIterator[Calls]:
    """A real origin that everything may be asked of."""
    async with administered(tmp_path) as calls:
        yield calls
