"""Who publishes and who plays in the live bench: plain sockets, the same against any server.

Each runs in a process of its own and is told what to do through a pipe:

    publisher   sends the stream of `live_stream` by the clock until told to end
    players     connect, play, and throw away what comes, counting its bytes
    watchers    a few players that read every message: how old it is, when the first picture came
"""

from __future__ import annotations

import os
import secrets
import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from bench.peers.live_stream import (
    AAC_HEADER,
    AVC_HEADER,
    CSIDS,
    PERIOD_MS,
    is_key_frame,
    period,
    stamp_of,
)
from bench.peers.remote import Pipe, answer_next
from rtmp_sync.protocol.connection import Connection, Role
from rtmp_sync.protocol.events import (
    CallAnswered,
    ConnectAnswered,
    Event,
    HandshakeCompleted,
    MediaReceived,
    StatusReceived,
)
from rtmp_sync.wire.chunk import encode_message
from rtmp_sync.wire.constants import ACKNOWLEDGEMENT, AUDIO, CSID_CONTROL, VIDEO

STREAM = "bench"
CHUNK_SIZE = 4096
PATIENCE = 20.0  # seconds for one answer
SIGN_INTERVAL = 10.0  # seconds between two signs of life of a player: pings are not answered


class Peer:
    """One RTMP client; its socket blocks until `play` or `publish` was answered."""

    def __init__(self, port: int) -> None:
        self.begun = time.monotonic()
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rtmp = Connection(
            Role.CLIENT,
            now=time.monotonic(),
            random_bytes=secrets.token_bytes,
            chunk_size=CHUNK_SIZE,
        )
        self._heard: list[Event] = []
        self._await(HandshakeCompleted)
        self.send(self.rtmp.connect({"app": "live", "tcUrl": f"rtmp://127.0.0.1:{port}/live"}))
        assert self._await(ConnectAnswered).ok

    def send(self, data: bytes) -> None:
        self.socket.sendall(self.rtmp.data_to_send() + data)

    def create_stream(self) -> int:
        self.send(self.rtmp.call("createStream")[1])
        answer = self._await(CallAnswered)
        assert answer.ok, answer
        return int(answer.result)

    def publish(self, msid: int) -> None:
        self.send(self.rtmp.command("publish", 0, None, STREAM, "live", msid=msid))
        self._await(StatusReceived)

    def play(self) -> None:
        """Ask; what is answered is read like the rest, so that no picture is missed."""
        msid = self.create_stream()
        self.send(self.rtmp.command("play", 0, None, STREAM, msid=msid))
        self.socket.setblocking(False)

    def receive(self, data: bytes) -> list[Event]:
        self.rtmp.receive_data(data, time.monotonic())
        return self.rtmp.events_received()

    def _await(self, kind: type[Any]) -> Any:
        while True:
            for event in self._heard:
                if isinstance(event, kind):
                    self._heard.clear()
                    return event
            self.send(b"")
            data = self.socket.recv(65536)
            if not data:
                raise SystemExit("the server closed the connection")
            self._heard += self.receive(data)


def _go_first() -> None:
    """Before the players: these do little, and by the clock."""
    policy = os.sched_getscheduler(0)
    with suppress(PermissionError):
        if policy in (os.SCHED_FIFO, os.SCHED_RR):
            priority = os.sched_getparam(0).sched_priority + 1
            os.sched_setscheduler(0, policy, os.sched_param(priority))
        else:
            os.nice(-5)


def publish(pipe: Pipe, port: int) -> None:
    """The publisher's process. Says True when it has begun, ends when told anything."""
    _go_first()
    peer = Peer(port)
    msid = peer.create_stream()
    peer.publish(msid)
    peer.socket.settimeout(PATIENCE)

    def send(type: int, timestamp: float, payload: bytes) -> None:
        peer.send(
            encode_message(type, msid, int(timestamp), payload, CSIDS[type], peer.rtmp.chunk_size)
        )

    send(VIDEO, 0, AVC_HEADER)
    send(AUDIO, 0, AAC_HEADER)
    pipe.send(True)
    frames = period()
    begun = time.monotonic()
    periods = 0
    while True:
        for frame in frames:
            timestamp = periods * PERIOD_MS + frame.at_ms
            left = begun + timestamp / 1000 - time.monotonic()
            if pipe.poll(max(0.0, left)):
                return
            send(frame.type, timestamp, frame.stamped(time.monotonic_ns()))
        periods += 1


