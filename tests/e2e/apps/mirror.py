"""An application that tells clients how their origin sees them."""

from rtmp_sync import Application, Client, allow


class Mirror(Application):
    public_types = frozenset({"Looker"})

    @allow("Looker")
    async def address(self, client: Client) -> str:
        return client.address
