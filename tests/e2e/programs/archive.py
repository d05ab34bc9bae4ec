"""An application of the scene: whatever is published is recorded, though encoders say "live"."""

from rtmp_sync import Application, Client
from rtmp_sync.stream_request import StreamRequest


class Archive(Application):
    async def on_publish(self, client: Client, request: StreamRequest) -> None:
        self.stream(request.name).record()
