"""GET /admin/ping?auser=&apswd=: Flash Media Server's health question, answered in its XML.

    right credentials, all well    level status, NetConnection.Call.Success
    wrong credentials              level error,  NetConnection.Connect.Rejected
    right credentials, not well    level error,  NetConnection.Call.Failed

The HTTP status is 200 in each case, as FMS has it: a monitor reads `code`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from aiohttp import web

from rtmp_sync.admin.endpoint import Endpoint
from rtmp_sync.admin.server import CREDENTIALS, wrong_credentials

if TYPE_CHECKING:
    from rtmp_sync.server.origin import Origin

SUCCESS = "NetConnection.Call.Success"
FAILED = "NetConnection.Call.Failed"
REJECTED = "NetConnection.Connect.Rejected"


async def ping(origin: Origin, request: web.Request) -> web.Response:
    user, password = request.query.get("auser", ""), request.query.get("apswd", "")
    if not request.app[CREDENTIALS].match(user, password):
        wrong_credentials(request)
        return _result("error", REJECTED, "Admin user requires valid username and password.")
    test = origin.self_test()
    if not test.ok:
        return _result("error", FAILED, str(test))
    return _result("status", SUCCESS)


def _result(level: str, code: str, description: str = "") -> web.Response:
    """FMS's answer; the timestamp in the form that it has on Linux."""
    timestamp = time.strftime("%a %d %b %Y %I:%M:%S %p %Z")
    text = (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f"<result><level>{level}</level><code>{code}</code>"
        + (f"<description>{escape(description)}</description>" if description else "")
        + f"<timestamp>{escape(timestamp)}</timestamp></result>\n"
    )
    headers = {"Cache-Control": "no-store"}
    return web.Response(text=text, content_type="text/xml", charset="utf-8", headers=headers)


ENDPOINTS = (Endpoint("GET", "/admin/ping", ping, on_health=True),)
