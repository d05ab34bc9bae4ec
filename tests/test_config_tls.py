"""The keys replication.tls_*: what is wrong with the files is said before anything starts."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from rtmp_sync.config import Config, WrongConfig, load_config
from rtmp_sync.config_tls import check_link_tls, link_tls
from rtmp_sync.errors import ConfigError
from tests.support.certificates import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def files(authority) -> dict[str, Path]:
    certificate, key = authority.sign("A")
    return {"tls_certificate": certificate, "tls_key": key, "tls_ca": authority.certificate}


def config(files: dict[str, Any]) -> Config:
    return Config(node={"id": "A"}, replication=files)


def found(files: dict[str, Any]) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        check_link_tls(config(files).replication)
    return caught.value


def test_without_the_keys_there_is_no_tls():
    assert link_tls(config({}).replication) is None
    assert check_link_tls(config({}).replication) is None


def test_good_files_have_nothing_to_say(files):
    assert check_link_tls(config(files).replication) is None
    assert link_tls(config(files).replication) is not None


@pytest.mark.parametrize("given", ["tls_certificate", "tls_key", "tls_ca"])
def test_one_key_alone_names_the_two_others(tmp_path, given):
    path = tmp_path / "origin.toml"
    path.write_text(f'[node]\nid = "A"\n[replication]\n{given} = "x.pem"\n')
    with pytest.raises(WrongConfig) as caught:
        load_config(path)
    missing = {"tls_certificate", "tls_key", "tls_ca"} - {given}
    assert {error.key for error in caught.value.errors} == {f"replication.{n}" for n in missing}
    assert all("together" in error.fix for error in caught.value.errors)


@pytest.mark.parametrize("name", ["tls_certificate", "tls_key", "tls_ca"])
def test_a_missing_file_is_named(files, tmp_path, name):
    error = found(files | {name: tmp_path / "none.pem"})
    assert error.key == f"replication.{name}"
    assert "No such file" in error.fix


@pytest.mark.parametrize("name", ["tls_certificate", "tls_key", "tls_ca"])
@pytest.mark.parametrize("content", [b"", b"\x30\x82\x01"], ids=["empty", "der"])
def test_a_file_of_another_kind_is_named(files, tmp_path, name, content):
    path = tmp_path / "wrong.pem"
    path.write_bytes(content)
    error = found(files | {name: path})
    assert error.key == f"replication.{name}"
    assert "PEM" in error.fix


def test_damaged_pem_is_named(files, tmp_path):
    for name in files:
        path = tmp_path / f"{name}.pem"
        path.write_text(files[name].read_text().replace("M", "!", 3))
        assert found(files | {name: path}).key.startswith("replication.tls_")


def test_a_key_of_another_certificate_is_named(files, authority):
    _, other = authority.sign("other")
    error = found(files | {"tls_key": other})
    assert error.key == "replication.tls_key"
    assert "is not the key of replication.tls_certificate" in error.fix


def test_a_key_with_a_passphrase_is_named(files, tmp_path):
    path = tmp_path / "encrypted.key"
    encrypt = f"openssl ec -aes256 -passout pass:x -in {files['tls_key']} -out {path}"
    subprocess.run(encrypt.split(), check=True, capture_output=True)
    error = found(files | {"tls_key": path})
    assert error.key == "replication.tls_key"
    assert "passphrase" in error.fix


def test_a_certificate_of_another_authority_is_named(files, tmp_path):
    certificate, key = Authority(tmp_path / "ca", "other").sign("A")
    error = found(files | {"tls_certificate": certificate, "tls_key": key})
    assert error.key == "replication.tls_certificate"
    assert "replication.tls_ca" in error.fix


@pytest.mark.parametrize("use", ["serverAuth", "clientAuth"])
def test_a_certificate_for_one_end_only_is_named(files, authority, use):
    certificate, key = authority.sign(use, use=use)
    error = found(files | {"tls_certificate": certificate, "tls_key": key})
    assert error.key == "replication.tls_certificate"
    assert "client and server" in error.fix


def test_a_key_that_others_may_read_is_a_warning(files, tmp_path):
    path = tmp_path / "open.key"
    path.write_bytes(files["tls_key"].read_bytes())
    path.chmod(0o644)
    assert "chmod 600" in (check_link_tls(config(files | {"tls_key": path}).replication) or "")
