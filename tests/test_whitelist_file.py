"""The whitelist file: what it says, and what is said of a wrong one."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from unittest.mock import Mock

import pytest

from rtmp_sync.config_errors import WrongConfig
from rtmp_sync.state.access import Rate, Rule
from rtmp_sync.whitelist_file import MAX_ERRORS, MAX_FILE_BYTES, parse, unknown_methods

GUIDE = Path(__file__).parent.parent / "docs" / "security.md"

GOOD = """
[Type1]
"*" = false
"get*" = true
setText = { allow = true, rate = "10/s" }
clearText = { rate = "30/m", burst = 2, total = "5/h" }
[ "two words" ]   # a comment
[ "*" ]
'who.am.i' = false
"""


def test_reads_rules_by_user_type() -> None:
    assert parse(GOOD, "w.toml") == {
        "Type1": [
            Rule("*", False),
            Rule("get*", True),
            Rule("setText", True, Rate(10.0, 10)),
            Rule("clearText", None, Rate(0.5, 2), Rate(5 / 3600, 5)),
        ],
        "two words": [],
        "*": [Rule("who.am.i", False)],
    }


def test_the_example_of_the_documentation_is_one() -> None:
    (example,) = re.findall(r"```toml\n(# text\.toml.*?)```", GUIDE.read_text(), re.DOTALL)
    rules = parse(example, "text.toml")
    assert rules["Editor"][0] == Rule("setText", None, Rate(1 / 60, 2), Rate(100 / 60, 100))
    assert rules["*"] == [Rule("*", False)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("setText = 1", "line 4, [Type1], setText = 1: give true, false or a table"),
        ('setText = { rate = "fast" }', "line 4, [Type1], setText = {'rate': 'fast'}: rate must"),
        ('setText = { rate = "0/s" }', "rate must be calls in a second, minute or hour"),
        ("setText = { rate = 5 }", "rate must be calls"),
        ('setText = { rat = "1/s" }', "unknown key 'rat'; did you mean rate?"),
        ("setText = { burst = 5 }", "burst needs rate"),
        ('setText = { total = "1/s", total_burst = 0 }', "total_burst must be a whole number"),
        ("setText = { allow = 1 }", "allow must be true or false"),
        ("setText = {}", "the table says nothing"),
        ('"set[A-Z]*" = true', 'only "*" and "?" stand for'),
        ("a.b = true", "line 4, [Type1], a = {'b': True}: unknown key 'b'"),
    ],
)
def test_an_error_names_the_line_and_the_key(line: str, said: str) -> None:
    with pytest.raises(WrongConfig) as caught:
        parse(f'[Guest]\nsetText = true\n[Type1]\n{line}\n"x" = true\n', "w.toml")
    assert said in str(caught.value)
    assert len(caught.value.errors) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[Type1]\n"*" = fals\n', "at line 2, column"),
        ("Type1 = true\n", "line 1, Type1 = True: give a table"),
        ("[Type1]\n[Type1]\n", "at line 2"),
        ("# " + "x" * MAX_FILE_BYTES, "is longer than"),
        ("[Type1]\na = " + "[" * 5000, "w.toml"),
        ("[Type1]\n" + "".join(f"m{n} = true\n" for n in range(2001)), "more than 2000 rules"),
    ],
    ids=["syntax", "no table", "twice", "long", "deep", "many"],
)
def test_a_file_that_cannot_be_read_is_an_error(text: str, said: str) -> None:
    with pytest.raises(WrongConfig) as caught:
        parse(text, "w.toml")
    assert said in str(caught.value)


def test_all_errors_are_named_at_once() -> None:
    with pytest.raises(WrongConfig) as caught:
        parse("[A]\nx = 1\n[B]\nx = true\ny = 2\n", "w.toml")
    assert [error.key for error in caught.value.errors] == [
        "w.toml, line 2, [A], x",
        "w.toml, line 5, [B], y",
    ]


def test_a_name_must_be_a_method_and_a_pattern_may_match_nothing() -> None:
    text = '[A]\nsetText = true\nsetTxet = false\n"admin*" = false\n'
    (error,) = unknown_methods(text, "w.toml", parse(text, "w.toml"), {"setText"}, "text")
    assert error.key == "w.toml, line 3, [A], setTxet"
    assert "the application 'text' has no such method" in error.fix


def test_a_file_that_is_wrong_everywhere_is_read_once_and_told_in_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Looked for line by line, each of many mistakes would hold up whoever reads the file."""
    loads = Mock(wraps=tomllib.loads)
    monkeypatch.setattr(tomllib, "loads", loads)
    text = "[T]\n" + "\n".join(f"m{number} = 1" for number in range(500))
    with pytest.raises(WrongConfig) as wrong:
        parse(text, "w.toml")
    assert [error.key for error in wrong.value.errors[:2]] == [
        "w.toml, line 2, [T], m0",
        "w.toml, line 3, [T], m1",
    ]
    assert len(wrong.value.errors) == MAX_ERRORS
    assert loads.call_count <= 1 + 501
