"""A chat room per instance: `rtmp://host/chat/ROOM`, connect with (name, "guest").

The temporary shared object `room` holds who is here (a slot per client id) and the topic, the
last lines are in `self.vars`: all of it survives a takeover. Guests talk; a moderator, who
proves it with the password in `[application_object] moderator_password`, also sets the topic.
"""

from rtmp_sync import Application, CallError, Client, Reject, allow

KEPT_LINES = 50


class Chat(Application):
    public_types = frozenset({"guest"})

    async def on_connect(self, client: Client, user_name: str, user_type: str) -> None:
        """Admit everyone with a name; a moderator's third argument must be the password."""
        if not user_name:
            raise Reject("a name, please")
        if user_type == "moderator":
            password = self.config.get("moderator_password")
            if not password or client.arguments[2:3] != (password,):
                raise Reject("wrong password")
            client.user_type = "moderator"  # given here, never claimed by the client

    @allow("guest", "moderator")
    async def enter(self, client: Client) -> list[str]:
        """Be seen in the room; the last lines that were said."""
        self.shared_object("room")[f"user:{client.id}"] = client.user_name
        return list(self.vars.get("lines", []))

    @allow("guest", "moderator")
    async def say(self, client: Client, text: str) -> None:
        """Everyone who uses the object `room` gets `said(name, text)`."""
        if not text.strip():
            raise CallError("Chat.EmptyLine", "say something")
        lines = [*self.vars.get("lines", []), f"{client.user_name}: {text}"]
        self.vars["lines"] = lines[-KEPT_LINES:]
        self.shared_object("room").send("said", client.user_name, text)

    @allow("moderator")
    async def topic(self, client: Client, text: str) -> None:
        """Set what the room is about."""
        self.shared_object("room")["topic"] = text

    async def on_disconnect(self, client: Client, reason: str) -> None:
        """The one who left is seen no longer; after a takeover too."""
        self.shared_object("room").delete(f"user:{client.id}")
