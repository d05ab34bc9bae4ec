"""Hosts on one Ethernet switch, made of network namespaces: processes run in them, the way from
one to another can be cut and healed, also in one direction. Linux, root, iproute2 and nft.

    with Namespaces() as net:
        a, b = net.host("a"), net.host("b")       # a.ipv4 "10.77.0.1", a.ipv6 "fd77::1"
        server = a.start(["program", "argument"])  # a Popen; its network is a's
        with b.entered():
            client = socket.create_connection((a.ipv4, 1935))
        net.cut(a, b)                              # nothing of either reaches the other
        net.heal(a, b)

The namespace that the tests themselves run in is not touched, and not connected. Names hold the
maker's process id: tests side by side don't meet, and what a killed run left behind is removed
by the next one.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest

from .programs import require

T = TypeVar("T")

PREFIX = "rtmpsync"
FOLDER = Path("/run/netns")
CLONE_NEWNET = 0x40000000  # linux/sched.h

# A cut drops what IP carries. Who has which address is still told (ARP, neighbour discovery):
# else a way cut in one direction would soon be cut in the other one too.
CUTS = """
table bridge cuts {
  set ways { type ifname . ifname; }
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname . oifname @ways ether type ip drop
    iifname . oifname @ways ether type ip6 meta l4proto != ipv6-icmp drop
  }
}
"""

_numbers = itertools.count(1)
_libc = ctypes.CDLL(None, use_errno=True)


class Host:
    """One host: a network namespace with a loopback and one Ethernet interface, `eth0`."""

    def __init__(self, name: str, namespace: str, number: int) -> None:
        self.name = name
        self.namespace = namespace
        self.ipv4 = f"10.77.0.{number}"
        self.ipv6 = f"fd77::{number:x}"
        self._started: list[subprocess.Popen[Any]] = []

    def command(self, arguments: Sequence[str | Path]) -> list[str]:
        """The command line that runs `arguments` here; the process becomes that program."""
        return ["nsenter", f"--net={FOLDER / self.namespace}", *map(str, arguments)]

    def start(self, arguments: Sequence[str | Path], **options: Any) -> subprocess.Popen[Any]:
        """Start a process here. options: as subprocess.Popen has them."""
        process = subprocess.Popen(self.command(arguments), **options)
        self._started.append(process)
        return process

    def output(self, *arguments: str | Path, text: str | None = None) -> str:
        """Run a command to its end; what it printed. Raises AssertionError.

        text: its standard input.
        """
        done = subprocess.run(
            self.command(arguments), input=text, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, arguments))}: {done.stderr}")
        return done.stdout

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Sockets made, and processes and threads started, by this thread meanwhile are here.
        A socket stays where it was made. Don't await in it: others would be here, too."""
        with open("/proc/thread-self/ns/net") as home, open(FOLDER / self.namespace) as here:
            _enter(here.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())

    def call(self, function: Callable[[], T]) -> T:
        """The function's result, from a thread of its own that lives here."""

        def work() -> T:
            with open(FOLDER / self.namespace) as here:
                _enter(here.fileno())
            return function()

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(work).result()

    def end(self) -> None:
        """Kill everything that runs here, whoever started it."""
        listing = subprocess.run(
            ["ip", "netns", "pids", self.namespace], capture_output=True, text=True, check=False
        )
        for pid in listing.stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        for process in self._started:
            process.wait(10)
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    with contextlib.suppress(OSError):  # what was not written yet
                        pipe.close()


