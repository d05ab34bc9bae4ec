"""Reads one file of an FMS configuration. Whoever wrote it: no entities, no external files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from rtmp_sync.errors import ConfigError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["read_text", "read_xml"]

MAX_FILE_BYTES: Final = 4 * 1024 * 1024  # Adobe's, with all their comments, have some 100 KB


def read_xml(path: Path) -> Element:
    """The root element. Raises ConfigError."""
    try:
        root: Element = fromstring(_read(path))
    except DefusedXmlException as error:
        kind = type(error).__name__
        fix = (
            f"declares what no configuration needs ({kind}); remove its <!ENTITY …> or <!DOCTYPE …>"
        )
        raise ConfigError(str(path), "…", fix) from None
    except ParseError as error:
        raise ConfigError(str(path), "…", f"is not valid XML: {error}") from None
    except (LookupError, ValueError) as error:  # an encoding that Python does not know
        raise ConfigError(str(path), "…", f"cannot be read: {error}") from None
    return root


def read_text(path: Path) -> str:
    """A text file in UTF-8 or Latin-1, as FMS took both. Raises ConfigError."""
    content = _read(path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(str(path), "…", f"cannot be read ({error.strerror})") from None
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(str(path), "…", f"is longer than {MAX_FILE_BYTES} bytes")
    return content
