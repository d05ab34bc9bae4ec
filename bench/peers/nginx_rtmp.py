"""nginx with its RTMP module, with what both have by default but for the chunk size.

`worker_connections` is raised as well: the default, 512, is less than what a run has.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.single import free_ports

PROGRAM = "nginx"
MODULES = (Path("/usr/lib/nginx/modules"), Path("/usr/lib64/nginx/modules"))
MODULE = "ngx_rtmp_module.so"

SPARE_FILES = 64  # beside those of connections

CONFIGURATION = """\
load_module {module};
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
worker_rlimit_nofile {files};
events {{ worker_connections {connections}; }}
rtmp {{
    access_log {folder}/access.log;
    server {{
        listen 127.0.0.1:{port};
        chunk_size 4096;
        application live {{ live on; }}
    }}
}}
"""


def module() -> Path | None:
    """The RTMP module; None when it, or nginx, is not installed."""
    found = [folder / MODULE for folder in MODULES if (folder / MODULE).exists()]
    return found[0] if found and shutil.which(PROGRAM) else None


def version() -> str:
    said = subprocess.run([PROGRAM, "-v"], capture_output=True, text=True, check=True).stderr
    found = re.search(r"nginx/(\S+)", said)
    return found[1] if found else said.strip()


@contextmanager
def serving(connections: int = 4096) -> Iterator[tuple[int, int]]:
    """A server with one worker, which is the default: (port, the worker's process id)."""
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder, "nginx.conf")
        values = {"module": module(), "folder": folder, "port": port, "connections": connections}
        text = CONFIGURATION.format(**values, files=connections + SPARE_FILES)
        configuration.write_text(text, encoding="utf-8")
        log = Path(folder, "error.log")
        command = [PROGRAM, "-e", str(log), "-p", folder, "-c", str(configuration)]
        child = subprocess.Popen(command)
        try:
            yield port, _worker(child, log)
        finally:
            child.terminate()  # the master ends its worker
            child.wait()


def _worker(master: subprocess.Popen[bytes], log: Path) -> int:
    children = Path(f"/proc/{master.pid}/task/{master.pid}/children")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and master.poll() is None:
        if pids := children.read_text().split():
            return int(pids[0])
        time.sleep(0.05)
    raise SystemExit(f"nginx did not start:\n{log.read_text() if log.exists() else ''}")
