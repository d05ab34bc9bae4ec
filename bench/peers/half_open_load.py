"""A crowd that begins handshakes and never ends one, and a client that connects again and again.

Each runs in a process of its own. The crowd keeps its number: for each one that the server lets
go another one comes at once.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from pathlib import Path

from bench.peers.connects import ANSWER_BYTES, HOST, connect_command, hello
from bench.peers.remote import Pipe, answer_next

__all__ = ["run_crowd", "run_good_client"]

CROWD = "127.0.0.2"  # the good client comes from another address
PATIENCE = 20.0  # seconds for one step of the good client
PAUSE = 0.01  # seconds between two of its connects


class Crowd:
    """Each sends `opening` and nothing more."""

    def __init__(self, pipe: Pipe, port: int, opening: bytes) -> None:
        self._pipe = pipe
        self._address = (HOST, port)
        self._opening = opening
        self._epoll = select.epoll()
        self._open: dict[int, socket.socket] = {}
        self._begun = 0

    def come(self, count: int) -> None:
        """So many at once."""
        for _ in range(count):
            self._begin()

    def begun(self) -> int:
        """How many so far, with those that came in the place of others."""
        return self._begun

    def run(self) -> None:
        self._epoll.register(self._pipe, select.EPOLLIN)
        while True:
            for number, _ in self._epoll.poll():
                if number != self._pipe.fileno():
                    self._read(number)
                elif not answer_next(self._pipe, self):
                    return

    def _begin(self) -> None:
        one = socket.create_connection(self._address, source_address=(CROWD, 0))
        one.sendall(self._opening)
        self._open[one.fileno()] = one
        self._epoll.register(one, select.EPOLLIN)
        self._begun += 1

    def _read(self, number: int) -> None:
        try:
            if self._open[number].recv(65536):
                return  # it goes on with the handshake, but we do not
        except ConnectionError:
            pass
        self._open.pop(number).close()
        self._begin()


class GoodClient:
    """One connect after the other. authority: of the server's certificate; None for no TLS."""

    def __init__(self, pipe: Pipe, port: int, authority: Path | None) -> None:
        self._pipe = pipe
        self._port = port
        self._hello = hello(digest=True)
        self._connect = connect_command(port)
        self._refused = 0
        self._tls: ssl.SSLContext | None = None
        if authority is not None:
            self._tls = ssl.create_default_context(cafile=authority)
            self._tls.check_hostname = False

    def delays(self, seconds: float) -> list[float]:
        """Of all connects in that time, from the first packet to the accepted connect, in
        seconds; with one that is refused goes the time until another one is accepted."""
        found = []
        end = time.perf_counter() + seconds
        while (begun := time.perf_counter()) < end:
            while not self._succeeds():
                self._refused += 1
            found.append(time.perf_counter() - begun)
            time.sleep(PAUSE)
        return found

    def refused(self) -> int:
        """How many so far; the server should have accepted them."""
        return self._refused

    def run(self) -> None:
        while answer_next(self._pipe, self):
            pass

    def _succeeds(self) -> bool:
        try:
            self._once()
        except OSError:  # ssl's errors are such, too
            return False
        return True

    def _once(self) -> None:
        with socket.create_connection((HOST, self._port), PATIENCE) as plain:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            one = plain if self._tls is None else self._tls.wrap_socket(plain)
            with one:
                one.sendall(self._hello)
                heard = b""
                while len(heard) < ANSWER_BYTES:
                    heard += self._received(one)
                one.sendall(self._connect)
                while b"_result" not in heard[ANSWER_BYTES:]:
                    heard += self._received(one)

    def _received(self, one: socket.socket) -> bytes:
        data = one.recv(65536)
        if not data:
            raise ConnectionResetError("the server closed it")
        return data


def client_hello() -> bytes:
    """The first record of a TLS client."""
    out = ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname = False
    tls = context.wrap_bio(ssl.MemoryBIO(), out)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return out.read()
    raise AssertionError("it waits for the server")


def openings(*, tls: bool) -> dict[str, bytes]:
    """How far a handshake goes, by name: to its first byte, its middle, and all that is said
    before the server has answered, which costs the server most."""
    whole = client_hello() if tls else hello(digest=True)
    return {"nothing": b"", "half": whole[: len(whole) // 2], "whole": whole}


def run_crowd(pipe: Pipe, port: int, opening: bytes) -> None:
    Crowd(pipe, port, opening).run()


def run_good_client(pipe: Pipe, port: int, authority: Path | None) -> None:
    GoodClient(pipe, port, authority).run()
