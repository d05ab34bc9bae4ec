"""An etcd that wants TLS, a certificate of its client, and a user's password."""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rtmp_sync.cluster.record import Author, first_record
from rtmp_sync.cluster.view import Outcome
from rtmp_sync.config import Config, WrongConfig
from rtmp_sync.config_rules import broken_rules
from rtmp_sync.coordinators import make_coordinator
from rtmp_sync.coordinators.base import Coordinator
from rtmp_sync.errors import StoreError
from tests.support.certificates import Authority
from tests.support.etcd import EtcdCluster

FIRST = first_record(("A", "B"), Author("A", "a1", "first", ""))
USER, PASSWORD, PREFIX = "pair", "correct horse", "/rtmp_sync/default"


class Secured:
    """A member with certificates; `keys` are those of an origin that may talk to it."""

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder / "certificates")
        server_certificate, server_key = authority.sign("etcd", address="127.0.0.1")
        certificate, key = authority.sign("origin", use="clientAuth", common_name=False)
        tls = ssl.create_default_context(cafile=authority.certificate)
        tls.load_cert_chain(certificate, key)
        self.named = authority.sign("named", use="clientAuth")
        self.stranger = Authority(folder / "others")
        options = (
            *("--cert-file", str(server_certificate), "--key-file", str(server_key)),
            *("--trusted-ca-file", str(authority.certificate), "--client-cert-auth"),
        )
        self.cluster = EtcdCluster(folder / "etcd", options=options)
        self.cluster.members[0].tls = tls
        password = folder / "etcd.password"
        password.write_text(f"{PASSWORD}\n")
        password.chmod(0o600)
        self.keys: dict[str, object] = {
            "etcd": [str(address) for address in self.cluster.addresses],
            "nodes": ["A", "B"],
            "etcd_ca": authority.certificate,
            "etcd_certificate": certificate,
            "etcd_key": key,
            "etcd_user": USER,
            "etcd_password_file": password,
        }
        self._made: list[Coordinator] = []

    def coordinator(self, **changes: object) -> Coordinator:
        keys = {name: value for name, value in {**self.keys, **changes}.items() if value}
        config = Config.model_validate({"node": {"id": "A"}, "failover": keys})
        made = make_coordinator(config, boot_id="a1")
        self._made.append(made)
        return made

    async def start(self) -> None:
        await self.cluster.start()
        await asyncio.to_thread(self._make_user)

    async def close(self) -> None:
        for coordinator in self._made:
            await coordinator.stop()
        self.cluster.close()

    def _make_user(self) -> None:
        """One that may read and write below the prefix, and nothing else."""
        ask = self.cluster.members[0].ask
        end = _encoded(f"{PREFIX}0")  # the first key after "/"
        permission = {"permType": "READWRITE", "key": _encoded(f"{PREFIX}/"), "range_end": end}
        for name, password in (("root", "root"), (USER, PASSWORD)):
            ask("/auth/user/add", {"name": name, "password": password})
        for name in ("root", "pair-role"):
            ask("/auth/role/add", {"name": name})
        ask("/auth/role/grant", {"name": "pair-role", "perm": permission})
        ask("/auth/user/grant", {"user": "root", "role": "root"})
        ask("/auth/user/grant", {"user": USER, "role": "pair-role"})
        ask("/auth/enable", {})


def _encoded(key: str) -> str:
    return b64encode(key.encode()).decode()


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[Secured]:
    made = Secured(tmp_path)
    await made.start()
    yield made
    await made.close()


async def test_a_node_with_all_it_takes_holds_and_is_told_of_changes(secured: Secured) -> None:
    a = secured.coordinator()
    told = asyncio.Event()
    a.on_change(told.set)
    assert await a.start() == ("A", "B")
    assert (await a.cas(FIRST)).result.outcome is Outcome.LANDED
    assert (await a.read(beat=True)).sighting.beat_written
    async with asyncio.timeout(60):
        await told.wait()


async def test_what_etcd_says_of_a_certificate_with_a_common_name_is_passed_on(
    secured: Secured,
) -> None:
    certificate, key = secured.named
    a = secured.coordinator(etcd_certificate=certificate, etcd_key=key)
    with pytest.raises(StoreError, match="CommonName of client"):
        await a.read(beat=False)


async def test_nothing_is_shown_to_who_lacks_something(secured: Secured, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong")
    lacks: list[dict[str, object]] = [
        {"etcd_ca": secured.stranger.certificate},
        {"etcd_certificate": None, "etcd_key": None},
        {"etcd_user": None, "etcd_password_file": None},
        {"etcd_password_file": wrong},
        {"etcd_prefix": "/another"},
    ]
    for changes in lacks:
        coordinator = secured.coordinator(**changes)
        with pytest.raises(StoreError):
            await coordinator.read(beat=False)
        attempt = await coordinator.cas(FIRST)
        assert attempt.result.outcome in (Outcome.REFUSED, Outcome.UNKNOWN), changes


@pytest.mark.parametrize(
    ("key", "what", "line"),
    [
        ("etcd_ca", "missing", "failover.etcd_ca = '{path}': cannot be read"),
        ("etcd_ca", "text", "failover.etcd_ca = '{path}': holds no certificate in PEM form"),
        ("etcd_key", "text", "failover.etcd_key = '{path}': holds no private key in PEM form"),
        ("etcd_key", "other", "failover.etcd_key = '{path}': is not the key of"),
        ("etcd_password_file", "missing", "failover.etcd_password_file = '{path}': cannot be"),
        ("etcd_password_file", "empty", "failover.etcd_password_file = '{path}': is empty"),
    ],
)
def test_files_that_cannot_be_used_are_found_before(
    tmp_path: Path, key: str, what: str, line: str
) -> None:
    keys = Secured(tmp_path).keys
    path = tmp_path / "bad"
    if what == "other":
        path = Authority(tmp_path / "more").sign("other")[1]
    elif what != "missing":
        path.write_text("" if what == "empty" else "text")
        path.chmod(0o600)
    config = Config.model_validate(
        {
            "node": {"id": "A"},
            "failover": {**keys, key: path},
            "apps": {"directory": tmp_path},
        }
    )
    with pytest.raises(WrongConfig) as caught:
        config.check()
    expected = line.format(path=path)
    assert any(str(error).startswith(expected) for error in caught.value.errors), (
        caught.value.errors
    )


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"etcd_key": None}, "etcd_key"),
        ({"etcd_certificate": None}, "etcd_certificate"),
        ({"etcd_ca": None}, "etcd_ca"),
        ({"etcd_user": None}, "etcd_user"),
        ({"etcd_password_file": None}, "etcd_password_file"),
    ],
)
def test_keys_that_belong_together_are_given_together(
    tmp_path: Path, given: dict[str, object], missing: str
) -> None:
    keys = {name: value for name, value in {**Secured(tmp_path).keys, **given}.items() if value}
    config = Config.model_validate({"node": {"id": "A"}, "failover": keys})
    assert f"failover.{missing}" in [error.key for error in broken_rules(config)]
