"""FMS's answers over HTTP: XML, in which an array's items are `_0`, `_1`, …

    <result><level>status</level><code>NetConnection.Call.Success</code>
    <timestamp>…</timestamp><data>…</data></result>
    <result><level>error</level><code>…</code><description>…</description>
    <timestamp>…</timestamp></result>

Source: Adobe Media Server Administration API Reference, and answers of FMS 4 on Linux.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Final
from xml.etree import ElementTree

from aiohttp import web
from pydantic import BaseModel

from rtmp_sync.admin.method import SPREAD
from rtmp_sync.admin.refusal import SUCCESS

__all__ = ["failure", "success"]

# What XML 1.0 cannot hold, in any form; names of streams and clients may.
_FORBIDDEN: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def success(answer: BaseModel | None = None) -> web.Response:
    """Without an answer there is no `data`."""
    root = _root("status", SUCCESS)
    _timestamp(root)
    if answer is not None:
        _fill(ElementTree.SubElement(root, "data"), answer)
    return _response(root)


def failure(code: str, description: str) -> web.Response:
    """The HTTP status is 200 here, too, as FMS has it: who reads this reads `code`."""
    root = _root("error", code)
    _add(root, "description", description)
    _timestamp(root)
    return _response(root)


def _root(level: str, code: str) -> ElementTree.Element:
    root = ElementTree.Element("result")
    _add(root, "level", level)
    _add(root, "code", code)
    return root


def _timestamp(root: ElementTree.Element) -> None:
    """In the form that it has on Linux."""
    _add(root, "timestamp", time.strftime("%a %d %b %Y %I:%M:%S %p %Z"))


def _add(parent: ElementTree.Element, name: str, value: object) -> None:
    element = ElementTree.SubElement(parent, name)
    if isinstance(value, BaseModel | list):
        _fill(element, value)
    else:
        element.text = _FORBIDDEN.sub("\ufffd", _text(value))


def _fill(element: ElementTree.Element, value: BaseModel | list[object]) -> None:
    for name, member in _members(value):
        _add(element, name, member)


def _members(value: BaseModel | list[object]) -> Iterator[tuple[str, object]]:
    if isinstance(value, list):
        yield from ((f"_{index}", item) for index, item in enumerate(value))
        return
    for name, field in type(value).model_fields.items():
        member = getattr(value, name)
        if any(one is SPREAD for one in field.metadata):
            yield from _members(member)
        else:
            yield name, member


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):  # as in "Mon May 14 22:43:39 2012", in the server's own zone
        return value.astimezone().strftime("%a %b %d %H:%M:%S %Y")
    return str(value)


def _response(root: ElementTree.Element) -> web.Response:
    body = ElementTree.tostring(root, encoding="unicode", short_empty_elements=False)
    return web.Response(
        text=f'<?xml version="1.0" encoding="utf-8"?>\n{body}\n',
        content_type="text/xml",
        charset="utf-8",
        headers={"Cache-Control": "no-store"},
    )
