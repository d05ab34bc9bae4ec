"""Which addresses may ask, how fast, and how long guessing takes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from rtmp_sync.admin.access import Access
from rtmp_sync.admin.back_off import FORGOTTEN_SECONDS, FREE, MOST_SECONDS, BackOff
from rtmp_sync.admin.credentials import basic_header
from rtmp_sync.admin.server import AdminServer
from rtmp_sync.admin.tokens import Caller, Tokens
from rtmp_sync.config import Config, WrongConfig
from rtmp_sync.errors import ConfigError
from rtmp_sync.server.rate_limit import ADDRESSES, Allowance
from tests.admin.calling import CHANGE, READ, TOKENS
from tests.admin.conftest import PASSWORD, Http, ShownOrigin

WRONG = {"auser": "admin", "apswd": "guess"}
RIGHT = {"auser": "admin", "apswd": PASSWORD}


@asynccontextmanager
async def listening(origin: ShownOrigin) -> AsyncIterator[Http]:
    server = AdminServer(origin)  # type: ignore[arg-type] # it has what is read of an Origin
    await server.start()
    try:
        async with aiohttp.ClientSession() as session:
            yield Http(server, session)
    finally:
        await server.stop()


def configured(origin: ShownOrigin, **admin: object) -> None:
    """The same origin with more in its `[admin]`."""
    section = origin.config.admin.model_copy(update=admin)
    origin.config = origin.config.model_copy(update={"admin": section})


# Addresses


def allows(networks: list[str]) -> Callable[[str], bool]:
    config = Config.model_validate({"node": {"id": "A"}, "admin": {"allow": networks}})
    return Access(config).allows_address


def test_without_a_list_every_address_may_ask() -> None:
    assert allows([])("203.0.113.9")


def test_the_list_has_addresses_and_networks_and_this_machine_always() -> None:
    may = allows(["10.0.0.0/8", "2001:db8::1"])
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1", "127.0.0.1", "::1"):
        assert may(address)
    for address in ("11.0.0.1", "2001:db8::2", "", "unknown"):
        assert not may(address)


async def test_an_address_that_is_not_in_the_list_is_told_nothing(
    origin: ShownOrigin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of the admin listener; the checks of load balancers go on."""
    monkeypatch.setattr(Access, "allows_address", lambda self, address: False)
    async with listening(origin) as http:
        for path in ("/", "/status", "/admin/getApps", "/api", "/api/v1/server", "/nowhere"):
            assert (await http.ask(path, params=RIGHT))[0] == 403
        assert (await http.ask("/health/live", on="health"))[0] == 200
        status, text = await http.ask("/admin/ping", on="health", params=RIGHT)
        assert (status, "Call.Success" in text) == (200, True)


# Browsers


@pytest.mark.parametrize("site", ["http://evil.example", "null", "http://127.0.0.1:1"])
async def test_what_a_page_of_another_site_sends_is_refused_also_by_old_browsers(
    http: Http, origin: ShownOrigin, admin: dict[str, str], site: str
) -> None:
    """And where browsers do not tell `Sec-Fetch-Site`: over HTTP, from another machine."""
    led_here = {**admin, "Origin": site}
    for path in ("/pause", "/allow/reload", "/api/v1/broadcast"):
        status, text = await http.ask(path, method="POST", headers=led_here)
        assert (status, "not from another site" in text) == (403, True), path
    assert not origin.watchdog.asked


async def test_what_a_page_of_our_own_sends_is_not_refused(
    http: Http, origin: ShownOrigin, admin: dict[str, str]
) -> None:
    own = {**admin, "Origin": "http://origin.example:8081", "Host": "origin.example:8081"}
    assert (await http.ask("/pause", method="POST", headers=own))[0] == 200
    assert [kind for kind, _, _ in origin.watchdog.asked] == ["pause"]


async def test_another_site_cannot_make_the_operator_wait(
    http: Http, admin: dict[str, str]
) -> None:
    for _ in range(FREE + 2):
        cross_site = {"Sec-Fetch-Site": "cross-site"}
        assert (await http.ask("/admin/getApps", params=WRONG, headers=cross_site))[0] == 403
    assert (await http.ask("/history", headers=admin))[0] == 200


# Guessing


