"""Who is there: `rtmp://host/presence/TEAM`, connect with (name, "member") or (name, "watcher").

The temporary object `who` has a slot for each member's name, {"id", "status"}; members and watchers
see it, and change it by calls alone. Over a takeover everybody stays in it, as he is; who has not
come back at the first look after it is gone then.
"""

import asyncio

from rtmp_sync import Application, CallError, Client, ConnectionLost, Reject, SharedObject, allow

LOOK_SECONDS = 30.0
IDLE_SECONDS = 300.0
ANSWER_SECONDS = 5.0


class Presence(Application):
    public_types = frozenset({"member", "watcher"})

    async def on_app_start(self) -> None:
        self.every(LOOK_SECONDS, self.look)

    async def on_promote(self) -> None:
        self.every(LOOK_SECONDS, self.look)

    async def on_reload(self, old: Application) -> None:
        """New code, and nobody is gone."""
        self.every(LOOK_SECONDS, self.look)

    @property
    def who(self) -> SharedObject:
        return self.shared_object("who")

    async def on_connect(self, client: Client, user_name: str, user_type: str) -> None:
        """Anybody with a name, which is a member's alone."""
        if not user_name:
            raise Reject("a name, please")
        client.write_access = ""
        if user_type == "member":
            there = self.who.get(user_name)
            if there and any(one.id == there["id"] for one in self.clients):
                raise Reject("this name is here already")
            status = there["status"] if there else "here"
            self.who[user_name] = {"id": client.id, "status": status}

    async def on_disconnect(self, client: Client, reason: str) -> None:
        """Whoever it was of before a takeover may be coming back just now: `look` will tell."""
        there = self.who.get(client.user_name)
        if there and there["id"] == client.id and reason != "failover":
            self.who.delete(client.user_name)

    @allow("member")
    async def status(self, client: Client, status: str) -> None:
        """Say how you are: "away", "busy", …"""
        self.who[client.user_name] = {"id": client.id, "status": status}

    @allow("member", "watcher")
    async def nudge(self, client: Client, name: str) -> object:
        """Call the member's own method `nudged(by)`; what it says."""
        there = self.who.get(name)
        found = [one for one in self.clients if there and one.id == there["id"]]
        if not found:
            raise CallError("Presence.Away", f"{name} is not here")
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await found[0].call("nudged", client.user_name)
        except (CallError, ConnectionLost, TimeoutError):
            raise CallError("Presence.Silent", f"{name} does not answer") from None

    async def look(self) -> None:
        """Ask each member's own method `idleSeconds` how long nobody touched anything."""
        members = [one for one in self.clients if one.user_type == "member"]
        idle = await asyncio.gather(*(self.idle_seconds(one) for one in members))
        here = {one.id for one in self.clients}
        with self.who.locked() as who:  # all that changed is one message
            for name in [name for name, there in who.items() if there["id"] not in here]:
                who.delete(name)
            for member, seconds in zip(members, idle, strict=True):
                there = who.get(member.user_name)
                if not there or there["id"] != member.id or there["status"] not in ("here", "idle"):
                    continue  # he is gone meanwhile, or says himself how he is
                status = "idle" if seconds > IDLE_SECONDS else "here"
                if there["status"] != status:
                    who[member.user_name] = {"id": member.id, "status": status}

    async def idle_seconds(self, member: Client) -> float:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await member.call("idleSeconds")
        except (CallError, ConnectionLost, TimeoutError):
            return 0.0
        return answer if isinstance(answer, float) else 0.0
