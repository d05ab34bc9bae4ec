"""GET /api/openapi.json, and GET /api: the same to read, with nothing from elsewhere."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from aiohttp import web

from rtmp_sync.admin.endpoint import Endpoint
from rtmp_sync.admin.openapi import PREFIX, document

if TYPE_CHECKING:
    from rtmp_sync.server.origin import Origin

_PAGE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>rtmp_sync: JSON API</title>
<meta name="viewport" content="width=device-width">
<style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em }}
h1 {{ font-size: 1.3em }} h2 {{ font-size: 1em; margin: 2em 0 0 }}
h2 b {{ display: inline-block; width: 3.5em; color: #2a7bd3 }} h2 .post {{ color: #c65a00 }}
p {{ margin: .2em 0 }} code {{ font-size: .9em }}
table {{ border-collapse: collapse; width: 100%; font-size: .9em }}
th {{ text-align: left; width: 14em; font-weight: normal; font-family: monospace }}
th, td {{ padding: .2em .5em; border-bottom: 1px solid #8884; vertical-align: top }}
</style></head><body>
<h1>{title}: JSON API</h1>
<p>{description}</p>
<p><code>curl -H "Authorization: Bearer TOKEN" http://HOST:PORT{prefix}/server</code></p>
<p><a href="/api/openapi.json">openapi.json</a> (OpenAPI {version}) · <a href="/">status</a></p>
{operations}
</body></html>
"""


async def show_document(_origin: Origin, _: web.Request) -> web.Response:
    return web.json_response(document(), headers={"Cache-Control": "no-cache"})


async def show_page(_origin: Origin, _: web.Request) -> web.Response:
    headers = {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    }
    return web.Response(text=_page(document()), content_type="text/html", headers=headers)


def _page(api: dict[str, Any]) -> str:
    schemas = api["components"]["schemas"]
    return _PAGE.format(
        title=escape(api["info"]["title"]),
        description=_prose(api["info"]["description"]),
        prefix=PREFIX,
        version=api["openapi"],
        operations="".join(
            _operation(path, verb, operation, schemas)
            for path, verbs in api["paths"].items()
            for verb, operation in verbs.items()
        ),
    )


def _operation(path: str, verb: str, operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    taken = {one["name"]: one["description"] for one in operation["parameters"]}
    members = body.get("schema", {}).get("properties", {})
    taken |= {name: schema["description"] for name, schema in members.items()}
    return (
        f'<h2><b class="{verb}">{verb.upper()}</b> <code>{escape(PREFIX + path)}</code></h2>'
        f"<p>{_prose(operation['summary'])}</p><table>"
        + "".join(_row(f"→ {name}", meaning) for name, meaning in taken.items())
        + "".join(_row(name, meaning) for name, meaning in _told(operation, schemas))
        + "</table>"
    )


def _told(operation: dict[str, Any], schemas: dict[str, Any]) -> list[tuple[str, str]]:
    """(name, meaning) of what the answer has."""
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
    properties = schemas[answer.rpartition("/")[2]].get("properties", {})
    return [(name, schema.get("description", "")) for name, schema in properties.items()]


def _row(name: str, meaning: str) -> str:
    return f"<tr><th>{escape(name)}</th><td>{_prose(meaning)}</td></tr>"


def _prose(text: str) -> str:
    """Text with `code` in it."""
    parts = escape(text).split("`")
    return "".join(
        f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts)
    )


ENDPOINTS = (
    Endpoint("GET", "/api/openapi.json", show_document),
    Endpoint("GET", "/api", show_page),
)
