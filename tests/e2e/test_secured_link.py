"""A pair as an operator configures it: certificates, and a secret that is just being replaced."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from rtmp_sync import Config, Origin
from tests.support.certificates import Authority
from tests.support.origins import SHIPPED_APPS
from tests.support.pair import free_port_range

SECONDS = 30.0


def config_of(folder: Path, base: int, node: str, replication: dict[str, Any]) -> Config:
    """Ports: base + 0 to 3 for A, base + 20 to 23 for B."""
    mine, other = (base, base + 20) if node == "A" else (base + 20, base)
    return Config.model_validate(
        {
            "node": {"id": node},
            "rtmp": {"listen": f"127.0.0.1:{mine}"},
            "admin": {
                "listen": f"127.0.0.1:{mine + 1}",
                "user": "admin",
                "password_file": folder / "password",
            },
            "health": {"listen": f"127.0.0.1:{mine + 2}"},
            "replication": {
                "listen": f"127.0.0.1:{mine + 3}",
                "peer": f"127.0.0.1:{other + 3}",
                **replication,
            },
            "failover": {
                "pair_file": folder / "pair.txt",
                "peer_admin": f"127.0.0.1:{other + 2}",
                "profile": "fast",
            },
            "apps": {"directory": SHIPPED_APPS},
            "storage": {"state": folder / node},
        }
    )


async def test_two_origins_with_certificates_and_two_secrets_are_in_sync(
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path / "tls")
    for name, content in {
        "password": "a password of the pair",
        "old": "the secret until now, long enough",
        "new": "the secret from now on, long enough",
        "pair.txt": "A\\B",
    }.items():
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o600)
    base = free_port_range()
    origins = []
    for node in "AB":
        certificate, key = authority.sign(node)
        secrets = {"secret_file": tmp_path / "new", "secret_file_old": tmp_path / "old"}
        if node == "B":  # its turn has not come yet
            secrets = {"secret_file": tmp_path / "old"}
        files = {
            "tls_certificate": certificate,
            "tls_key": key,
            "tls_ca": authority.certificate,
        }
        config = config_of(tmp_path, base, node, secrets | files)
        assert config.check() == []
        origins.append(Origin(config))
    for origin in origins:
        await origin.start()
    try:
        active, standby = origins
        async with asyncio.timeout(SECONDS):
            while standby.watchdog.state != "READY":  # noqa: ASYNC110 - two origins, no event
                await asyncio.sleep(0.02)
        link = active.replication
        assert link is not None
        assert link.peer_caught_up
        assert link.refusals["bad_secret"] == 1
        assert link.refusals["bad_tls"] == 0
    finally:
        for origin in origins:
            await origin.stop()
