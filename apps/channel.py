"""A television channel per instance: `rtmp://host/channel/NAME`, play `air`.

What `[application_object] programme` lists (names of recordings of this instance) is played again
and again as the stream `air`. Who publishes `studio` is on the air at once, until they stop. All
that was on the air can be recorded with `record_air = true`, and sent to other servers with
`air_to = ["rtmp://host/app", …]`. With `[apps.channel] start = ["NAME"]` it runs before anybody
comes.
"""

from rtmp_sync import Application, Client, StreamRequest


class Channel(Application):
    async def on_app_start(self) -> None:
        self.go_on_the_air()

    async def on_promote(self) -> None:
        """Server-side streams are of one process: this one begins them anew."""
        self.go_on_the_air()

    def go_on_the_air(self) -> None:
        air = self.stream("air")
        air.on_status = self.on_air_status
        for url in self.config.get("air_to", []):
            air.publish_to(url, f"{self.instance}-air")
        if self.config.get("record_air"):
            air.record("append")
        self.play_programme()

    def play_programme(self) -> None:
        for number, name in enumerate(self.config.get("programme", [])):
            self.stream("air").play(name, start=0, reset=number == 0)

    def on_air_status(self, info: dict[str, str]) -> None:
        """All is played: the studio has stopped, or it is time to begin again."""
        if info["code"] == "NetStream.Play.Complete":
            self.play_programme()

    async def on_publish(self, client: Client, request: StreamRequest) -> None:
        if request.name == "studio":
            self.stream("air").play("studio", start=-1)
