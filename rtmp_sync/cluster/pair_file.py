r"""The article's one-line pair file: `PRIMARY\SECONDARY` or `PRIMARY\SECONDARY\secondaryUP`.

An operator reads and edits it with whatever editor is at hand, so a byte order mark, UTF-16,
CRLF, spaces and another case are understood. Everything else is refused whole: a wrong line
never moves a gate (D12-D15). What we write is exactly the article's form, without a line end.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass

__all__ = ["PairLine", "format_line", "parse"]

FLAG = "secondaryUP"

# Two host names of 253 characters, the flag and generous blanks, in UTF-16, fit twice.
MAX_BYTES = 4096


@dataclass(frozen=True, slots=True)
class PairLine:
    """The two nodes in slot order, and whether the second one holds the service."""

    nodes: tuple[str, str]
    secondary_up: bool = False

    @property
    def holder(self) -> str:
        return self.nodes[self.secondary_up]


def parse(content: bytes) -> PairLine | None:
    """Read a pair file's content; None when it is not a pair line."""
    text = _text(content)
    if text is None:
        return None
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) != 1:
        return None
    fields = [field.strip() for field in lines[0].split("\\")]
    if len(fields) not in (2, 3) or not all(map(_is_name, fields)):
        return None
    first, second, *flag = fields
    if first.casefold() == second.casefold():
        return None
    if flag and flag[0].casefold() != FLAG.casefold():
        return None
    return PairLine((first, second), bool(flag))


def format_line(line: PairLine) -> bytes:
    """The bytes of a pair file."""
    fields = [*line.nodes, FLAG] if line.secondary_up else line.nodes
    return "\\".join(fields).encode()


def _text(content: bytes) -> str | None:
    if len(content) > MAX_BYTES:
        return None
    try:
        return content.decode(_encoding(content))
    except UnicodeDecodeError:
        return None


def _encoding(content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    # Without a mark, a zero beside the first character tells UTF-16 and its byte order.
    if content[1:2] == b"\0":
        return "utf-16-le"
    if content[:1] == b"\0":
        return "utf-16-be"
    return "utf-8-sig"


def _is_name(field: str) -> bool:
    return bool(field) and field.isprintable() and not any(c.isspace() for c in field)
