"""Certificates for tests, made with the `openssl` program."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.programs import require


class Authority:
    """Signs certificates; files are PEM, in `folder`."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        require("openssl")
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._key = folder / f"{name}.key"
        self.certificate = folder / f"{name}.pem"
        request = (
            f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={name}"
        )
        _openssl(*request.split(), "-keyout", str(self._key), "-out", str(self.certificate))

    def sign(
        self,
        name: str,
        *,
        days: int = 1,
        use: str = "",
        address: str = "",
        common_name: bool = True,
    ) -> tuple[Path, Path]:
        """(certificate, key). use: its extended key usage, "" for any. address: the IP address
        that it is good for, "" for none. common_name: the name is that, or else an
        organization's."""
        key, request = self._folder / f"{name}.key", self._folder / f"{name}.csr"
        certificate = self._folder / f"{name}.pem"
        subject = f"/{'CN' if common_name else 'O'}={name}"
        make = f"req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj {subject}"
        _openssl(*make.split(), "-keyout", str(key), "-out", str(request))
        extensions = self._folder / f"{name}.ext"
        lines = [f"extendedKeyUsage = {use}\n"] if use else []
        lines += [f"subjectAltName = IP:{address}\n"] if address else []
        extensions.write_text("".join(lines))
        key.chmod(0o600)
        _openssl(
            *f"x509 -req -days {days} -CAcreateserial".split(),
            *("-in", str(request), "-out", str(certificate), "-extfile", str(extensions)),
            *("-CA", str(self.certificate), "-CAkey", str(self._key)),
        )
        return certificate, key


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
