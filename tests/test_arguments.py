"""What a method takes, by its type hints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NewType, Optional, TypedDict, Union

import pyamf
import pytest
from pyamf.amf3 import ByteArray

from rtmp_sync.arguments import Arguments, WrongArguments

if TYPE_CHECKING:
    from somewhere import Unknown  # as an application does for its type checker

Seat = NewType("Seat", int)


class Move(TypedDict):
    x: int
    y: int


class Branch(TypedDict):
    name: str
    further: list[Branch]


class Piece:
    pass


PIECE = Piece()
TEN = ByteArray(b"ten")


def one(hint: Any) -> Arguments:
    """Of a method with one argument."""

    async def method(self: object, client: object, value: object) -> None: ...

    method.__annotations__["value"] = hint
    return Arguments(method)


@pytest.mark.parametrize(
    ("hint", "sent", "given"),
    [
        (float, 1, 1.0),
        (float, 1.5, 1.5),
        (int, 3.0, 3),
        (int, 3, 3),
        (str, "", ""),
        (bool, False, False),
        (bytes, TEN, b"ten"),
        (None, pyamf.Undefined, None),
        (Optional[str], pyamf.Undefined, None),  # noqa: UP045  # the old form is read too
        (Union[int, str], "x", "x"),  # noqa: UP007
        (int | str | None, 2.0, 2),
        (list, [1.0, "x"], [1.0, "x"]),
        (list[int], [1.0, 2.0], [1, 2]),
        (list[int], pyamf.MixedArray({"1": 5.0, "0": 4.0}), [4, 5]),
        (Sequence[str], ("a",), ["a"]),
        (tuple[int, ...], [1.0], (1,)),
        (tuple[int, str], [1.0, "a"], (1, "a")),
        (dict, {"a": 1.0}, {"a": 1.0}),
        (dict[str, int], {"a": 1.0}, {"a": 1}),
        (Mapping[str, list[int]], {"a": [1.0]}, {"a": [1]}),
        (Move, {"x": 1.0, "y": 2.0, "z": 0.5}, {"x": 1, "y": 2, "z": 0.5}),
        (Literal["up", 2], 2.0, 2),
        (Seat, 4.0, 4),
        (Piece, PIECE, PIECE),
        (Any, pyamf.Undefined, pyamf.Undefined),
        (object, None, None),
        ("Unknown", 5.0, 5.0),
        ("list[Nowhere]", 5.0, 5.0),
    ],
)
def test_takes_what_the_hint_says_and_gives_it_in_that_type(
    hint: Any, sent: object, given: object
) -> None:
    (bound,) = one(hint).bind([sent])
    assert bound == given
    assert type(bound) is type(given)


@pytest.mark.parametrize(
    ("hint", "sent", "sentence"),
    [
        (float, "1", "Argument 1 (value) must be a number, not a string"),
        (float, True, "must be a number, not true or false"),
        (int, 1.5, "must be a whole number, not a number"),
        (int, float("inf"), "must be a whole number"),
        (int, float("nan"), "must be a whole number"),
        (str, None, "must be a string, not null"),
        (str, pyamf.Undefined, "must be a string, not undefined"),
        (bool, 1.0, "must be true or false, not a number"),
        (bytes, "x", "must be a ByteArray, not a string"),
        (int | None, "x", "must be a whole number or null, not a string"),
        (list[int] | None, ["x"], "Argument 1 (value[0]) must be a whole number"),
        (list[int], {"a": 1.0}, "must be an array"),
        (list[int], pyamf.MixedArray({"7": 1.0}), "must be an array"),
        (list[int], [1.0, "x"], "Argument 1 (value[1]) must be a whole number, not a string"),
        (tuple[int, int], [1.0], "must be an array of 2"),
        (dict[str, int], [1.0], "must be an object, not an array"),
        (dict[str, int], {"k": {}}, "(value.k) must be a whole number, not an object"),
        (dict[str, int], {"k" * 5000: ""}, "k) must be a whole number"),
        (Move, {"x": 1.0}, "(value.y) must be given, not undefined"),
        (Move, {"x": 1.0, "y": "2"}, "(value.y) must be a whole number"),
        (Literal["up", 1], "left", "must be one of 'up', 1, not a string"),
        (Literal[1], True, "must be one of 1, not true or false"),
        (Piece, {}, "must be Piece, not an object"),
    ],
)
def test_refuses_the_rest_in_a_sentence_that_names_the_argument(
    hint: Any, sent: object, sentence: str
) -> None:
    with pytest.raises(WrongArguments) as caught:
        one(hint).bind([sent])
    assert sentence in str(caught.value)
    assert len(str(caught.value)) < 200


def test_counts_them_and_checks_those_of_a_star() -> None:
    def method(self: object, client: Unknown, a: str, b: int = 2, *more: float) -> None: ...

    def fixed(self: object, client: Unknown, a: str, b: int = 2, *, c: int = 3) -> None: ...

    arguments = Arguments(method)
    assert arguments.bind(["x"]) == ["x"]
    assert arguments.bind(["x", 1.0, 2, 3.0]) == ["x", 1, 2.0, 3.0]
    assert arguments.shown == ("a: a string", "b: a whole number = 2", "*more: a number")
    with pytest.raises(WrongArguments, match="Argument 4 must be a number"):
        arguments.bind(["x", 1.0, 2.0, "y"])
    for values, number in (([], "at least 1"),):
        with pytest.raises(WrongArguments, match=f"Wrong number of arguments: 0, not {number}"):
            arguments.bind(values)
    for count in (0, 3):
        with pytest.raises(WrongArguments, match=f"{count}, not 1 to 2"):
            Arguments(fixed).bind(["x"] * count)


def test_the_values_that_came_stay_as_they_are() -> None:
    sent = [[1.0]]
    assert one(list[int]).bind(sent) == [[1]]
    assert type(sent[0][0]) is float


def test_an_object_may_have_others_of_its_kind_in_it() -> None:
    arguments = one(Branch)
    tree = {"name": "a", "further": [{"name": "b", "further": []}]}
    assert arguments.bind([tree]) == [tree]
    wrong = {"name": "a", "further": [{"name": "b", "further": [{"name": 1.0, "further": []}]}]}
    with pytest.raises(WrongArguments, match=r"(.further\[0\]){2}.name\) must be a str"):
        arguments.bind([wrong])
