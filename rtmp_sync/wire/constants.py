"""Numbers and words of RTMP that more than one module needs.

Spec: Adobe's RTMP 1.0 sections 5.4 and 7; what it leaves out is marked with who sends it.
"""

from __future__ import annotations

from typing import Final

# --- the handshake
RTMP_VERSION: Final = 3
HANDSHAKE_SIZE: Final = 1536  # C1, S1, C2, S2

# --- message types
SET_CHUNK_SIZE: Final = 1
ABORT: Final = 2
ACKNOWLEDGEMENT: Final = 3
USER_CONTROL: Final = 4
WINDOW_ACKNOWLEDGEMENT_SIZE: Final = 5
SET_PEER_BANDWIDTH: Final = 6
AUDIO: Final = 8
VIDEO: Final = 9
DATA_AMF3: Final = 15
SHARED_OBJECT_AMF3: Final = 16
COMMAND_AMF3: Final = 17
DATA: Final = 18
SHARED_OBJECT: Final = 19
COMMAND: Final = 20
AGGREGATE: Final = 22
REPLICATION: Final = 32  # unassigned in RTMP: the envelope of the link between two origins

# --- chunk streams of what we send; a receiver must not depend on them
CSID_CONTROL: Final = 2
CSID_COMMAND: Final = 3
CSID_SHARED_OBJECT: Final = 4
CSID_STREAM: Final = 5  # commands and data of a message stream
CSID_AUDIO: Final = 6
CSID_VIDEO: Final = 7
CSID_REPLICATION: Final = 8  # and the lanes above it

DEFAULT_CHUNK_SIZE: Final = 128  # both directions, until Set Chunk Size
MAX_MESSAGE_BYTES: Final = 0xFFFFFF  # the length field has 24 bits
MAX_CSID: Final = 65599

# --- limit types of Set Peer Bandwidth
LIMIT_HARD: Final = 0
LIMIT_SOFT: Final = 1
LIMIT_DYNAMIC: Final = 2

# --- user control events
STREAM_BEGIN: Final = 0
STREAM_EOF: Final = 1
STREAM_DRY: Final = 2
SET_BUFFER_LENGTH: Final = 3
STREAM_IS_RECORDED: Final = 4
PING_REQUEST: Final = 6
PING_RESPONSE: Final = 7
SWF_VERIFY_REQUEST: Final = 26
SWF_VERIFY_RESPONSE: Final = 27
BUFFER_EMPTY: Final = 31
BUFFER_READY: Final = 32

# --- shared object events; 12 to 14 are not in the spec, FMS sends them
SO_USE: Final = 1
SO_RELEASE: Final = 2
SO_REQUEST_CHANGE: Final = 3
SO_CHANGE: Final = 4
SO_SUCCESS: Final = 5
SO_SEND: Final = 6
SO_STATUS: Final = 7
SO_CLEAR: Final = 8
SO_REMOVE: Final = 9
SO_REQUEST_REMOVE: Final = 10
SO_USE_SUCCESS: Final = 11
SO_FMS_NOTE: Final = 12  # key and u32 after a change; meaning not established
SO_CHANGE_ECHO: Final = 13  # as SO_CHANGE, to the writer, in place of SO_SUCCESS
SO_REQUEST_CLEAR: Final = 14

SO_PERSISTENT: Final = 2  # the one bit of the flags word whose meaning is established

# --- E-RTMP capsEx bits of connect
CAPS_RECONNECT: Final = 1
CAPS_MULTITRACK: Final = 2
CAPS_MODEX: Final = 4
CAPS_TIMESTAMP_NANO_OFFSET: Final = 8

# --- E-RTMP FourCcInfoMap bits
CAN_DECODE: Final = 1
CAN_ENCODE: Final = 2
CAN_FORWARD: Final = 4

# --- levels and codes of status information
LEVEL_STATUS: Final = "status"
LEVEL_ERROR: Final = "error"
LEVEL_WARNING: Final = "warning"

CONNECT_SUCCESS: Final = "NetConnection.Connect.Success"
CONNECT_CLOSED: Final = "NetConnection.Connect.Closed"
CONNECT_IDLE_TIMEOUT: Final = "NetConnection.Connect.IdleTimeout"
CONNECT_FAILED: Final = "NetConnection.Connect.Failed"
CONNECT_REJECTED: Final = "NetConnection.Connect.Rejected"
CONNECT_APP_SHUTDOWN: Final = "NetConnection.Connect.AppShutdown"
CONNECT_INVALID_APP: Final = "NetConnection.Connect.InvalidApp"
CONNECT_RECONNECT_REQUEST: Final = "NetConnection.Connect.ReconnectRequest"
CALL_FAILED: Final = "NetConnection.Call.Failed"
CALL_BAD_VERSION: Final = "NetConnection.Call.BadVersion"
CALL_INTERRUPTED: Final = "NetConnection.Call.Interrupted"  # ours: begun, and cut by a failover

PUBLISH_START: Final = "NetStream.Publish.Start"
PUBLISH_BAD_NAME: Final = "NetStream.Publish.BadName"
UNPUBLISH_SUCCESS: Final = "NetStream.Unpublish.Success"
RECORD_START: Final = "NetStream.Record.Start"
RECORD_STOP: Final = "NetStream.Record.Stop"
RECORD_NO_ACCESS: Final = "NetStream.Record.NoAccess"
RECORD_FAILED: Final = "NetStream.Record.Failed"
PLAY_RESET: Final = "NetStream.Play.Reset"
PLAY_START: Final = "NetStream.Play.Start"
PLAY_STOP: Final = "NetStream.Play.Stop"
PLAY_COMPLETE: Final = "NetStream.Play.Complete"
PLAY_SWITCH: Final = "NetStream.Play.Switch"
PLAY_STREAM_NOT_FOUND: Final = "NetStream.Play.StreamNotFound"
PLAY_FAILED: Final = "NetStream.Play.Failed"
PLAY_PUBLISH_NOTIFY: Final = "NetStream.Play.PublishNotify"
PLAY_UNPUBLISH_NOTIFY: Final = "NetStream.Play.UnpublishNotify"
PLAY_TRANSITION: Final = "NetStream.Play.Transition"
PLAY_TRANSITION_COMPLETE: Final = "NetStream.Play.TransitionComplete"
TRANSITION_SUCCESS: Final = "NetStream.Transition.Success"  # a reason, not a code
PLAY_INSUFFICIENT_BW: Final = "NetStream.Play.InsufficientBW"
PAUSE_NOTIFY: Final = "NetStream.Pause.Notify"
UNPAUSE_NOTIFY: Final = "NetStream.Unpause.Notify"
SEEK_NOTIFY: Final = "NetStream.Seek.Notify"
SEEK_FAILED: Final = "NetStream.Seek.Failed"
SEEK_INVALID_TIME: Final = "NetStream.Seek.InvalidTime"
DATA_START: Final = "NetStream.Data.Start"
STREAM_FAILED: Final = "NetStream.Failed"

SO_NO_READ_ACCESS: Final = "SharedObject.NoReadAccess"
SO_NO_WRITE_ACCESS: Final = "SharedObject.NoWriteAccess"
SO_CREATION_FAILED: Final = "SharedObject.ObjectCreationFailed"
SO_BAD_PERSISTENCE: Final = "SharedObject.BadPersistence"