class Namespaces:
    """The switch and its hosts. Skips the test where namespaces cannot be made."""

    def __init__(self) -> None:
        require("ip")
        require("nft")
        if os.geteuid() != 0:
            pytest.skip("network namespaces need root")
        if refusal := _refusal():
            pytest.skip(f"network namespaces cannot be made here: {refusal}")
        _remove_leftovers()
        self._name = f"{PREFIX}-{os.getpid()}-{next(_numbers)}"
        self._hosts: list[Host] = []
        self._switch = f"{self._name}-switch"
        _run("ip", "netns", "add", self._switch)
        try:
            _batch(self._switch, ["link add switch type bridge", "link set switch up"])
            self._nft(CUTS)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Namespaces:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def host(self, name: str) -> Host:
        """A new host on the switch. name: at most 14 characters."""
        host = Host(name, f"{self._name}-{name}", len(self._hosts) + 1)
        _run("ip", "netns", "add", host.namespace)
        self._hosts.append(host)
        pair = f"link add {_port(host)} type veth peer name eth0 netns {host.namespace}"
        _batch(self._switch, [pair, f"link set {_port(host)} master switch up"])
        _batch(
            host.namespace,
            [
                "link set lo up",
                f"addr add {host.ipv4}/24 dev eth0",
                f"addr add {host.ipv6}/64 dev eth0 nodad",
                "link set eth0 up",
            ],
        )
        return host

    def cut(self, source: Host, target: Host, *, one_way: bool = False) -> None:
        """Nothing of `source` reaches `target` any more, nor the other way round: packets are
        lost, nobody is told. one_way: what target sends still arrives."""
        self._nft(*_elements("add", source, target, one_way))

    def heal(self, source: Host, target: Host, *, one_way: bool = False) -> None:
        """The way is free again; also if it was."""
        # An element that is not there can't be deleted: add it first.
        add, delete = (_elements(verb, source, target, one_way) for verb in ("add", "delete"))
        self._nft(*add, *delete)

    def heal_all(self) -> None:
        self._nft("flush set bridge cuts ways")

    def unplug(self, host: Host) -> None:
        """Take the host's cable off the switch; it still sees its own end as up."""
        _batch(self._switch, [f"link set {_port(host)} nomaster"])

    def plug(self, host: Host) -> None:
        _batch(self._switch, [f"link set {_port(host)} master switch"])

    def close(self) -> None:
        """End every process of every host, and remove everything."""
        for host in self._hosts:
            host.end()
        for path in FOLDER.glob(f"{self._name}-*"):
            _run("ip", "netns", "del", path.name)

    def _nft(self, *lines: str) -> None:
        _run("nsenter", f"--net={FOLDER / self._switch}", "nft", "-f", "-", text="\n".join(lines))


def _elements(verb: str, source: Host, target: Host, one_way: bool) -> list[str]:
    ways = [(source, target)] if one_way else [(source, target), (target, source)]
    ports = ", ".join(f'"{_port(one)}" . "{_port(other)}"' for one, other in ways)
    return [f"{verb} element bridge cuts ways {{ {ports} }}"]


def _port(host: Host) -> str:
    """The switch's end of the host's cable."""
    return f"p{host.name}"


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _batch(namespace: str, lines: list[str]) -> None:
    _run("ip", "-n", namespace, "-batch", "-", text="\n".join(lines) + "\n")


def _run(*command: str, text: str | None = None) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.stderr}{text or ''}")
    return done.stdout


@functools.cache
def _refusal() -> str:
    """Why this machine does not let root make, enter and filter a namespace, as some containers;
    "" if it does."""
    name = f"{PREFIX}-{os.getpid()}-probe"
    try:
        _run("ip", "netns", "add", name)
        try:
            _batch(name, ["link set lo up"])
            _run("nsenter", f"--net={FOLDER / name}", "nft", "list", "ruleset")
        finally:
            _run("ip", "netns", "del", name)
    except AssertionError as error:
        return str(error).strip()
    return ""


def _remove_leftovers() -> None:
    """Of runs that were killed: their process ids are nobody's any more."""
    for path in FOLDER.glob(f"{PREFIX}-*"):
        pid = path.name.split("-")[1]
        if not Path(f"/proc/{pid}").exists():
            Host(path.name, path.name, 0).end()
            with contextlib.suppress(AssertionError):  # another run removes the same
                _run("ip", "netns", "del", path.name)
