"""The demo of the article: one shared text that everybody sees.

Clients of type Type1 set it with `call("setText", …)`, or the article's
`call("call2server", "setText", […])`; they may also set slots of any shared object.
Here the server keeps the other origin up to date by itself, so nothing is left of the
article's proxy functions.
"""

from rtmp_sync import Application, Client, allow


class Text(Application):
    public_types = frozenset({"Type1"})

    @allow("Type1", "Origin")
    async def setText(self, client: Client, text: str) -> str:
        """Set the text; everyone who uses the shared object `text` sees slot `txt` change."""
        self.shared_object("text", persistent=True)["txt"] = text
        return text

    @allow("Type1", "Origin")
    async def getText(self, client: Client) -> str:
        """The text; "" before anybody has set one."""
        return str(self.shared_object("text", persistent=True).get("txt", ""))