def test_a_few_wrong_ones_cost_nothing_and_then_the_wait_doubles() -> None:
    back_off, now = BackOff(), 0.0
    for _ in range(FREE):
        back_off.failed("a", now)
        assert not back_off.wait("a", now)
    waits = []
    for _ in range(8):
        back_off.failed("a", now)
        waits.append(back_off.wait("a", now))
        now += waits[-1]
        assert not back_off.wait("a", now)
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, MOST_SECONDS, MOST_SECONDS, MOST_SECONDS]
    assert not back_off.wait("b", now)


def test_who_has_a_whole_ipv6_network_guesses_no_faster() -> None:
    back_off = BackOff()
    for number in range(FREE + 1):
        back_off.failed(f"2001:db8::{number:x}", 0.0)
    assert back_off.wait("2001:db8::ffff", 0.0) == 1.0
    assert not back_off.wait("2001:db8:0:1::1", 0.0)
    back_off.succeeded("2001:db8::ffff")
    assert not back_off.wait("2001:db8::1", 0.0)


def test_a_right_one_or_a_long_time_ends_the_wait() -> None:
    back_off = BackOff()
    for _ in range(FREE + 20):
        back_off.failed("a", 0.0)
        back_off.failed("b", 0.0)
    back_off.succeeded("a")
    assert not back_off.wait("a", 0.0)
    back_off.failed("b", FORGOTTEN_SECONDS)
    assert not back_off.wait("b", FORGOTTEN_SECONDS)


def test_it_remembers_a_bounded_number_of_addresses() -> None:
    back_off = BackOff()
    for number in range(3 * ADDRESSES):
        back_off.failed(str(number), 0.0)
    assert len(back_off._failures) == ADDRESSES


