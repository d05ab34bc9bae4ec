"""What waits for another server: bounded, and cut so that decoders can go on."""

from __future__ import annotations

from rtmp_sync.server.relay_queue import RelayQueue
from rtmp_sync.state.live_stream import LiveMessage
from rtmp_sync.wire import amf0, media
from rtmp_sync.wire.constants import AUDIO, DATA, VIDEO

METADATA = amf0.encode("onMetaData", {"width": 320.0})
FRAMES = {
    "header": b"\x17\0\0\0\0config",
    "key": b"\x17\1\0\0\0",
    "inter": b"\x27\1\0\0\0",
    "sound": b"\xaf\1",
    "metadata": METADATA,
    "cue": amf0.encode("onCuePoint"),
}
TYPES = {"sound": AUDIO, "metadata": DATA, "cue": DATA}


def message(what: str, size: int = 0) -> LiveMessage:
    type = TYPES.get(what, VIDEO)
    payload = FRAMES[what] + bytes(size)
    return LiveMessage(type, media.classify(type, payload), 0, payload)


def taken(queue: RelayQueue) -> list[str]:
    """What comes out, in the words of `message`."""
    found = []
    while queue:
        payload = queue.take().payload
        found.append(next(what for what, start in FRAMES.items() if payload.startswith(start)))
    return found


def test_what_fits_comes_out_as_it_went_in() -> None:
    queue = RelayQueue(1000)
    sent = ["metadata", "header", "inter", "key", "sound", "inter", "cue"]
    for what in sent:
        queue.put(message(what))
    assert taken(queue) == sent
    assert queue.dropped == 0


def test_what_does_not_fit_drops_all_but_headers_and_goes_on_at_a_key_frame() -> None:
    queue = RelayQueue(1000)
    for what in ["header", "metadata", "header", "key", "inter", "sound", "cue"]:
        queue.put(message(what))
    queue.put(message("inter", 990))
    for what in ["inter", "sound", "key", "inter"]:
        queue.put(message(what))
    assert taken(queue) == ["header", "metadata", "sound", "key", "inter"]
    assert queue.dropped == 7


def test_a_message_longer_than_the_queue_passes_alone() -> None:
    queue = RelayQueue(1000)
    queue.put(message("key", 5000))
    assert taken(queue) == ["key"]
    queue.put(message("inter", 5000))
    assert taken(queue) == ["inter"]


def test_it_never_holds_more_than_its_limit_and_one_message() -> None:
    queue = RelayQueue(1000)
    for number in range(1000):
        queue.put(message("key" if number % 50 == 0 else "inter", 300))
    held = 0
    while queue:
        held += len(queue.take().payload)
    assert held <= 1310
