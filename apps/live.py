"""Live streams: publish to `rtmp://host/live/NAME` with any encoder, play with any player.

    ffmpeg -re -i film.mp4 -c copy -f flv rtmp://host/live/film
    ffplay rtmp://host/live/film

Streams need no code. Encoders and players send neither user name nor user type, so nothing
here may be called by them; add `on_connect` to ask for a token.
"""

from rtmp_sync import Application, Client, Reject


class Live(Application):
    async def on_connect(self, client: Client, user_name: str, user_type: str) -> None:
        """With `[application_object] live_token`, only clients that name it in the address
        (`rtmp://host/live?token=…`) come in."""
        token = self.config.get("live_token")
        if token and f"token={token}" not in str(client.params.get("app", "")).split("?")[-1]:
            raise Reject("the token is missing or wrong")
