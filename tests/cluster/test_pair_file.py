from __future__ import annotations

import codecs

import pytest

from rtmp_sync.cluster.pair_file import PairLine, format_line, parse

PLAIN = PairLine(("MyOrigin001", "MyOrigin002"))
FLAGGED = PairLine(("MyOrigin001", "MyOrigin002"), secondary_up=True)


@pytest.mark.parametrize(
    "content",
    [
        b"MyOrigin001\\MyOrigin002",
        b"MyOrigin001\\MyOrigin002\r\n",
        b"MyOrigin001\\MyOrigin002\n\n  \n",
        b"\r\n  MyOrigin001 \\\tMyOrigin002  \r\n",
        codecs.BOM_UTF8 + b"MyOrigin001\\MyOrigin002\r\n",
        "MyOrigin001\\MyOrigin002\r\n".encode("utf-16"),
        "MyOrigin001\\MyOrigin002\r\n".encode("utf-16-le"),
        "MyOrigin001\\MyOrigin002\r\n".encode("utf-16-be"),
    ],
)
def test_what_an_editor_saves_is_understood(content: bytes) -> None:
    assert parse(content) == PLAIN


@pytest.mark.parametrize(
    "content",
    [
        b"MyOrigin001\\MyOrigin002\\secondaryUP",
        b"MyOrigin001\\MyOrigin002\\secondaryUP\r\n",
        b"MyOrigin001\\MyOrigin002\\ SECONDARYup \n",
        "MyOrigin001\\MyOrigin002\\secondaryUP".encode("utf-16"),
    ],
)
def test_the_flag_is_understood_in_any_case(content: bytes) -> None:
    assert parse(content) == FLAGGED


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\r\n",
        b"A",
        b"A\\",
        b"\\B",
        b"A\\B\\",
        b"A\\B\\primaryUP",
        b"A\\B\\secondaryUP\\secondaryUP",
        b"A\\a",
        b"A\\B\nA\\B",
        b"A B\\C",
        b"A\\B\x00",
        b"\xff\xfe\x00",
        b"A\\\xc3",
        b"null",
        b"A\\B" + b" " * 5000,
    ],
)
def test_anything_else_is_refused_whole(content: bytes) -> None:
    assert parse(content) is None


def test_names_may_be_addresses() -> None:
    assert parse(b"10.0.0.1\\10.0.0.2") == PairLine(("10.0.0.1", "10.0.0.2"))


@pytest.mark.parametrize("line", [PLAIN, FLAGGED])
def test_a_formatted_line_parses_to_itself(line: PairLine) -> None:
    assert parse(format_line(line)) == line


def test_the_written_line_is_exactly_the_articles() -> None:
    assert format_line(FLAGGED) == b"MyOrigin001\\MyOrigin002\\secondaryUP"
    assert format_line(PLAIN) == b"MyOrigin001\\MyOrigin002"


def test_the_flag_names_the_holder() -> None:
    assert (PLAIN.holder, FLAGGED.holder) == ("MyOrigin001", "MyOrigin002")
