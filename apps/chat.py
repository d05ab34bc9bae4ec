"""A chat room per instance: `rtmp://host/chat/ROOM`, connect with (name, "guest").

The temporary shared object `room` holds who is here (a slot per client id), the topic, and for a
minute what was asked last, with the votes. The last lines are in `self.vars`. All of it survives
a takeover. Clients read the object, and change it by calls alone: guests talk and vote; a
moderator, who proves it with the password in `[application_object] moderator_password`, also sets
the topic and asks everybody.
"""

import asyncio
from collections.abc import Callable

from rtmp_sync import Application, CallError, Client, ConnectionLost, Reject, SharedObject, allow

KEPT_LINES = 50
VOTE_SECONDS = 10.0
SHOWN_SECONDS = 60.0
POLL = ("question", "yes", "no")  # the slots of a poll


class Chat(Application):
    public_types = frozenset({"guest"})
    stop_clock: Callable[[], None] = staticmethod(lambda: None)

    async def on_promote(self) -> None:  # a takeover ends the timer, but not what it is for
        self.start_clock()

    async def on_reload(self, old: Application) -> None:
        self.start_clock()

    @property
    def room(self) -> SharedObject:
        return self.shared_object("room")

    async def on_connect(self, client: Client, user_name: str, user_type: str) -> None:
        """Admit everyone with a name; a moderator's third argument must be the password."""
        if not user_name:
            raise Reject("a name, please")
        if user_type == "moderator":
            password = self.config.get("moderator_password")
            if not password or client.arguments[2:3] != (password,):
                raise Reject("wrong password")
            client.user_type = "moderator"  # given here, never claimed by the client
        client.write_access = ""

    async def on_disconnect(self, client: Client, reason: str) -> None:
        """The one who left is seen no longer; after a takeover too."""
        self.room.delete(f"user:{client.id}")

    @allow("guest", "moderator")
    async def enter(self, client: Client) -> list[str]:
        """Be seen in the room; the last lines that were said."""
        self.room[f"user:{client.id}"] = client.user_name
        return list(self.vars.get("lines", []))

    @allow("guest", "moderator")
    async def say(self, client: Client, text: str) -> None:
        """Everyone who uses the object `room` gets `said(name, text)`."""
        if not text.strip():
            raise CallError("Chat.EmptyLine", "say something")
        lines = [*self.vars.get("lines", []), f"{client.user_name}: {text}"]
        self.vars["lines"] = lines[-KEPT_LINES:]
        self.room.send("said", client.user_name, text)

    @allow("moderator")
    async def topic(self, client: Client, text: str) -> None:
        """Set what the room is about."""
        self.room["topic"] = text

    @allow("moderator")
    async def ask(self, client: Client, question: str) -> list[int]:
        """Call everybody's own method `vote(question)`; how many said true, and how many false."""
        votes = await asyncio.gather(*(self.vote(one, question) for one in self.clients))
        counts = [sum(vote is said for vote in votes) for said in (True, False)]
        with self.room.locked() as room:  # everyone sees all of it at once
            for slot, value in zip(POLL, (question, *counts), strict=True):
                room[slot] = value
        self.start_clock()
        return counts

    async def vote(self, client: Client, question: str) -> object:
        try:
            async with asyncio.timeout(VOTE_SECONDS):
                return await client.call("vote", question)
        except (CallError, ConnectionLost, TimeoutError):
            return None  # no vote

    def start_clock(self) -> None:
        self.stop_clock()
        if "question" in self.room:
            self.stop_clock = self.after(SHOWN_SECONDS, self.forget_poll)

    def forget_poll(self) -> None:
        with self.room.locked() as room:
            for slot in POLL:
                room.delete(slot)
