"""Bytes of two ends as a capture file, and what Wireshark's dissectors say of it."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

from tests.support.programs import require

_RAW_IP = 101  # the link type of a capture whose packets begin with an IP header
_SEGMENT_BYTES = 1400
_SYN, _SYN_ACK, _PUSH_ACK = 0x02, 0x12, 0x18


def write_capture(path: Path, said: list[tuple[bool, bytes]], port: int = 1935) -> None:
    """A TCP conversation; `said`: (by the client, bytes) in order."""
    sequence = {True: 1000, False: 2000}
    packets = [
        _packet(True, b"", _SYN, sequence, port),
        _packet(False, b"", _SYN_ACK, sequence, port),
    ]
    for by_client, data in said:
        for pos in range(0, len(data), _SEGMENT_BYTES):
            segment = data[pos : pos + _SEGMENT_BYTES]
            packets.append(_packet(by_client, segment, _PUSH_ACK, sequence, port))
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, _RAW_IP)
    records = [struct.pack("<IIII", 0, 0, len(p), len(p)) + p for p in packets]
    path.write_bytes(header + b"".join(records))


def _packet(
    by_client: bool, data: bytes, flags: int, sequence: dict[bool, int], port: int
) -> bytes:
    ends = [(b"\x0a\0\0\1", 40000), (b"\x0a\0\0\2", port)]
    (source, source_port), (target, target_port) = ends if by_client else ends[::-1]
    seen, acknowledged = sequence[by_client], sequence[not by_client]
    tcp = struct.pack(
        ">HHIIBBHHH", source_port, target_port, seen, acknowledged, 0x50, flags, 65535, 0, 0
    )
    size = 20 + len(tcp) + len(data)
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, size, 0, 0, 64, 6, 0, source, target)
    sequence[by_client] += len(data) or 1  # a SYN counts as one byte
    return ip + tcp + data


def dissect(path: Path, *fields: str, port: int = 1935) -> list[list[str]]:
    """Per packet that ends an RTMP message: what the dissector says for each field."""
    names = [argument for field in fields for argument in ("-e", field)]
    command = [require("tshark"), "-r", str(path), "-d", f"tcp.port=={port},rtmpt", "-Y", "rtmpt"]
    done = subprocess.run(
        [*command, "-T", "fields", *names], capture_output=True, text=True, check=True
    )
    return [line.split("\t") for line in done.stdout.splitlines()]
