"""The keys rtmp.tls_*: complete or refused, and the files looked at by `config check`."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtmp_sync.config import Config, WrongConfig, load_config
from rtmp_sync.config_check import check_files
from tests.support.certificates import Authority

KEYS = {"tls_listen": '"0.0.0.0:443"', "tls_certificate": '"c.pem"', "tls_key": '"k.pem"'}


def wrong_keys(path: Path, rtmp: str) -> set[str]:
    path.write_text(f'[node]\nid = "A"\n[rtmp]\n{rtmp}')
    with pytest.raises(WrongConfig) as caught:
        load_config(path)
    return {error.key for error in caught.value.errors}


@pytest.mark.parametrize("given", [*KEYS, "tls_names"])
def test_one_key_alone_names_those_that_are_missing(tmp_path: Path, given: str) -> None:
    value = KEYS.get(given, '{ "a.test" = ["c.pem", "k.pem"] }')
    missing = {f"rtmp.{name}" for name in KEYS if name != given}
    assert wrong_keys(tmp_path / "origin.toml", f"{given} = {value}\n") == missing


def test_the_port_must_be_one_of_its_own(tmp_path: Path) -> None:
    lines = "".join(f"{key} = {value}\n" for key, value in KEYS.items())
    text = lines.replace(":443", ":1935")
    assert wrong_keys(tmp_path / "origin.toml", text) == {"rtmp.tls_listen"}


def test_a_name_needs_a_certificate_and_a_key(tmp_path: Path) -> None:
    lines = "".join(f"{key} = {value}\n" for key, value in KEYS.items())
    (key,) = wrong_keys(tmp_path / "origin.toml", lines + 'tls_names = { "a.test" = ["c.pem"] }\n')
    assert key.startswith("rtmp.tls_names")


def test_config_check_names_wrong_files_and_keys_that_others_may_read(tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path).sign("a")
    rtmp = {"tls_listen": "127.0.0.1:443", "tls_certificate": certificate, "tls_key": key}
    config = Config.model_validate(
        {"node": {"id": "A"}, "rtmp": rtmp, "apps": {"directory": tmp_path}}
    )
    assert check_files(config, store=False) == ([], [])
    key.chmod(0o644)
    (warning,) = check_files(config, store=False)[1]
    assert "rtmp.tls_key" in warning
    assert "0644" in warning
    key.write_text("nonsense")
    (error,) = check_files(config, store=False)[0]
    assert error.key == "rtmp.tls_key"
