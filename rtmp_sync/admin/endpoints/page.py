"""GET /: a page to look at. It shows /status of this origin and what it knows of the other."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from aiohttp import web

from rtmp_sync.admin import facts
from rtmp_sync.admin.endpoint import Endpoint

if TYPE_CHECKING:
    from rtmp_sync.server.origin import Origin

_PAGE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="refresh" content="1">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 52em; color: #222 }}
h1 {{ font-size: 1.3em }} .active {{ color: #087f23 }} .standby {{ color: #0b57a4 }}
.closed {{ color: #a34a00 }} .alarm {{ color: #b00020 }}
table {{ border-collapse: collapse; width: 100% }} th {{ text-align: left; width: 12em }}
th, td {{ padding: .3em .5em; border-bottom: 1px solid #ddd }}
</style></head><body>
<h1>{title} is <span class="{role}">{role}</span></h1>
{alarms}
<table>{rows}</table>
<p><a href="/status">status</a> · <a href="/metrics">metrics</a> ·
<a href="/history">history</a></p>
</body></html>
"""


async def show(origin: Origin, _: web.Request) -> web.Response:
    status = facts.status(origin)
    headers = {
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    }
    return web.Response(text=_page(status), content_type="text/html", headers=headers)


def _page(status: dict[str, Any]) -> str:
    peer, lag, alone = status["peer"], status["lag"], status["alone"]
    rows = {
        "state": status["state"],
        "gate": status["gate"],
        "epoch": status["epoch"],
        "holder": status["holder"],
        "in sync": ", ".join(status["sync"]) or "nobody",
        "Changes": status["seq"],
        "lag": f"{lag['changes']} Changes, {lag['ms']:.0f} ms",
        "served alone": f"{alone['seconds']:.0f} s, {alone['changes']} Changes at most",
        "other origin": f"{peer['id'] or 'never seen'} {peer['state'] or ''}",
        "link": peer["link"],
        "clients": status["clients"],
        "instances": status["instances"],
        "codec": status["codec"],
        "version": status["version"],
    }
    return _PAGE.format(
        title=f"rtmp_sync {escape(str(status['id']))}",
        role=escape(str(status["role"])),
        alarms="".join(
            f'<p class="alarm">{escape(key)}: {escape(str(text))}</p>'
            for key, text in status["alarms"].items()
        ),
        rows="".join(
            f"<tr><th>{escape(key)}</th><td>{escape(str(value))}</td></tr>"
            for key, value in rows.items()
        ),
    )


ENDPOINTS = (Endpoint("GET", "/", show),)
