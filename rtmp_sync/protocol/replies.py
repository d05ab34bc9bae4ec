"""The values of the answers and notices that servers send, with FMS's wording.

Each function returns what follows the transaction id: command object, then values.
Source: RTMP 1.0 section 7.2 and what FMS 3.5 sends; E-RTMP v2 for the capabilities.
"""

from __future__ import annotations

import pyamf

from rtmp_sync.wire.constants import (
    CALL_FAILED,
    CAN_FORWARD,
    CAPS_MODEX,
    CAPS_MULTITRACK,
    CAPS_RECONNECT,
    CONNECT_APP_SHUTDOWN,
    CONNECT_INVALID_APP,
    CONNECT_RECONNECT_REQUEST,
    CONNECT_REJECTED,
    CONNECT_SUCCESS,
    LEVEL_ERROR,
    LEVEL_STATUS,
    PUBLISH_START,
    UNPUBLISH_SUCCESS,
)

__all__ = [
    "ENHANCED_KEYS",
    "call_failed",
    "connect_app_shutdown",
    "connect_invalid_app",
    "connect_rejected",
    "connect_success",
    "fc_publish",
    "fc_unpublish",
    "reconnect_request",
    "result",
    "status",
]

FMS_VERSION = "FMS/3,5,7,7009"
_VERSION = "3,5,7,7009"
_CAPABILITIES = 31  # what FMS 3.5 says

# We forward any codec, and know multitrack and ModEx well enough to forward them.
_CAPS_EX = CAPS_RECONNECT | CAPS_MULTITRACK | CAPS_MODEX
ENHANCED_KEYS = frozenset({"fourCcList", "videoFourCcInfoMap", "audioFourCcInfoMap", "capsEx"})

Values = tuple[object, ...]


def status(level: str, code: str, description: str = "", **more: object) -> Values:
    """The values of onStatus; also of `_result` and `_error` with an information object."""
    return None, {"level": level, "code": code, "description": description, **more}


def result(value: object) -> Values:
    """The values of a `_result`."""
    return None, value


def _enhanced(capabilities: frozenset[str]) -> dict[str, object]:
    """What we can do with E-RTMP, in the same properties that the client used."""
    if not capabilities:
        return {}
    said: dict[str, object] = {"capsEx": _CAPS_EX}
    if "fourCcList" in capabilities:
        said["fourCcList"] = ["*"]
    if "videoFourCcInfoMap" in capabilities:
        said["videoFourCcInfoMap"] = {"*": CAN_FORWARD}
    if "audioFourCcInfoMap" in capabilities:
        said["audioFourCcInfoMap"] = {"*": CAN_FORWARD}
    return said


def connect_success(capabilities: frozenset[str], object_encoding: int) -> Values:
    """capabilities: those of ENHANCED_KEYS that are in the client's command object."""
    properties: dict[str, object] = {
        "fmsVer": FMS_VERSION,
        "capabilities": _CAPABILITIES,
        "mode": 1,
        **_enhanced(capabilities),
    }
    information: dict[str, object] = {
        "level": LEVEL_STATUS,
        "code": CONNECT_SUCCESS,
        "description": "Connection succeeded.",
        "objectEncoding": object_encoding,
        "data": pyamf.MixedArray({"version": _VERSION}),
    }
    return properties, information


def connect_rejected(
    description: str = "", *, application: object = None, redirect: str | None = None
) -> Values:
    """application: a value for the client. redirect: an address it should connect to instead."""
    more: dict[str, object] = {}
    if application is not None:
        more["application"] = application
    if redirect is not None:
        more["ex"] = {"code": 302, "redirect": redirect}
    text = description or "Connection failed: the application rejected it."
    return status(LEVEL_ERROR, CONNECT_REJECTED, text, **more)


def connect_invalid_app(app: str) -> Values:
    """There is no such application."""
    return status(LEVEL_ERROR, CONNECT_INVALID_APP, f"Application ({app}) is not defined.")


def connect_app_shutdown(description: str = "") -> Values:
    """onStatus on message stream 0: the application ends, or the origin hands over."""
    return status(LEVEL_ERROR, CONNECT_APP_SHUTDOWN, description)


def reconnect_request(tc_url: str | None = None, description: str = "") -> Values:
    """onStatus on message stream 0 (E-RTMP): please connect again, there if it is given."""
    more: dict[str, object] = {} if tc_url is None else {"tcUrl": tc_url}
    return status(LEVEL_STATUS, CONNECT_RECONNECT_REQUEST, description, **more)


def call_failed(name: str) -> Values:
    """There is no such method, or the caller may not know whether there is."""
    return status(LEVEL_ERROR, CALL_FAILED, f"Method not found ({name}).")


def fc_publish(name: str) -> Values:
    """onFCPublish."""
    return None, {"code": PUBLISH_START, "description": name}


def fc_unpublish(name: str) -> Values:
    """onFCUnpublish."""
    return None, {"code": UNPUBLISH_SUCCESS, "description": name}
