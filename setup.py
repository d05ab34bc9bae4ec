"""Compiles rtmp_sync/wire with mypyc; everything else is said in pyproject.toml.

The same .py files run compiled or not, so an install never fails for want of a compiler: one
line says that it stays pure Python. RTMP_SYNC_PURE=1 asks for that.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

WIRE = Path("rtmp_sync/wire")
NOT_COMPILED = {
    "__init__",
    "values",  # list and str subclasses, which mypyc cannot make; nothing in it is hot
    "refusals",  # exceptions with attributes of their own; not hot
    "primitives",  # names that mypyc replaces where they are used
}
BUILDING = {"build", "build_ext", "bdist_wheel", "editable_wheel", "install", "develop"}


def wire_files() -> list[str]:
    return sorted(str(path) for path in WIRE.glob("*.py") if path.stem not in NOT_COMPILED)


def stay_pure(reason: str) -> None:
    print(f"rtmp_sync: the codecs stay pure Python: {reason}", flush=True)


def compiler_fault() -> str | None:
    """Why no extension can be built here, or None. Asked by compiling a file of one line."""
    if os.environ.get("RTMP_SYNC_PURE") == "1":
        return "RTMP_SYNC_PURE=1"
    command = os.environ.get("CC") or sysconfig.get_config_var("CC")
    if not command:  # Windows: setuptools finds the compiler, and building tells
        return None
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text("#include <Python.h>\n")
        include = sysconfig.get_path("include")
        try:
            probe = subprocess.run(
                [*shlex.split(command), f"-I{include}", "-c", "probe.c", "-o", "probe.o"],
                cwd=folder,
                capture_output=True,
                text=True,
            )
        except OSError as error:
            return f"no C compiler ({error})"
        if probe.returncode:
            last = (probe.stderr.strip().splitlines() or ["it says nothing"])[-1]
            return f"the C compiler {command!r} does not work ({last})"
    return None


def extensions() -> list[Extension]:
    from mypyc.build import mypycify

    # The compiled files stand alone: what the rest of the package imports need not be there.
    options = ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent"]
    found: list[Extension] = mypycify([*options, *wire_files()], opt_level="3", debug_level="0")
    for extension in found:  # a newer compiler's new warning is no reason not to compile
        extension.extra_compile_args = [
            argument for argument in extension.extra_compile_args if argument != "-Werror"
        ]
    return found


class BuildOrStayPure(build_ext):
    """Compiles all or nothing; whatever goes wrong, the install goes on without."""

    def finalize_options(self) -> None:
        if building():
            try:
                self.distribution.ext_modules = extensions()
            except (Exception, SystemExit) as error:  # mypyc ends the process on a fault it finds
                self.distribution.ext_modules = []
                stay_pure(f"mypyc could not translate them (its report is above; {error})")
        super().finalize_options()

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:  # compilers and linkers fail in as many ways as there are
            for extension in self.extensions:
                Path(self.build_lib, self.get_ext_filename(extension.name)).unlink(missing_ok=True)
            self.extensions = self.distribution.ext_modules = []
            stay_pure(f"they could not be compiled ({error})")


def building() -> bool:
    """Whether this run builds; others (metadata, requirements) look at the commands only."""
    return bool(BUILDING.intersection(sys.argv))


def main() -> None:
    fault = compiler_fault()
    if fault is None:
        # a stand-in for what finalize_options translates
        stand_in = Extension("rtmp_sync.wire", [])
        setup(ext_modules=[stand_in], cmdclass={"build_ext": BuildOrStayPure})
        return
    if building():
        stay_pure(fault)
    setup()


main()
