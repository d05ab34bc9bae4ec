"""The table as markdown: docs/programs.md."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from .row import Outcome
from .table import VERSIONS

COMMAND = "python -m tests.e2e.programs --markdown docs/programs.md"

INTRODUCTION = """\
# Real programs

What programs that people use do with an origin, each as a test (`tests/e2e/test_programs.py`): an
origin of its own, streams of test films of 2 to 6 seconds, and hashes of every audio and video
frame that was sent and that came out at the other end. "Times equal" means to the millisecond.

- publish: the program sends the film in real time, a player of ours hears it.
- play: the program plays what a publisher of ours sends, and writes it to a file.
- publish, recorded: the same, and what is compared is the file that an application recorded.
- recording: it was recorded by publishing the film.

Codecs other than H.264 and AAC go as enhanced RTMP (FourCC), two of a kind as its multitrack.
A `no` with a reason is the program's own limit, known beforehand; one of ours would fail the test.
"""

NOTES = """\
GStreamer's `rtmp2src` ends at StreamEOF and may drop the frame that came just before. rtmpdump
takes no live stream for complete and ends with 2. ffmpeg reads 3 seconds ahead before it seeks, and
cannot seek once it has seen the end of a recording.

Browsers are in [browsers](browsers.md).
"""


def markdown(outcomes: Sequence[Outcome]) -> str:
    works = sum(one.works for one in outcomes)
    lines = [
        INTRODUCTION,
        f"{works} of {len(outcomes)} work. Made with\n\n    {COMMAND}\n",
        "| program | action | works | observed |",
        "| --- | --- | --- | --- |",
    ]
    for program, group in groupby(outcomes, key=lambda one: one.row.program):
        shown = f"{program}: {VERSIONS[program]()}"
        for one in group:
            observed = one.observed.split(". ")[0].replace("|", "\\|")
            verdict = "yes" if one.works else "no"
            lines.append(f"| {shown} | {one.row.action} | {verdict} | {observed} |")
            shown = ""
    return "\n".join([*lines, "", NOTES])
