"""A peer that says whatever bytes a test wants, built here byte by byte.

Nothing of the package is used, so that a mistake in it cannot hide itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct

CONNECT = b"\x02\x00\x07connect" + b"\x00" + struct.pack(">d", 1.0)


def message(
    type_: int, payload: bytes, *, csid: int = 3, msid: int = 0, length: int | None = None
) -> bytes:
    """One message with a full header, cut at the default chunk size of 128 bytes."""
    size = len(payload) if length is None else length
    header = bytes([csid]) + struct.pack(">I", 0)[1:] + struct.pack(">I", size)[1:]
    header += bytes([type_]) + struct.pack("<I", msid)
    pieces = [payload[at : at + 128] for at in range(0, len(payload), 128)] or [b""]
    return header + bytes([0xC0 | csid]).join(pieces)


def text(value: str) -> bytes:
    """An AMF0 string with its marker."""
    encoded = value.encode()
    return b"\x02" + struct.pack(">H", len(encoded)) + encoded


def connect_message(app: str, *arguments: bytes) -> bytes:
    """A complete `connect` command; `arguments` are AMF0 values."""
    name = app.encode()
    command_object = b"\x03\x00\x03app\x02" + struct.pack(">H", len(name)) + name + b"\x00\x00\x09"
    return message(20, CONNECT + command_object + b"".join(arguments))


class RawPeer:
    """A TCP connection to an RTMP port."""

    def __init__(self, address: str) -> None:
        self._host, _, port = address.rpartition(":")
        self._port = int(port)

    async def __aenter__(self) -> RawPeer:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    @property
    def name(self) -> str:
        """This end as "host:port": how a server's log names the peer."""
        host, port = self._writer.get_extra_info("sockname")[:2]
        return f"{host}:{port}"

    async def handshake(self) -> None:
        """The simple handshake, complete."""
        await self.send(b"\x03" + bytes(1536))
        answer = await asyncio.wait_for(self._reader.readexactly(1 + 2 * 1536), 10)
        await self.send(answer[1 : 1 + 1536])

    async def send(self, data: bytes) -> None:
        """Send, as far as the server still listens."""
        with contextlib.suppress(ConnectionError):
            self._writer.write(data)
            await self._writer.drain()

    async def hears(self, wanted: bytes, *, seconds: float = 10.0) -> bool:
        """Read until `wanted` appears in what the server says; False when it hangs up first."""
        said = bytearray()
        async with asyncio.timeout(seconds):
            while wanted not in said:
                data = await self._reader.read(65536)
                if not data:
                    return False
                said += data
        return True

    async def is_cut_off(self, *, seconds: float = 10.0) -> bool:
        """Whether the server ends the connection within `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                while await self._reader.read(65536):
                    pass
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        return True
