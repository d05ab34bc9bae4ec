"""What `from rtmp_sync import …` offers is a promise, so a change of it is made on purpose."""

from __future__ import annotations

import rtmp_sync
from rtmp_sync import errors

PROMISED = {
    "Application",
    "Client",
    "Config",
    "NetConnection",
    "Origin",
    "ServerStream",
    "SharedObject",
    "StreamRequest",
    "allow",
    *errors.__all__,
}


def test_the_public_names_are_the_promised_ones() -> None:
    assert set(rtmp_sync.__all__) == PROMISED


def test_every_public_name_exists_and_says_what_it_is() -> None:
    for name in rtmp_sync.__all__:
        assert getattr(rtmp_sync, name).__doc__, f"{name} has no docstring"


def test_errors_have_one_root() -> None:
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), errors.RtmpSyncError)
