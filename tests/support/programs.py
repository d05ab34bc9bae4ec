"""Real programs that tests start."""

from __future__ import annotations

import os
import shutil

import pytest

PACKAGES = {
    "cc": "gcc",
    "chromium": "chromium",
    "etcd": "etcd-server",
    "etcdctl": "etcd-client",
    "ffmpeg": "ffmpeg",
    "ffprobe": "ffmpeg",
    "gst-launch-1.0": "gstreamer1.0-tools gstreamer1.0-plugins-bad",
    "haproxy": "haproxy",
    "ip": "iproute2",
    "iptables": "iptables",
    "nft": "nftables",
    "nginx": "nginx libnginx-mod-rtmp",
    "npm": "npm",
    "openssl": "openssl",
    "rtmpdump": "rtmpdump",
    "setpriv": "util-linux",
    "tshark": "tshark",
}


def require(program: str) -> str:
    """The program's path. Missing: a failure in CI, elsewhere a skip that says what to install."""
    path = shutil.which(program)
    if path is not None:
        return path
    message = f"{program} is not installed: apt-get install {PACKAGES[program]}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)
