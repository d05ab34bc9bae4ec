"""All rows, and the versions of their programs."""

from __future__ import annotations

from typing import Final

from . import ffmpeg, gstreamer, nginx, rtmpdump
from .row import Row

TABLE: Final[list[Row]] = [*ffmpeg.ROWS, *rtmpdump.ROWS, *gstreamer.ROWS, *nginx.ROWS]

VERSIONS: Final = {
    **ffmpeg.VERSIONS,
    **rtmpdump.VERSIONS,
    **gstreamer.VERSIONS,
    **nginx.VERSIONS,
}
"""What says which version of a program is installed."""
