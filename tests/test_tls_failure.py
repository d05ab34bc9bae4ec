"""Whatever the time of day: an RTMP peer on a port for TLS is called what it is."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from rtmp_sync.tls_failure import speaks_no_tls
from tests.support.certificates import Authority

C1_BYTES = 1536


def answered(context: ssl.SSLContext, said: bytes, *, server_side: bool) -> ssl.SSLError:
    incoming = ssl.MemoryBIO()
    name = None if server_side else "origin"
    handshake = context.wrap_bio(incoming, ssl.MemoryBIO(), server_side, name)
    with pytest.raises(ssl.SSLWantReadError):
        handshake.do_handshake()
    incoming.write(said)
    with pytest.raises(ssl.SSLError) as failed:
        handshake.do_handshake()
    return failed.value


@pytest.mark.parametrize("server_side", [True, False])
@pytest.mark.parametrize(
    "clock", [0, 0x0300_0000, 0x0301_8000, 0x0303_0005, 0x0304_FFFF, 2**32 - 1]
)
def test_the_handshake_of_rtmp_is_no_tls(tmp_path: Path, clock: int, server_side: bool) -> None:
    kind = ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT
    context = ssl.SSLContext(kind)
    if server_side:
        context.load_cert_chain(*Authority(tmp_path).sign("origin"))
    said = b"\x03" + clock.to_bytes(4, "big") + bytes(C1_BYTES - 4)
    assert speaks_no_tls(answered(context, said, server_side=server_side))


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n"])
def test_nor_are_other_protocols(said: bytes) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    assert speaks_no_tls(answered(context, said, server_side=False))
