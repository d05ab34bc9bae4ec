"""What /metrics tells of a real origin that refuses: connections, browsers, TLS, operators."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rtmp_sync.errors import ConnectError
from tests.admin.calling import READ, Calls, administered, client_of
from tests.support.certificates import Authority
from tests.support.origins import until


async def figures(calls: Calls) -> dict[str, float]:
    """By name and labels, as they stand in the text."""
    async with calls.session.get(f"{calls.base}/metrics") as answer:
        assert answer.status == 200
        text = await answer.text()
    for family in text_string_to_metric_families(text):
        assert family.documentation, family.name
        for sample in family.samples:
            assert sample.name.startswith(("rtmp_sync_", "process_"))
            assert sample.name.endswith("_total") == (family.type == "counter"), sample.name
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


async def test_what_is_refused_is_counted_by_its_reason(tmp_path: Path) -> None:
    sections = {
        "rtmp": {"max_connections_per_address": 1},
        "http": {"listen": "127.0.0.1:0", "publisher_wait": 0},
    }
    async with administered(tmp_path, sections=sections) as calls:
        origin = calls.origin
        with pytest.raises(ConnectError):
            async with client_of(calls, "probe/room", "rejected"):
                pass
        await until(lambda: not len(origin.sessions))
        async with client_of(calls, "probe/room") as client:
            await client.call("echo", "x" * 1000)
            with pytest.raises(ConnectError):
                async with client_of(calls, "probe/room"):
                    pass
        address = f"http://127.0.0.1:{origin.http_port}/probe/room/nothing.flv"
        async with calls.session.get(address) as answer:
            assert answer.status == 404
        await calls.ask("/server", token="guess-0123456789abcdef")
        await calls.ask("/broadcast", token=READ, method="POST", body={})
        told = await figures(calls)
    assert told['rtmp_sync_refused_connections_total{reason="connect"}'] == 1
    assert told['rtmp_sync_refused_connections_total{reason="per_address"}'] == 1
    assert told['rtmp_sync_http_refused_total{status="404"}'] == 1
    assert told['rtmp_sync_admin_refused_total{reason="credentials"}'] == 1
    assert told['rtmp_sync_admin_refused_total{reason="role"}'] == 1
    assert told["rtmp_sync_received_bytes_total"] > 1000 < told["rtmp_sync_sent_bytes_total"]
    assert told["rtmp_sync_received_messages_total"] >= 2
    assert told["process_open_fds"] > 0
    assert [name for name in told if name.startswith('rtmp_sync_info{codec="')]


async def test_tls_that_fails_and_the_end_of_certificates_are_told(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.sign("origin", use="serverAuth", address="127.0.0.1")
    tls = {"tls_certificate": certificate, "tls_key": key}
    sections = {
        "rtmp": {"tls_listen": "127.0.0.1:0", **tls},
        "http": {"listen": "127.0.0.1:0", **tls},
    }
    async with administered(tmp_path, sections=sections) as calls:
        origin = calls.origin
        _, writer = await asyncio.open_connection("127.0.0.1", origin.rtmps_port)
        writer.write(b"\3" + bytes(1536))  # RTMP
        _, other = await asyncio.open_connection("127.0.0.1", origin.http_port)
        other.write(b"GET / HTTP/1.1\r\n\r\n")
        assert origin.certificates is not None
        assert origin.http is not None
        assert origin.http.certificates is not None
        failures = origin.certificates.failures, origin.http.certificates.failures
        await until(lambda: all(failures))
        told = await figures(calls)
        writer.close()
        other.close()
    failed = "rtmp_sync_tls_handshakes_failed_total"
    expiry = "rtmp_sync_tls_certificate_expiry_timestamp_seconds"
    for section in ("rtmp", "http"):
        assert told[f'{failed}{{reason="no_tls",section="{section}"}}'] == 1
        name = f'{expiry}{{key="{section}.tls_certificate"}}'
        assert 0 < told[name] - certificate.stat().st_mtime < 2 * 86_400
