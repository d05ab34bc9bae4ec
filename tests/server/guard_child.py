"""What a guard guards in tests: a process that does what its arguments say, one after another.

beat            say that the loop runs
gate E BOOT     say that the gate is about to open
state NAME      say the failover state
say LINE
note-environment  note which of systemd's variables there are
sleep SECONDS
serve           beat until SIGTERM, then exit 0
serve-long      the same until the second one
deaf            beat for ever, whatever comes
beat-once       the same, and beat no more
hang            beat no more, and do not end
helper          start a process of the same group that sleeps; note its pid
exit N
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

SERVING = {"serve": 1, "serve-long": 2, "deaf": 1_000_000, "beat-once": 1_000_000}  # signals
PIPE = int(os.environ["RTMP_SYNC_GUARD_FD"])


def say(line: str) -> None:
    os.write(PIPE, f"{line}\n".encode())


def note(text: str) -> None:
    with open(os.environ["NOTES"], "a", encoding="ascii") as file:
        file.write(f"{text}\n")


def main(words: list[str]) -> None:
    note(f"former {os.environ['RTMP_SYNC_FORMER_LIFE']}")
    note(f"start {os.getpid()}")  # tests wait for this one
    while words:
        word = words.pop(0)
        if word == "beat":
            say("beat")
        elif word == "gate":
            say(f"gate {words.pop(0)} {words.pop(0)}")
        elif word == "state":
            say(f"state {words.pop(0)}")
        elif word == "say":
            say(words.pop(0))
        elif word == "sleep":
            time.sleep(float(words.pop(0)))
        elif word == "note-environment":
            names = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
            note(f"environment {' '.join(name for name in names if name in os.environ)}")
        elif word == "exit":
            sys.exit(int(words.pop(0)))
        elif word == "helper":
            helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            note(f"helper {helper.pid}")
        elif word in SERVING:
            signals = SERVING[word]

            def on_signal(*_: object) -> None:
                nonlocal signals
                signals -= 1
                note("signal")
                if not signals:
                    sys.exit(0)

            signal.signal(signal.SIGTERM, on_signal)
            note("serving")
            say("beat")
            while True:
                time.sleep(0.02)
                if word != "beat-once":
                    say("beat")
        elif word == "hang":
            while True:
                time.sleep(600)


main(sys.argv[1:])
