"""Noughts and crosses, a board per instance: `rtmp://host/game/TABLE`, as "player" or "viewer".

The persistent object `board` has slots "0" to "8" with "X" or "O", the players' names in "X" and
"O", whose `turn` it is, and the `winner` ("none" of a draw): the game survives a takeover, and a
player is known by his name. Clients read it, and change it by calls alone.
"""

from collections.abc import Callable
from typing import Any

from rtmp_sync import Application, CallError, Client, ConnectionLost, Reject, SharedObject, allow

TURN_SECONDS = 60.0
LINES = ("012", "345", "678", "036", "147", "258", "048", "246")


class Game(Application):
    public_types = frozenset({"player", "viewer"})

    def __init__(self, surroundings: Any) -> None:
        super().__init__(surroundings)
        self.board = self.shared_object("board", persistent=True)
        self.stop_clock: Callable[[], None] = lambda: None

    async def on_promote(self) -> None:  # who is to move has the whole time again
        self.start_clock()

    async def on_reload(self, old: Application) -> None:
        self.start_clock()

    async def on_connect(self, client: Client, user_name: str, user_type: str) -> None:
        if not user_name:
            raise Reject("a name, please")
        client.write_access = ""

    @allow("player")
    async def sit(self, client: Client) -> str:
        """Take a free side, or the one that this name has: "X" or "O"."""
        if (side := self.side(client)) is None:
            side = next((one for one in "XO" if one not in self.board), None)
            if side is None:
                raise CallError("Game.Full", "two play already")
            with self.board.locked() as board:
                board[side] = client.user_name
                if side == "O":
                    board["turn"] = "X"
            self.start_clock()
        return side

    @allow("player")
    async def move(self, client: Client, cell: int) -> str:
        """Put your sign into cell 0 to 8; the winner, "" if there is none yet."""
        side = self.side(client)
        if side is None or self.board.get("turn") != side:
            raise CallError("Game.NotYourTurn", "it is not your turn")
        if not 0 <= cell <= 8 or str(cell) in self.board:
            raise CallError("Game.NotFree", "that cell is not free")
        with self.board.locked() as board:  # everybody sees the sign and whose turn it is at once
            board[str(cell)] = side
            board["turn"] = "O" if side == "X" else "X"
            if any(all(board.get(one) == side for one in line) for line in LINES):
                self.end(board, side)
            elif all(str(one) in board for one in range(9)):
                self.end(board, "none")
        self.start_clock()
        return str(self.board.get("winner", ""))

    @allow("player")
    async def draw(self, client: Client) -> bool:
        """Offer a draw: the other player's method `draw(name)` says whether it is one."""
        side = self.side(client)
        others = [one for one in self.clients if self.side(one) not in (side, None)]
        if side is None or "turn" not in self.board or not others:
            raise CallError("Game.Nobody", "there is nobody to agree")
        try:
            agreed = await others[-1].call("draw", client.user_name)
        except (CallError, ConnectionLost):
            return False
        if agreed is True and "turn" in self.board:  # the game went on meanwhile
            self.end(self.board, "none")
        return agreed is True

    def side(self, client: Client) -> str | None:
        """Which side a client plays; a viewer none, whatever his name."""
        sides = "XO" if client.user_type == "player" else ""
        return next((one for one in sides if self.board.get(one) == client.user_name), None)

    def start_clock(self) -> None:
        self.stop_clock()
        if "turn" in self.board:
            self.stop_clock = self.after(TURN_SECONDS, self.too_late)

    def too_late(self) -> None:
        self.end(self.board, "O" if self.board.get("turn") == "X" else "X")

    def end(self, board: SharedObject, winner: str) -> None:
        self.stop_clock()
        board["winner"] = winner
        board.delete("turn")
