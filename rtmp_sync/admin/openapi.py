"""The JSON API as an OpenAPI 3.1 document, made from the methods."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from rtmp_sync.admin.method import REQUIRED, Answer, Argument, Method, found_methods

__all__ = ["PREFIX", "Failure", "document", "path_arguments"]

PREFIX: Final = "/api/v1"

_TYPES: Final[dict[type, dict[str, Any]]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    list: {"type": "array", "items": {}},
}
_PATH_MEANINGS: Final = {
    "app": "the application",
    "instance": "the instance; `_definst_` where clients give none. A slash in it is `%2F`",
}


class Failure(Answer):
    """Why it was not done."""

    code: str
    """As FMS has it in its XML."""
    description: str
    """For people."""
    ask: str | None
    """The node that could do it; null when there is none."""


@cache
def document() -> dict[str, Any]:
    """As /api/openapi.json has it."""
    methods = found_methods().values()
    models = {method.answer for method in methods} | {Failure}
    _, schemas = models_json_schema(
        [(model, "serialization") for model in sorted(models, key=lambda model: model.__name__)],
        ref_template="#/components/schemas/{model}",
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "rtmp_sync",
            "version": "1",
            "description": "Administration of an RTMP origin: what Flash Media Server's "
            "administration API tells and does, as JSON. The same methods are at "
            "`/admin/METHOD`, with FMS's XML.",
        },
        "servers": [{"url": PREFIX}],
        "security": [{"token": []}, {"password": []}],
        "paths": {method.path: {_verb(method): _operation(method)} for method in methods},
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of admin.tokens_file.",
                },
                "password": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "admin.user and its password.",
                },
            },
        },
    }


def path_arguments(method: Method) -> list[str]:
    """The names in braces, in order."""
    return [part[1:-1] for part in method.path.split("/") if part.startswith("{")]


def _verb(method: Method) -> str:
    return "post" if method.changes else "get"


def _operation(method: Method) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": method.name,
        "summary": method.meaning,
        "parameters": list(_parameters(method)),
        "responses": {
            "200": _response(method.answer, "Done."),
            "default": _response(Failure, "Not done."),
        },
    }
    if method.changes:
        operation["requestBody"] = {
            "required": any(argument.required for argument in _others(method)),
            "content": {"application/json": {"schema": _body(method)}},
        }
    return operation


def _parameters(method: Method) -> Iterator[dict[str, Any]]:
    arguments = {argument.name: argument for argument in method.arguments}
    for name in path_arguments(method):
        meaning = arguments[name].meaning if name in arguments else _PATH_MEANINGS[name]
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "description": meaning,
            "schema": {"type": "string"},
        }
    if not method.changes:
        for argument in _others(method):
            yield {
                "name": argument.name,
                "in": "query",
                "required": argument.required,
                "description": argument.meaning,
                "schema": _schema(argument),
            }


def _others(method: Method) -> list[Argument]:
    """The arguments that are not in the path."""
    in_path = set(path_arguments(method))
    if "instance" in in_path:
        in_path.add("appInst")
    return [one for one in method.arguments if one.name not in in_path and not one.ignored]


def _body(method: Method) -> dict[str, Any]:
    others = _others(method)
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [argument.name for argument in others if argument.required],
        "properties": {
            argument.name: {**_schema(argument), "description": argument.meaning}
            for argument in others
        },
    }


def _schema(argument: Argument) -> dict[str, Any]:
    schema = dict(_TYPES[argument.kind])
    if argument.default is not REQUIRED:
        default = argument.default
        schema["default"] = list(default) if isinstance(default, tuple) else default
    return schema


def _response(answer: type[Answer], description: str) -> dict[str, Any]:
    reference = {"$ref": f"#/components/schemas/{answer.__name__}"}
    return {
        "description": description,
        "content": {"application/json": {"schema": reference}},
    }
