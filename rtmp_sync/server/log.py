"""Where log lines go and how they look: set up once, by the process that serves.

On a terminal lines are for people, otherwise each is one JSON object with `at` (UTC), `level`,
`logger`, `event` and whatever the place bound. What the standard library's loggers say (asyncio
names forgotten exceptions there) arrives in the same form.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import structlog
from aiohttp.http_exceptions import HttpProcessingError
from structlog.typing import EventDict, Processor

__all__ = ["configure_logging"]


class _Lines:
    """Writes one line a call. A full disk or a closed terminal never stops the service."""

    def __init__(self, name: str, stream: TextIO) -> None:
        self.name = name
        self._stream = stream

    def msg(self, line: str) -> None:
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream is closed
            return

    debug = info = warning = error = critical = exception = log = msg


class _StandardLibrary(logging.Handler):
    """Passes the standard library's records on."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = structlog.get_logger(record.name)
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):  # whoever reaches the port can send such
            logger.info("no_http", error=type(error).__name__)
            return
        logger.log(record.levelno, record.getMessage(), exc_info=record.exc_info or None)


def configure_logging(
    level: int = logging.INFO, *, stream: TextIO | None = None, **bound: object
) -> None:
    """Log to `stream` (stderr) from now on. `bound`: what every line of this process carries."""
    stream = stream or sys.stderr
    structlog.contextvars.bind_contextvars(**bound)
    # Plain: a traceback that shows an application's values takes seconds for large ones.
    form: list[Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if stream.isatty()
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=repr)]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            _add_name,
            *form,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *names: _Lines(names[0] if names else "rtmp_sync", stream),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_StandardLibrary()], level=logging.WARNING, force=True)


def _add_name(logger: Any, _method: str, event: EventDict) -> EventDict:
    event["logger"] = logger.name
    return event
