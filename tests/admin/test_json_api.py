"""The JSON API against its own OpenAPI document, and who may use it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from rtmp_sync.admin.method import found_methods
from rtmp_sync.admin.openapi import document
from tests.admin.calling import (
    CHANGE,
    READ,
    SUCCESS,
    Calls,
    administered,
    basic,
    client_of,
    part,
    texts,
)
from tests.admin.conftest import Http

ROOM = "probe/room/one"


FORMATS = FormatChecker(formats=())


@FORMATS.checks("date-time", raises=ValueError)
def is_time(value: object) -> bool:
    return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None


def valid(answer: object, schema: dict[str, Any]) -> list[str]:
    """What is wrong with an answer, by the document."""
    rooted = {**schema, "components": document()["components"]}
    validator = Draft202012Validator(rooted, format_checker=FORMATS)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(answer)]


def schema_of(operation: dict[str, Any], status: str) -> dict[str, Any]:
    schema: dict[str, Any] = operation["responses"][status]["content"]["application/json"]["schema"]
    return schema


def operations() -> dict[str, tuple[str, str, dict[str, Any]]]:
    """operationId -> (verb, path, operation); what ends things comes last."""
    last = ("disconnectUser", "reloadApp", "unloadApp")
    found = {
        operation["operationId"]: (verb, path, operation)
        for path, verbs in document()["paths"].items()
        for verb, operation in verbs.items()
    }
    return {name: found[name] for name in [*(one for one in found if one not in last), *last]}


@pytest.fixture
async def busy(calls: Calls) -> AsyncIterator[tuple[Calls, dict[str, str]]]:
    """An instance with all that can be asked about, and the arguments that name it."""
    async with client_of(calls, ROOM) as camera, client_of(calls, ROOM) as viewer:
        published, played = await camera.create_stream(), await viewer.create_stream()
        await published.publish("cam/1")
        await played.play("cam/1")
        await viewer.shared_object("board/a")
        users = texts(await calls.data("getUsers", appInst=ROOM))
        yield (
            calls,
            {
                "app": "probe",
                "instance": part("room/one"),
                "userid": users[1],
                "stream": part("cam/1"),
                "sharedObject": part("board/a"),
            },
        )


BODIES: dict[str, dict[str, Any]] = {
    "broadcastMsg": {"scope": "App:probe", "method": "notice", "args": [1, {"a": None}]},
    "disconnectUser": {"reason": "enough"},
    "unloadApp": {"appInst": "probe"},
    "reloadApp": {},
}


async def test_every_operation_answers_as_the_document_says(
    busy: tuple[Calls, dict[str, str]],
) -> None:
    calls, values = busy
    for name, (verb, path, operation) in operations().items():
        filled = re.sub(r"{(\w+)}", lambda found: values[found[1]], path)
        body = None
        if verb == "post":
            body = BODIES[name]
            content = operation["requestBody"]["content"]["application/json"]
            assert valid(body, content["schema"]) == [], name
        status, answer = await calls.ask(filled, token=CHANGE, method=verb.upper(), body=body)
        assert status == 200, (name, answer)
        assert valid(answer, schema_of(operation, "200")) == [], name


async def test_what_is_not_there_is_answered_as_the_document_says(calls: Calls) -> None:
    for name, (verb, path, operation) in operations().items():
        if "{" not in path:
            continue
        filled = re.sub(r"{\w+}", "nothing", path)
        status, answer = await calls.ask(filled, token=CHANGE, method=verb.upper())
        assert (status, answer["code"]) == (404, "NetConnection.Call.Failed"), name
        assert valid(answer, schema_of(operation, "default")) == [], name


def test_the_document_is_one_of_openapi_and_has_every_method() -> None:
    api = document()
    assert api["openapi"].startswith("3.1.")
    assert set(operations()) == set(found_methods())
    for schema in api["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    references = set(re.findall(r"'#/components/schemas/([^']+)'", repr(api)))
    assert references == set(api["components"]["schemas"])
    for path, verbs in api["paths"].items():
        for verb, operation in verbs.items():
            in_path = [one["name"] for one in operation["parameters"] if one["in"] == "path"]
            assert in_path == re.findall(r"{(\w+)}", path)
            assert verb == ("post" if found_methods()[operation["operationId"]].changes else "get")


def test_every_answer_says_what_it_is() -> None:
    for name, schema in document()["components"]["schemas"].items():
        assert schema["description"], name


async def test_a_wrong_answer_would_be_noticed(calls: Calls) -> None:
    """That the check above can fail."""
    _, _, operation = operations()["getServerStats"]
    _, answer = await calls.ask("/server")
    assert valid(answer, schema_of(operation, "200")) == []
    for wrong in ({**answer, "uptime": "0"}, {**answer, "launchTime": "?"}, {**answer, "more": 1}):
        assert valid(wrong, schema_of(operation, "200")) != []


async def test_the_document_and_the_page_need_nothing_and_load_nothing(http: Http) -> None:
    status, text = await http.ask("/api/openapi.json")
    assert (status, '"openapi": "3.1.0"' in text) == (200, True)
    status, page = await http.ask("/api")
    assert status == 200
    assert not re.search(r"<script|src=|@import|url\(|href=\"http", page)
    for method in found_methods().values():
        assert f"/api/v1{method.path}" in page
    for path in ("/api", "/api/openapi.json", "/api/v1/server", "/admin/getServerStats"):
        assert (await http.ask(path, on="health"))[0] == 404


async def test_without_a_right_token_nothing_is_told(http: Http) -> None:
    for header in ("", "Bearer", "Bearer x", "Token x", "Basic x"):
        headers = {"Authorization": header} if header else {}
        status, text = await http.ask("/api/v1/server", headers=headers)
        assert status in (401, 429), header
        assert "uptime" not in text


async def test_a_token_for_reading_changes_nothing(calls: Calls) -> None:
    async with client_of(calls, "probe"):
        for name, (verb, path, _) in operations().items():
            if verb == "post":
                filled = re.sub(r"{\w+}", "x", path)
                status, answer = await calls.ask(filled, token=READ, method="POST", body={})
                assert (status, answer["code"]) == (403, "NetConnection.Connect.Rejected"), name
        assert len(calls.origin.sessions) == 1


async def test_the_administrators_password_is_as_good_as_a_token(calls: Calls) -> None:
    assert (await calls.request("/server", basic()))[0] == 200
    assert (await calls.request("/server", basic("guess")))[0] == 401
    from_elsewhere = {**basic(), "Sec-Fetch-Site": "cross-site"}
    assert (await calls.request("/server", from_elsewhere))[0] == 403


async def test_tokens_are_read_again_when_their_file_changes(tmp_path: Path) -> None:
    async with administered(tmp_path) as calls:
        assert (await calls.ask("/server"))[0] == 200
        (tmp_path / "tokens").write_text("other read another-token-0123456789\n")
        assert (await calls.ask("/server"))[0] == 401
        assert (await calls.ask("/server", token="another-token-0123456789"))[0] == 200


@pytest.mark.parametrize(
    ("path", "method", "body", "text"),
    [
        ("/apps?verbos=true", "GET", None, "verbos: there is no such argument"),
        ("/apps?force=true", "GET", None, "force: there is no such argument"),
        ("/apps?verbose=2", "GET", None, "verbose: give true or false"),
        ("/broadcast", "POST", {"scope": "Server"}, "method is missing"),
        ("/broadcast", "POST", {"scope": 1, "method": "x"}, "scope: give a string"),
        ("/broadcast", "POST", {"scope": "Server", "method": "x", "args": "y"}, "give an array"),
        ("/broadcast", "POST", {"scope": "Server", "method": "x", "args": [0] * 65}, "at most 64"),
        ("/broadcast", "POST", {"scope": "Server", "method": "\ud800"}, "method: half of a"),
        ("/broadcast", "POST", {"\ud800": "x"}, "\ud800: there is no such argument"),
        ("/broadcast", "POST", [], "the body must be a JSON object"),
        ("/instances/a/b/reload", "POST", {"appInst": "c/d"}, "appInst: there is no such"),
    ],
)
async def test_what_cannot_be_understood_is_named(
    calls: Calls, path: str, method: str, body: object, text: str
) -> None:
    status, answer = await calls.ask(path, token=CHANGE, method=method, body=body)
    assert (status, answer["code"]) == (400, "NetConnection.Call.BadValue")
    assert text in answer["description"]


async def test_a_body_that_is_no_json_or_nested_too_deeply_is_refused(calls: Calls) -> None:
    headers = {"Authorization": f"Bearer {CHANGE}"}
    for body in (b"{", b"\xff", b"[" * 8000):
        url = f"{calls.base}/api/v1/broadcast"
        async with calls.session.post(url, headers=headers, data=body) as answer:
            assert answer.status == 400
            assert (await answer.json())["code"] == "NetConnection.Call.BadValue"


async def test_both_forms_tell_the_same(calls: Calls) -> None:
    async with client_of(calls, ROOM):
        assert await calls.code("ping") == SUCCESS
        assert await calls.ask("/ping") == (200, {})
        _, told = await calls.ask("/instances/probe/room%2Fone")
        data = await calls.data("getInstanceStats", appInst=ROOM)
        assert [element.tag for element in data] == list(told)
        for name in ("name", "connected", "total_connects", "shared_objects"):
            assert data.findtext(name) == str(told[name])
