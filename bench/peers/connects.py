"""RTMP connections as cheaply as they can be made: bytes encoded once, one epoll, no parser.

    C0 C1 ─►        ◄─ S0 S1 S2        C2 connect ─►        ◄─ … _result

They stay and do nothing; a ping is answered. `Connects` runs in a process of its own.
"""

from __future__ import annotations

import os
import resource
import select
import socket
import struct
import time

from bench.peers.remote import Pipe, answer_next
from rtmp_sync.wire import amf0
from rtmp_sync.wire.chunk import encode_message
from rtmp_sync.wire.constants import (
    COMMAND,
    CSID_CONTROL,
    DEFAULT_CHUNK_SIZE,
    HANDSHAKE_SIZE,
    PING_REQUEST,
    PING_RESPONSE,
    USER_CONTROL,
)
from rtmp_sync.wire.handshake import PLAYER_KEY, PLAYER_VERSION, make_packet, make_simple_packet
from rtmp_sync.wire.messages import encode_user_control

__all__ = ["ANSWER_BYTES", "connect_command", "hello", "let_many_be_open", "run_connects"]

HOST = "127.0.0.1"
ANSWER_BYTES = 1 + 2 * HANDSHAKE_SIZE  # S0 S1 S2
PATIENCE = 20.0  # seconds in which at least one connection must get on
SPARE_DESCRIPTORS = 64
_COMMAND_CSID = 3
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close at once, so that no port waits
_CONTROL = struct.Struct(">HI")  # event, value
_PING_BYTES = 12 + _CONTROL.size


def hello(*, digest: bool) -> bytes:
    """C0 C1. digest: as Flash Player and ffmpeg do it, else as librtmp does."""
    random = os.urandom(HANDSHAKE_SIZE - 8)
    if digest:
        return b"\x03" + make_packet(0, PLAYER_VERSION, random, 1, PLAYER_KEY)
    return b"\x03" + make_simple_packet(0, random)


def connect_command(port: int) -> bytes:
    """C2, which no server looks at, and connect as ffmpeg sends it."""
    information = {
        "app": "live",
        "type": "nonprivate",
        "flashVer": "FMLE/3.0 (compatible; Lavf59.27.100)",
        "tcUrl": f"rtmp://{HOST}:{port}/live",
    }
    payload = amf0.encode("connect", 1.0, information)
    message = encode_message(COMMAND, 0, 0, payload, _COMMAND_CSID, DEFAULT_CHUNK_SIZE)
    return bytes(HANDSHAKE_SIZE) + message


def let_many_be_open(count: int) -> None:
    """So many file descriptors in this process and what it starts; SystemExit if it may not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + SPARE_DESCRIPTORS
    if soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
    except ValueError:
        raise SystemExit(f"{wanted} open files are needed, {hard} allowed: ulimit -Hn") from None


class _Connecting:
    """One whose connect is not accepted yet."""

    __slots__ = ("greeted", "heard", "socket")

    def __init__(self, socket: socket.socket) -> None:
        self.socket = socket
        self.greeted = False  # S0 S1 S2 have come
        self.heard = b""


class Connects:
    """All of them to one port of this machine."""

    def __init__(self, pipe: Pipe, port: int, digest: bool) -> None:
        self._pipe = pipe
        self._address = (HOST, port)
        self._hello = hello(digest=digest)
        self._connect = connect_command(port)
        self._epoll = select.epoll()
        self._connecting: dict[int, _Connecting] = {}
        self._idle: dict[int, socket.socket] = {}

    def connect(self, count: int, at_once: int) -> float:
        """So many more, at most `at_once` under way at a time; the seconds that it took."""
        begun = time.perf_counter()
        wanted = len(self._idle) + count
        while len(self._idle) < wanted:
            while (
                len(self._connecting) < at_once and len(self._connecting) + len(self._idle) < wanted
            ):
                self._begin()
            if not self._get_on(PATIENCE):
                raise SystemExit(f"{len(self._idle)} of {wanted} are connected, and no more come")
        return time.perf_counter() - begun

    def drop(self) -> None:
        """All of them, without a word."""
        for one in self._idle.values():
            one.close()
        self._idle.clear()

    def run(self) -> None:
        self._epoll.register(self._pipe, select.EPOLLIN)
        while True:
            self._get_on(1.0)
            if self._pipe.poll() and not answer_next(self._pipe, self):
                return

    def _begin(self) -> None:
        one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one.connect(self._address)  # at once: it is this machine
        one.send(self._hello)
        one.setblocking(False)
        self._connecting[one.fileno()] = _Connecting(one)
        self._epoll.register(one, select.EPOLLIN)

    def _get_on(self, timeout: float) -> bool:
        """Read what has come; whether anything had."""
        found = False
        for number, _ in self._epoll.poll(timeout):
            if number == self._pipe.fileno():
                continue
            found = True
            if (connecting := self._connecting.get(number)) is not None:
                self._further(number, connecting)
            else:
                self._answer_ping(self._idle[number])
        return found

    def _further(self, number: int, one: _Connecting) -> None:
        one.heard += _received(one.socket)
        if not one.greeted:
            if len(one.heard) >= ANSWER_BYTES:
                one.greeted = True
                one.socket.send(self._connect)
        elif b"_result" in one.heard[ANSWER_BYTES:]:
            del self._connecting[number]
            self._idle[number] = one.socket
        elif b"_error" in one.heard[ANSWER_BYTES:]:
            raise SystemExit("a connect was refused")

    def _answer_ping(self, one: socket.socket) -> None:
        data = _received(one)
        if len(data) != _PING_BYTES:
            return
        event, value = _CONTROL.unpack_from(data, _PING_BYTES - _CONTROL.size)
        if event == PING_REQUEST:
            pong = encode_user_control(PING_RESPONSE, value)
            one.send(encode_message(USER_CONTROL, 0, 0, pong, CSID_CONTROL, DEFAULT_CHUNK_SIZE))


def _received(one: socket.socket) -> bytes:
    data = one.recv(65536)
    if not data:
        raise SystemExit("the server closed a connection")
    return data


def run_connects(pipe: Pipe, port: int, digest: bool) -> None:
    Connects(pipe, port, digest).run()