async def test_who_guesses_is_not_looked_at_for_a_while_even_when_right(
    http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FIRST_SECONDS", "MOST_SECONDS"):
        monkeypatch.setattr(f"rtmp_sync.admin.back_off.{name}", 1000.0)
    for _ in range(FREE + 1):
        assert "Rejected" in (await http.ask("/admin/getVHosts", params=WRONG))[1]
    for path in ("/admin/getVHosts", "/history", "/api/v1/vhosts"):
        headers = {"Authorization": "Bearer x"} if "api" in path else {}
        status, text = await http.ask(path, params=RIGHT, headers=headers)
        assert (status, "wait" in text) == (429, True), path


async def test_a_monitors_ping_is_answered_while_others_of_its_host_guess(http: Http) -> None:
    for _ in range(FREE + 3):
        await http.ask("/admin/getVHosts", params=WRONG)
    for on in ("admin", "health"):
        status, text = await http.ask("/admin/ping", on=on, params=RIGHT)
        assert (status, "Call.Success" in text) == (200, True)


async def test_asking_without_any_credentials_is_no_guess(
    http: Http, admin: dict[str, str]
) -> None:
    for _ in range(FREE + 3):
        assert (await http.ask("/history"))[0] == 401
    assert (await http.ask("/history", headers=admin))[0] == 200


async def test_a_wrong_one_is_logged_with_its_address_and_without_what_was_given(
    http: Http, capsys: pytest.CaptureFixture[str]
) -> None:
    await http.ask("/admin/getVHosts", params={"auser": "admin", "apswd": "guess-1"})
    await http.ask("/api/v1/vhosts", headers={"Authorization": "Bearer guess-2"})
    await http.ask("/history", headers={"Authorization": basic_header("admin", "guess-3")})
    told = capsys.readouterr().out
    assert told.count("wrong_credentials") == told.count("address=127.0.0.1") == 3
    assert "guess" not in told
    assert basic_header("admin", "guess-3").partition(" ")[2] not in told


@pytest.mark.parametrize("path", ["/admin/getVHosts", "/api/v1/vhosts", "/api/openapi.json"])
async def test_who_asks_too_often_is_told_to_wait(
    origin: ShownOrigin, admin: dict[str, str], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr("rtmp_sync.admin.access.API", Allowance(per_second=1e-6, burst=5.5))
    async with listening(origin) as http:
        codes = [(await http.ask(path, params=query(path), headers=admin))[0] for _ in range(7)]
        assert codes == [200] * 5 + [429] * 2


def query(path: str) -> dict[str, str]:
    """The JSON API has its credentials in a header, and knows no other arguments."""
    return RIGHT if path.startswith("/admin/") else {}


async def test_a_call_costs_the_more_the_more_clients_it_looks_at(
    origin: ShownOrigin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtmp_sync.admin.access.API", Allowance(per_second=1e-6, burst=200.0))
    monkeypatch.setattr(origin, "counts", lambda: {"clients": 20_000, "instances": 1})
    async with listening(origin) as http:
        codes = [(await http.ask("/admin/getVHosts", params=RIGHT))[0] for _ in range(6)]
        assert codes == [200] * 5 + [429]  # 41 each
        for path in ("/admin/ping", "/status"):  # theirs is another allowance
            assert (await http.ask(path, params=RIGHT))[0] == 200


async def test_asking_for_what_a_token_may_not_costs_ten_requests(
    origin: ShownOrigin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtmp_sync.admin.access.API", Allowance(per_second=1e-6, burst=25.0))
    (tmp_path / "tokens").write_text(TOKENS)
    configured(origin, tokens_file=tmp_path / "tokens")
    headers = {"Authorization": f"Bearer {READ}"}
    async with listening(origin) as http:
        codes = [
            (await http.ask("/api/v1/broadcast", method="POST", headers=headers))[0]
            for _ in range(4)
        ]
    assert codes == [403] * 3 + [429]


# Tokens


async def test_a_token_has_a_name_and_a_role(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(TOKENS)
    tokens = Tokens(tmp_path / "tokens")
    assert await tokens.find(READ) == Caller("dashboard", False)
    assert await tokens.find(CHANGE) == Caller("scripts", True)
    assert tokens._file is not None
    kept = repr(vars(tokens._file))
    assert "dashboard" in kept
    assert not [secret for secret in (READ, CHANGE) if secret in kept]


async def test_no_file_and_no_token_let_nobody_in(tmp_path: Path) -> None:
    assert await Tokens(None).find("") is None
    (tmp_path / "tokens").write_text("# none yet\n")
    assert await Tokens(tmp_path / "tokens").find("") is None


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("dashboard read", "line 1 must be"),
        (f"dashboard admin {READ}", "line 1 must be"),
        ("dashboard read short", "at least 16 characters"),
        (f"a b c {READ}", "line 1 must be"),
        ("#" * 1_100_000, "longer"),
    ],
)
def test_a_wrong_file_is_named_without_what_it_holds(tmp_path: Path, line: str, text: str) -> None:
    (tmp_path / "tokens").write_text(line)
    with pytest.raises(ConfigError, match=text) as error:
        Tokens(tmp_path / "tokens")
    assert "admin.tokens_file" in str(error.value)
    assert READ not in str(error.value)


async def test_a_file_that_is_gone_denies_until_it_is_back(
    origin: ShownOrigin, tmp_path: Path
) -> None:
    file = tmp_path / "tokens"
    file.write_text(TOKENS)
    configured(origin, tokens_file=file)
    headers = {"Authorization": f"Bearer {READ}"}
    async with listening(origin) as http:
        assert (await http.ask("/api/v1/vhosts", headers=headers))[0] == 200
        file.unlink()
        status, text = await http.ask("/api/v1/vhosts", headers=headers)
        assert (status, json.loads(text)["code"]) == (503, "NetConnection.Connect.Rejected")
        file.write_text(TOKENS)
        assert (await http.ask("/api/v1/vhosts", headers=headers))[0] == 200


# What `config check` says


def checked(tmp_path: Path, **admin: object) -> list[str]:
    """The warnings."""
    given = {"user": "admin", "password_file": tmp_path / "password", **admin}
    (tmp_path / "password").write_text(PASSWORD)
    (tmp_path / "password").chmod(0o600)
    apps = {"directory": tmp_path}
    config = Config.model_validate({"node": {"id": "A"}, "admin": given, "apps": apps})
    return config.check()


def test_a_tokens_file_that_others_may_read_is_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(TOKENS)
    file.chmod(0o600)
    assert checked(tmp_path, tokens_file=file) == []
    file.chmod(0o644)
    (warning,) = checked(tmp_path, tokens_file=file)
    assert warning.startswith("admin.tokens_file")


def test_a_tokens_file_that_is_wrong_or_missing_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    with pytest.raises(WrongConfig, match=r"admin\.tokens_file"):
        checked(tmp_path, tokens_file=file)
    file.write_text("dashboard read\n")
    file.chmod(0o600)
    with pytest.raises(WrongConfig, match="line 1 must be"):
        checked(tmp_path, tokens_file=file)


def test_a_command_that_no_method_has_is_a_warning(tmp_path: Path) -> None:
    assert checked(tmp_path, commands=["get*", "unloadApp"]) == []
    (warning,) = checked(tmp_path, commands=["unloadApps"])
    assert "did you mean unloadApp?" in warning
