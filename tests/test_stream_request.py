"""Names of streams with queries, as encoders and players give them."""

from __future__ import annotations

import pytest

from rtmp_sync import StreamRequest


@pytest.mark.parametrize(
    ("name", "app", "expected", "query"),
    [
        ("s", "live", "s", {}),
        ("s?key=a&x=1", "live", "s", {"key": "a", "x": "1"}),
        ("s?key=a&key=b", "live", "s", {"key": "a"}),
        ("s", "live?key=a", "s", {"key": "a"}),
        ("s?key=own", "live?key=app&x=1", "s", {"key": "own", "x": "1"}),
        ("s?key=", "live", "s", {"key": ""}),
        ("mp4:a/b.mp4?t=%20", "live", "mp4:a/b.mp4", {"t": " "}),
        ("s?" + "a&" * 200, "live", "s", {}),
        ("", "", "", {}),
    ],
)
def test_a_name_and_what_comes_with_it(
    name: str, app: str, expected: str, query: dict[str, str]
) -> None:
    request = StreamRequest.parse(name, "play", app)
    assert (request.name, dict(request.query)) == (expected, query)
