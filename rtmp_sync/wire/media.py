"""What an audio, video or data message is, as far as a server that forwards it must know.

    video  = frame type:4 codec:4, [packet type u8 of AVC and HEVC, ...]
           | 1:1 frame type:3 packet type:4, E-RTMP body
    audio  = format:4 rate:2 size:1 channels:1, [packet type u8 of AAC, ...]
           | 9:4 packet type:4, E-RTMP body
    E-RTMP body = [ModEx: size u8 (+ u16), data, type:4 next packet type:4]*
                  [Multitrack: kind:4 packet type:4] fourcc, [track u8], ...

`classify` is called once per message and never raises: what it cannot read is UNKNOWN, which
a server forwards and never drops. Spec: FLV 10.1 annex E; E-RTMP v2.
"""

from __future__ import annotations

from typing import Final

from rtmp_sync.wire.constants import AUDIO as TYPE_AUDIO
from rtmp_sync.wire.constants import VIDEO as TYPE_VIDEO

AUDIO: Final = 1
VIDEO: Final = 2
KEY_FRAME: Final = 4  # decoding may start here; of track 0 only, whose pictures lead the others
SEQUENCE_HEADER: Final = 8  # decoder configuration: late joiners need the last one of each track
DROPPABLE: Final = 16  # an inter or disposable frame
EMPTY: Final = 32  # no payload at all; occurs on live streams
END_OF_SEQUENCE: Final = 64
METADATA: Final = 128  # E-RTMP video metadata such as colorInfo, or audio channel layout
UNKNOWN: Final = 256  # too short, or a form that is not known

# Media that later messages need, or that cannot be told from it.
_NEEDED: Final = SEQUENCE_HEADER | METADATA | END_OF_SEQUENCE | UNKNOWN

# The track that a configuration is for sits above the flags; 0 unless E-RTMP says otherwise.
TRACK_SHIFT: Final = 16

_FRAME_KEY: Final = 1
_FRAME_INTER: Final = 2
_FRAME_DISPOSABLE: Final = 3
_FRAME_GENERATED_KEY: Final = 4
_FRAME_COMMAND: Final = 5

_AVC: Final = 7
_HEVC: Final = 12  # not in any spec: a convention of Chinese encoders and servers
_AAC: Final = 10
_EXTENDED_AUDIO: Final = 9

# E-RTMP packet types
_SEQUENCE_START: Final = 0
_CODED_FRAMES: Final = 1
_SEQUENCE_END: Final = 2
_CODED_FRAMES_X: Final = 3
_VIDEO_METADATA: Final = 4
_VIDEO_MPEG2TS_START: Final = 5
_VIDEO_MULTITRACK: Final = 6
_AUDIO_MULTICHANNEL: Final = 4
_AUDIO_MULTITRACK: Final = 5
_MODEX: Final = 7

_LEGACY_VIDEO: Final = {2: "H263", 3: "Screen", 4: "VP6", 5: "VP6A", 6: "Screen2", 7: "avc1"}
_LEGACY_AUDIO: Final = {
    0: "PCM",
    1: "ADPCM",
    2: ".mp3",
    3: "PCM",
    4: "Nelly",
    5: "Nelly",
    6: "Nelly",
    7: "G711A",
    8: "G711U",
    10: "mp4a",
    11: "Speex",
    14: ".mp3",
}


def is_needed(flags: int) -> bool:
    """Whether even a player that takes, or may get, less than a live stream brings must get this:
    data, and media that cannot be left out for good."""
    return bool(flags & _NEEDED) or not flags & (AUDIO | VIDEO)


def classify(type: int, payload: bytes) -> int:
    """Flags of a message of type 8, 9 or 18, with a configuration's track above them."""
    if type == TYPE_VIDEO:
        return _classify_video(payload)
    if type == TYPE_AUDIO:
        return _classify_audio(payload)
    return 0


def track_of(flags: int) -> int:
    """The track number in what `classify` returned."""
    return flags >> TRACK_SHIFT


def codec(type: int, payload: bytes) -> str:
    """The fourcc of an audio or video message (legacy codecs by theirs or by name), or ""."""
    if not payload:
        return ""
    first = payload[0]
    if type == TYPE_VIDEO and not first & 0x80:
        return "hvc1" if first & 0x0F == _HEVC else _LEGACY_VIDEO.get(first & 0x0F, "")
    if type == TYPE_AUDIO and first >> 4 != _EXTENDED_AUDIO:
        return _LEGACY_AUDIO.get(first >> 4, "")
    if type != TYPE_VIDEO and type != TYPE_AUDIO:
        return ""
    _, pos, _ = _extended_body(payload, type == TYPE_VIDEO)
    return payload[pos : pos + 4].decode("latin-1") if pos >= 0 else ""


