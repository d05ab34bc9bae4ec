"""Applications by file name, and what is said of one that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtmp_sync import ConfigError, Origin
from rtmp_sync.plugins import load_applications
from tests.support.origins import config_of

GOOD = "from rtmp_sync import Application\nclass Room(Application): pass\n"


def test_each_file_is_an_application_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(GOOD)
    (tmp_path / "two.py").write_text(GOOD)
    (tmp_path / "_shared.py").write_text("this is not Python")
    assert list(load_applications(tmp_path)) == ["one", "two"]


@pytest.mark.parametrize(
    ("source", "fix"),
    [
        ("import no_such_module_at_all", "ModuleNotFoundError.*line 1"),
        ("x = 1\n1/0", "ZeroDivisionError.*line 2"),
        ("x = 1\ndef (", r"SyntaxError: invalid syntax, line 2\)"),
        ("x = 1\neval('1 +')", r"SyntaxError: invalid syntax \(<string>, line 1\), line 2\)"),
        ("raise ValueError('two\\nlines')", "two lines, line 1"),
        ("import sys\nsys.exit(0)", "SystemExit.*line 2"),
        ("x = 1", "0 Application classes"),
        (GOOD + GOOD.replace("Room", "Hall"), "2 Application classes"),
        (
            "from rtmp_sync import Application, allow\nclass R(Application):\n"
            " @allow('T')\n def f(self, client, *, k): pass",
            "keyword",
        ),
        (
            "from rtmp_sync import Application, allow\nclass R(Application):\n"
            " @allow\n def f(self, client): pass",
            "user types are missing.*line 3",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_a_configuration_error(
    tmp_path: Path, source: str, fix: str
) -> None:
    (tmp_path / "bad.py").write_text(source)
    with pytest.raises(ConfigError, match=fix) as caught:
        load_applications(tmp_path)
    assert caught.value.key == "apps.bad"
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"apps\.directory"):
        load_applications(tmp_path / "none")


async def test_a_whitelist_that_names_no_method_is_a_configuration_error(tmp_path: Path) -> None:
    config = config_of(tmp_path / "state", apps={"probe": {"allow": {"User": ["ech0"]}}})
    with pytest.raises(ConfigError, match=r"apps\.probe\.allow\.User = 'ech0'"):
        await Origin(config).start()
