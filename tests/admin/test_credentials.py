from __future__ import annotations

from pathlib import Path

import pytest

from rtmp_sync.admin.credentials import Credentials, basic_header
from rtmp_sync.config import Config


def configured(folder: Path) -> Credentials:
    password = folder / "password"
    password.write_text("pass:wörd\n")
    admin = {"user": "admin", "password_file": password}
    return Credentials(Config.model_validate({"node": {"id": "A"}, "admin": admin}))


def test_only_the_configured_user_with_the_password_passes(tmp_path: Path) -> None:
    credentials = configured(tmp_path)
    assert credentials.match("admin", "pass:wörd")
    for user, password in (("", ""), ("admin", ""), ("root", "pass:wörd"), ("admin", "pass")):
        assert not credentials.match(user, password)


def test_nobody_passes_when_no_user_is_configured() -> None:
    credentials = Credentials(Config.model_validate({"node": {"id": "A"}}))
    assert not credentials.match("", "")
    assert not credentials.match_header(basic_header("", ""))


def test_a_basic_header_carries_them(tmp_path: Path) -> None:
    assert configured(tmp_path).match_header(basic_header("admin", "pass:wörd"))


@pytest.mark.parametrize(
    "header",
    [
        *("", "Basic", "Basic !", "Basic /w==", "Basic é", "Basic \udcff", "Bearer x"),
        *("Basic YWRtaW4=", basic_header("admin", "")),
    ],
)
def test_any_other_header_is_refused(tmp_path: Path, header: str) -> None:
    assert not configured(tmp_path).match_header(header)