def _frame_flags(frame_type: int) -> int:
    if frame_type in (_FRAME_KEY, _FRAME_GENERATED_KEY):
        return VIDEO | KEY_FRAME
    if frame_type in (_FRAME_INTER, _FRAME_DISPOSABLE):
        return VIDEO | DROPPABLE
    return VIDEO  # a command frame, or reserved


def _classify_video(payload: bytes) -> int:
    if not payload:
        return VIDEO | EMPTY
    first = payload[0]
    if first & 0x80:
        return _classify_extended_video(payload)
    codec_id = first & 0x0F
    if codec_id in (_AVC, _HEVC):
        if len(payload) < 2:
            return VIDEO | UNKNOWN
        packet_type = payload[1]
        if packet_type == 0:
            return VIDEO | SEQUENCE_HEADER
        if packet_type == 2:
            return VIDEO | END_OF_SEQUENCE
    return _frame_flags(first >> 4)


def _classify_extended_video(payload: bytes) -> int:
    packet_type, pos, track = _extended_body(payload, True)
    if pos < 0:
        return VIDEO | UNKNOWN
    above = track << TRACK_SHIFT
    if packet_type in (_SEQUENCE_START, _VIDEO_MPEG2TS_START):
        return VIDEO | SEQUENCE_HEADER | above
    if packet_type == _SEQUENCE_END:
        return VIDEO | END_OF_SEQUENCE | above
    if packet_type == _VIDEO_METADATA:
        return VIDEO | METADATA | above
    if packet_type in (_CODED_FRAMES, _CODED_FRAMES_X):
        flags = _frame_flags(payload[0] >> 4 & 0x07)
        # Whoever began with another track's key frame would miss the one of track 0 before it.
        return flags if not track else flags & ~KEY_FRAME | DROPPABLE
    return VIDEO | UNKNOWN


def _classify_audio(payload: bytes) -> int:
    if not payload:
        return AUDIO | EMPTY
    audio_format = payload[0] >> 4
    if audio_format == _AAC:
        if len(payload) < 2:
            return AUDIO | UNKNOWN
        return AUDIO | SEQUENCE_HEADER if payload[1] == 0 else AUDIO
    if audio_format != _EXTENDED_AUDIO:
        return AUDIO
    packet_type, pos, track = _extended_body(payload, False)
    if pos < 0:
        return AUDIO | UNKNOWN
    above = track << TRACK_SHIFT
    if packet_type == _SEQUENCE_START:
        return AUDIO | SEQUENCE_HEADER | above
    if packet_type == _SEQUENCE_END:
        return AUDIO | END_OF_SEQUENCE | above
    if packet_type == _AUDIO_MULTICHANNEL:
        return AUDIO | METADATA | above
    return AUDIO if packet_type == _CODED_FRAMES else AUDIO | UNKNOWN


def _extended_body(payload: bytes, video: bool) -> tuple[int, int, int]:
    """(packet type, where the fourcc is, track) behind ModEx and Multitrack; (0, -1, 0): unknown.

    Of several tracks in one message the first counts.
    """
    size = len(payload)
    packet_type = payload[0] & 0x0F
    pos = 1
    while packet_type == _MODEX:
        if pos >= size:
            return 0, -1, 0
        modex_bytes = payload[pos] + 1
        pos += 1
        if modex_bytes == 256:
            if size - pos < 2:
                return 0, -1, 0
            modex_bytes = (payload[pos] << 8 | payload[pos + 1]) + 1
            pos += 2
        pos += modex_bytes
        if pos >= size:
            return 0, -1, 0
        packet_type = payload[pos] & 0x0F
        pos += 1
    if video and payload[0] >> 4 & 0x07 == _FRAME_COMMAND and packet_type != _VIDEO_METADATA:
        return _CODED_FRAMES, size, 0  # one byte of command follows, and no fourcc
    multitrack = _VIDEO_MULTITRACK if video else _AUDIO_MULTITRACK
    if packet_type != multitrack:
        if size - pos < 4:
            return 0, -1, 0
        return packet_type, pos, 0
    if size - pos < 6:  # kind and packet type, fourcc, track
        return 0, -1, 0
    packet_type = payload[pos] & 0x0F
    if packet_type == multitrack:
        return 0, -1, 0
    return packet_type, pos + 1, payload[pos + 5]
