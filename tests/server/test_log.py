"""Log lines: one JSON object each where nobody looks, and never a reason to stop."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog
from aiohttp.http_exceptions import BadHttpMessage

from rtmp_sync.server.log import configure_logging


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    before = logging.root.handlers[:]
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    logging.root.handlers[:] = before


def test_a_line_is_an_object_with_what_was_bound(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(node="A")
    structlog.get_logger("rtmp_sync.part").bind(connection=7).info("opened", peer="x")
    found = json.loads(capsys.readouterr().err)
    assert found.pop("at")
    assert found == {
        "event": "opened",
        "logger": "rtmp_sync.part",
        "level": "info",
        "node": "A",
        "connection": 7,
        "peer": "x",
    }


def test_the_standard_librarys_records_look_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    logging.getLogger("asyncio").error("forgotten %s", "task")
    found = json.loads(capsys.readouterr().err)
    assert (found["logger"], found["event"]) == ("asyncio", "forgotten task")


def test_what_strangers_send_that_is_no_http_is_a_short_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging()
    try:
        raise BadHttpMessage("Missing 'Host' header")
    except BadHttpMessage:
        logging.getLogger("aiohttp.server").exception("Error handling request from %s", "x")
    found = json.loads(capsys.readouterr().err)
    assert (found["level"], found["event"], found["error"]) == ("info", "no_http", "BadHttpMessage")
    assert "exception" not in found


def test_a_traceback_on_a_terminal_shows_no_values() -> None:
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]  # what a terminal says
    configure_logging(stream=terminal)
    value = ["a large value or a secret"]
    try:
        value[1]
    except IndexError as error:
        structlog.get_logger("rtmp_sync.app").error("call_failed", exc_info=error)
    assert "IndexError: list index out of range" in terminal.getvalue()
    assert "secret" not in terminal.getvalue()


def test_a_stream_that_cannot_be_written_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    monkeypatch.setattr(sys, "stderr", closed)
    configure_logging()
    closed.close()
    structlog.get_logger("rtmp_sync.part").error("unheard")
