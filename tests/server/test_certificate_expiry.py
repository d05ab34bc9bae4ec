"""When a certificate ends, as `openssl` itself says it."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest

from rtmp_sync.server.certificate_expiry import expiry_of
from tests.support.certificates import Authority


def told(pem: Path) -> float:
    asked = ["openssl", "x509", "-in", str(pem), "-noout", "-enddate"]
    said = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    return ssl.cert_time_to_seconds(said.partition("=")[2].strip())


@pytest.mark.parametrize("days", [1, 400, 20_000])  # after 2049 the form is another one
def test_it_is_the_time_that_openssl_tells(tmp_path: Path, days: int) -> None:
    authority = Authority(tmp_path)
    certificate, _ = authority.sign("origin", days=days, address="127.0.0.1")
    chain = tmp_path / "chain.pem"
    chain.write_text("Subject: somebody\n" + certificate.read_text())
    with chain.open("a") as file:
        file.write(authority.certificate.read_text())
    assert expiry_of(chain) == told(certificate)


def test_what_is_no_certificate_has_no_end(tmp_path: Path) -> None:
    pem = tmp_path / "origin.pem"
    certificate, _ = Authority(tmp_path).sign("whole")
    der = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    for content in (b"", b"\xff" * 100, der[:20], der[:50]):
        pem.write_text(ssl.DER_cert_to_PEM_cert(content))
        assert expiry_of(pem) is None
    pem.write_text("nothing")
    assert expiry_of(pem) is None
    assert expiry_of(tmp_path / "missing") is None