class Crowd:
    """Connections and what is told of them; `run` answers one call after the other."""

    def __init__(self, pipe: Pipe, port: int) -> None:
        self._pipe = pipe
        self._port = port
        self._peers: list[Peer] = []
        self._epoll = select.epoll()
        self._readers: dict[int, Callable[[], None]] = {}
        self._next_sign = time.monotonic() + SIGN_INTERVAL

    def connect(self, count: int) -> int:
        """So many more connections that do nothing."""
        self._peers += [Peer(self._port) for _ in range(count)]
        return len(self._peers)

    def play(self, count: int) -> int:
        """So many of those that do nothing play from now on, or new ones."""
        idle = [peer for peer in self._peers if peer.socket.fileno() not in self._readers]
        for number in range(count):
            peer = idle[number] if idle else Peer(self._port)
            if not idle:
                self._peers.append(peer)
            peer.play()
            self._readers[peer.socket.fileno()] = self._reader(peer)
            self._epoll.register(peer.socket, select.EPOLLIN)
            while self._drain(0.0):  # nobody is slow because others are still to come
                pass
        return len(self._peers)

    def run(self) -> None:
        self._epoll.register(self._pipe, select.EPOLLIN)
        while True:
            self._drain(1.0)
            if self._pipe.poll() and not answer_next(self._pipe, self):
                return

    def _drain(self, timeout: float) -> bool:
        """Read what has come; whether anything had."""
        if time.monotonic() >= self._next_sign:
            self._next_sign += SIGN_INTERVAL
            for peer in self._peers:
                peer.socket.send(
                    encode_message(ACKNOWLEDGEMENT, 0, 0, bytes(4), CSID_CONTROL, CHUNK_SIZE)
                )
        readers = self._readers
        found = False
        for fileno, _ in self._epoll.poll(timeout):
            if reader := readers.get(fileno):
                reader()
                found = True
        return found

    def _reader(self, peer: Peer) -> Callable[[], None]:
        raise NotImplementedError


class Players(Crowd):
    """They only count."""

    def __init__(self, pipe: Pipe, port: int) -> None:
        super().__init__(pipe, port)
        self._bytes = 0
        self._scratch = bytearray(1 << 20)

    def received(self) -> int:
        """Bytes, of all of them."""
        return self._bytes

    def _reader(self, peer: Peer) -> Callable[[], None]:
        receive, scratch = peer.socket.recv_into, self._scratch

        def read() -> None:
            count = receive(scratch)
            if not count:
                raise SystemExit("the server closed the connection of a player")
            self._bytes += count

        return read


class Watchers(Crowd):
    """They look at everything."""

    def __init__(self, pipe: Pipe, port: int) -> None:
        super().__init__(pipe, port)
        _go_first()
        self._bytes = 0
        self._ages_ns: list[int] = []
        self._first_pictures: list[float] = []

    def received(self) -> int:
        """Bytes, of all of them."""
        return self._bytes

    def ages_ns(self) -> list[int]:
        """Of every message since the last call, when it had come whole."""
        ages, self._ages_ns = self._ages_ns, []
        return ages

    def first_pictures(self) -> list[float]:
        """Seconds from each one's connect to its first whole key frame."""
        return self._first_pictures

    def _reader(self, peer: Peer) -> Callable[[], None]:
        seen = False

        def read() -> None:
            nonlocal seen
            data = peer.socket.recv(1 << 20)
            if not data:
                raise SystemExit("the server closed the connection of a watcher")
            now_ns = time.monotonic_ns()
            self._bytes += len(data)
            for event in peer.receive(data):
                if isinstance(event, MediaReceived):
                    stamp = stamp_of(event.payload)
                    if stamp is not None:
                        self._ages_ns.append(now_ns - stamp)
                    if not seen and is_key_frame(event.type, event.payload):
                        seen = True
                        self._first_pictures.append(now_ns / 1e9 - peer.begun)

        return read


def run_players(pipe: Pipe, port: int) -> None:
    Players(pipe, port).run()


def run_watchers(pipe: Pipe, port: int) -> None:
    Watchers(pipe, port).run()
