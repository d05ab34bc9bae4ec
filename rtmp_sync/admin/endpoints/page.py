"""GET /: a page to look at. It shows /status of this origin and what it knows of the other."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from aiohttp import web

from rtmp_sync.admin import facts
from rtmp_sync.admin.endpoint import Endpoint
from rtmp_sync.admin.remedies import remedy

if TYPE_CHECKING:
    from rtmp_sync.server.origin import Origin

_PAGE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="refresh" content="1">
<meta name="viewport" content="width=device-width">
<style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 52em; padding: 0 1em }}
h1 {{ font-size: 1.3em }} h2 {{ font-size: 1.1em; margin: 1.5em 0 .3em }}
.active {{ color: #0a9b2e }} .standby {{ color: #2a7bd3 }} .closed {{ color: #c65a00 }}
.alarms {{ border-left: .3em solid #d3203a; padding: .1em 1em }} .alarms b {{ color: #d3203a }}
table {{ border-collapse: collapse; width: 100% }} th {{ text-align: left; width: 12em }}
th, td {{ padding: .3em .5em; border-bottom: 1px solid #8884; vertical-align: top }}
.steps {{ opacity: .7 }}
</style></head><body>
<h1>{title} is <span class="{role}">{role}</span></h1>
{alarms}
<table>{rows}</table>
{moves}
<p><a href="/status">status</a> · <a href="/metrics">metrics</a> ·
<a href="/history">history</a> · <a href="/api">API</a></p>
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
    return _PAGE.format(
        title=f"rtmp_sync {escape(str(status['id']))}",
        role=escape(str(status["role"])),
        alarms=_alarms(status["alarms"]),
        rows="".join(_row(key, value) for key, value in _rows(status).items()),
        moves=_moves(status["last_moves"]),
    )


def _rows(status: dict[str, Any]) -> dict[str, object]:
    peer, lag, alone = status["peer"], status["lag"], status["alone"]
    return {
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


def _row(key: object, value: object) -> str:
    return f"<tr><th>{escape(str(key))}</th><td>{escape(str(value))}</td></tr>"


def _alarms(alarms: Mapping[str, str]) -> str:
    """Each with its meaning, and what to do."""
    if not alarms:
        return ""
    lines = [
        f"<p><b>{escape(name)}</b>: {escape(meaning)}"
        + (f"<br>→ {escape(what_to_do)}" if (what_to_do := remedy(name)) else "")
        + "</p>"
        for name, meaning in alarms.items()
    ]
    return f'<div class="alarms">{"".join(lines)}</div>'


def _moves(moves: list[dict[str, Any]]) -> str:
    """When the service last moved, and how long each step took."""
    if not moves:
        return ""
    rows = []
    for move in moves:
        way = f" {move.get('from') or '?'} → {move['to']}" if move.get("to") else ""
        reason = f" ({move['reason']})" if move.get("reason") else ""
        steps = ", ".join(f"{name} {ms} ms" for name, ms in (move.get("steps") or {}).items())
        text = escape(f"{move['event']}{way}{reason}")
        rows.append(
            f"<tr><th>{escape(str(move['at'])[:19])}Z</th><td>{text}"
            f'<br><span class="steps">{escape(steps)}</span></td></tr>'
        )
    return f"<h2>Last moves of the service</h2><table>{''.join(rows)}</table>"


ENDPOINTS = (Endpoint("GET", "/", show),)
