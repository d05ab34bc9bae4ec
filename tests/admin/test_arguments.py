"""Arguments from FMS's queries and from the JSON API."""

from __future__ import annotations

from typing import Any

import pytest

from rtmp_sync.admin.arguments import MAX_VALUES, from_fms, from_json, from_path, from_query
from rtmp_sync.admin.method import Argument, Done, Method
from rtmp_sync.admin.refusal import BAD_VALUE, Refusal


async def nothing(_: object) -> Done:
    return Done()


METHOD = Method(
    "doIt",
    "/instances/{app}/{instance}/things/{thing}",
    "Does nothing.",
    Done,
    nothing,
    (
        Argument("appInst", "the instance"),
        Argument("thing", "its name", also=("thingName",)),
        Argument("loud", "whether to shout", bool, default=False),
        Argument("vhost", "no matter", default="", ignored=True),
        Argument("args", "more", list, default=()),
    ),
)
LEAST = {"appInst": "a/b", "thing": "t"}
ALL = {"loud": False, "vhost": "", "args": []}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (LEAST, {}),
        ({"APPINST": "a/b", "Thing": "t"}, {}),
        ({"appInst": '"a/b"', "thingName": "'t'"}, {}),
        ({**LEAST, "unknown": "x", "auser": "y"}, {}),
        ({**LEAST, "loud": "TRUE"}, {"loud": True}),
        ({**LEAST, "loud": "0"}, {"loud": False}),
        ({**LEAST, "vhost": "v"}, {"vhost": "v"}),
        ({**LEAST, "arg0": "x", "arg1": '"y z"', "arg3": "left out"}, {"args": ["x", "y z"]}),
        ({**LEAST, "thing": '"'}, {"thing": '"'}),
    ],
)
def test_a_query_is_read_as_fms_reads_it(query: dict[str, str], found: dict[str, Any]) -> None:
    assert from_fms(METHOD, query) == {**LEAST, **ALL, **found}


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"thing": "t"}, "appInst is missing"),
        ({**LEAST, "loud": "perhaps"}, "loud: give true or false"),
        ({**LEAST, **{f"arg{n}": "x" for n in range(MAX_VALUES + 1)}}, "at most"),
    ],
)
def test_a_wrong_query_is_a_bad_value(query: dict[str, str], text: str) -> None:
    with pytest.raises(Refusal) as refused:
        from_fms(METHOD, query)
    assert refused.value.code == BAD_VALUE
    assert text in refused.value.text


def test_a_path_and_a_query_give_all_arguments() -> None:
    in_path = from_path({"app": "a", "instance": "b/c", "thing": "t"})
    assert in_path == {"appInst": "a/b/c", "thing": "t"}
    assert from_query(METHOD, in_path, {"loud": "true"}) == {
        **in_path,
        "loud": True,
        "vhost": "",
        "args": (),
    }


@pytest.mark.parametrize("body", [{"loud": "true"}, {"loud": 1}, {"args": "x"}, {"args": {}}, 5])
def test_a_body_must_have_the_right_types(body: object) -> None:
    with pytest.raises(Refusal) as refused:
        from_json(METHOD, dict(LEAST), body)
    assert refused.value.status == 400


@pytest.mark.parametrize("name", ["thing", "vhost", "nothing"])
def test_what_is_in_the_path_or_ignored_or_unknown_cannot_be_in_a_body(name: str) -> None:
    with pytest.raises(Refusal) as refused:
        from_json(METHOD, dict(LEAST), {name: "x"})
    assert refused.value.text == f"{name}: there is no such argument"
