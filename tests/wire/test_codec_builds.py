"""The wire tests over both builds: compiled by mypyc, and the plain sources beside it."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.peers.compiled import ROOT, compiled_copy

TESTS = [
    "tests/wire/test_amf0.py",
    "tests/wire/test_amf3.py",
    "tests/wire/test_amf_names.py",
    "tests/wire/test_amf_scan.py",
    "tests/wire/test_amf_vectors.py",
    "tests/wire/test_chunk.py",
    "tests/wire/test_media.py",
    "tests/wire/test_messages.py",
    "tests/wire/test_rtmp_vectors.py",
    "tests/wire/test_shared_object.py",
]


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with its wire modules compiled, built once for all workers."""
    if shutil.which("cc") is None and "CC" not in os.environ:
        assert not os.environ.get("CI"), "CI needs a C compiler"
        pytest.skip("the compiled build is left out: there is no C compiler")
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent  # the workers' own folders are inside it
    folder = shared / "compiled-copy"
    with open(shared / "compiled-copy.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            fault = compiled_copy(folder)
            assert fault is None, fault
    return folder


def python(copy: Path, *arguments: str, pure: bool) -> str:
    """Run Python on the copy, from the repository's root; its output."""
    environment = {name: value for name, value in os.environ.items() if name != "RTMP_SYNC_PURE"}
    environment["PYTHONPATH"] = os.pathsep.join((str(copy), str(ROOT)))
    if pure:
        environment["RTMP_SYNC_PURE"] = "1"
    run = subprocess.run(
        # -P: else the current directory, which holds the sources, would come before the copy
        [sys.executable, "-P", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-4000:]
    return run.stdout.strip()


WHERE = "import rtmp_sync.codec as c; print(c.running(), c.__file__)"


@pytest.mark.parametrize("pure", [False, True], ids=["compiled", "pure"])
def test_the_environment_chooses_the_build(compiled: Path, pure: bool) -> None:
    build, file = python(compiled, "-c", WHERE, pure=pure).split(" ", 1)
    assert build == ("pure" if pure else "compiled")
    assert Path(file).is_relative_to(compiled)


@pytest.mark.parametrize("first", ["rtmp_sync", "rtmp_sync.wire.amf0", "rtmp_sync.wire.chunk"])
def test_pure_means_pure_whatever_is_imported_first(compiled: Path, first: str) -> None:
    script = f"import {first}, rtmp_sync.codec, sys; print(rtmp_sync.codec.running()); " + (
        "print([n for n, m in sys.modules.items() if n.startswith('rtmp_sync.wire.') "
        "and m.__file__.endswith('.so')])"
    )
    assert python(compiled, "-c", script, pure=True).splitlines() == ["pure", "[]"]


def test_every_hot_module_is_compiled(compiled: Path) -> None:
    names = {path.name.partition(".")[0] for path in (compiled / "rtmp_sync/wire").glob("*.so")}
    assert {"amf0", "amf3", "amf0_reader", "amf3_reader", "amf_scan", "chunk", "media"} <= names


RUN = """
import rtmp_sync.codec, sys
print(rtmp_sync.codec.running(), rtmp_sync.codec.__file__, flush=True)  # before pytest sets paths
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("pure", [False, True], ids=["compiled", "pure"])
def test_the_wire_tests_pass_on_this_build(compiled: Path, pure: bool) -> None:
    files = [file for file in TESTS if (ROOT / file).exists()]
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", str(ROOT)]
    said = python(compiled, "-c", RUN, *options, *files, pure=pure).splitlines()
    build, file = said[0].split(" ", 1)
    assert build == ("pure" if pure else "compiled")
    assert Path(file).is_relative_to(compiled)
    assert " passed" in said[-1]


def test_the_plain_source_does_without_librt(compiled: Path) -> None:
    files = ["tests/wire/test_amf0.py", "tests/wire/test_amf3.py"]
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", str(ROOT)]
    script = "import sys; sys.modules['librt.strings'] = None" + RUN
    said = python(compiled, "-c", script, *options, *files, pure=True).splitlines()
    assert said[0].startswith("pure ")
    assert " passed" in said[-1]


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("CC", "/bin/false", "the C compiler '/bin/false' does not work"),
        ("CC", "/no/such/compiler", "no C compiler"),
        ("RTMP_SYNC_PURE", "1", "RTMP_SYNC_PURE=1"),
    ],
)
def test_an_install_that_cannot_compile_says_so_and_succeeds(
    tmp_path: Path, variable: str, value: str, reason: str
) -> None:
    shutil.copy(ROOT / "setup.py", tmp_path)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "copy"\nversion = "0"\n')
    install = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=tmp_path,
        env={**os.environ, variable: value},
        capture_output=True,
        text=True,
    )
    assert install.returncode == 0, install.stderr
    (line,) = [line for line in install.stdout.splitlines() if line.startswith("rtmp_sync:")]
    assert "pure Python" in line
    assert reason in line
