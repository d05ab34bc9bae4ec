"""Programs that drivers run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import pytest

from rtmp_sync.firewalls.run_program import MAX_COMPLAINT, MAX_OUTPUT, Ran, run_program
from tests.support.nodes import until

BEAT = "import sys, time\nwhile True: open(sys.argv[1], 'a').write('.'); time.sleep(0.01)"


async def run(code: str, *arguments: str, seconds: float = 20.0, **options: str) -> Ran:
    text = options.pop("text", "")
    command = [sys.executable, "-c", code, *arguments]
    return await run_program(command, deadline_seconds=seconds, text=text, variables=options)


async def test_input_and_variables_go_in_and_both_outputs_and_the_code_come_back() -> None:
    code = "import os, sys; print(os.environ['X'] + input(), file=sys.stderr); sys.exit(3)"
    assert await run(code, text="b\n", X="a") == Ran(3, "", "ab\n")


@pytest.mark.parametrize(
    ("ran", "complaint"),
    [
        (Ran(1, "", "first\nlast\n\n"), "last"),
        (Ran(1, "said\n", ""), "said"),
        (Ran(7, "", ""), "exit code 7"),
        (Ran(1, "", "x" * 100_000), "x" * MAX_COMPLAINT),
    ],
)
def test_what_a_program_said_last_is_its_complaint(ran: Ran, complaint: str) -> None:
    assert ran.complaint == complaint


async def test_a_program_that_is_not_there_is_an_error() -> None:
    with pytest.raises(OSError, match="No such file"):
        await run_program(["/nowhere/gate"], deadline_seconds=20)


async def test_one_that_hangs_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    beats = tmp_path / "beats"
    code = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BEAT!r}, sys.argv[1]])"
    with pytest.raises(TimeoutError, match="took more than 2 s"):
        await run(code, str(beats), seconds=2)
    await until(lambda: not writers(beats))
    assert beats.exists()


async def test_of_an_output_without_end_the_end_is_kept() -> None:
    ran = await run("print('x' * 1_000_000, 'that was it')")
    assert len(ran.output) == MAX_OUTPUT
    assert ran.output.endswith("that was it\n")


async def test_a_child_that_keeps_the_output_open_is_not_waited_for(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    ran = await run_program(
        ["/bin/sh", "-c", 'sleep 60 & echo $! > "$0"; echo done', str(pid)], deadline_seconds=30
    )
    os.kill(int(pid.read_text()), signal.SIGKILL)
    assert (ran.code, ran.output) == (0, "done\n")


async def test_one_that_is_cancelled_is_killed(tmp_path: Path) -> None:
    beats = tmp_path / "beats"
    running = asyncio.ensure_future(run(BEAT, str(beats)))
    await until(beats.exists)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: not writers(beats))
    assert beats.exists()


def writers(beats: Path) -> list[Path]:
    """Processes that have the file in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended
            if str(beats).encode() in path.read_bytes().split(b"\0"):
                found.append(path)
    return found
