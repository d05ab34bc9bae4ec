"""Who may change things: the one administrator of the configuration."""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode

from rtmp_sync.config import Config

__all__ = ["Credentials", "basic_header"]


class Credentials:
    """The administrator's name and password; without them in the configuration nobody passes."""

    def __init__(self, config: Config) -> None:
        user = config.admin.user
        given = user is not None and config.admin.password_file is not None
        self._expected = (user or "", config.password()) if given else None

    def match(self, user: str, password: str) -> bool:
        """Takes the same time whatever is wrong."""
        expected_user, expected_password = self._expected or ("", "")
        user_matches = hmac.compare_digest(user.encode(), expected_user.encode())
        password_matches = hmac.compare_digest(password.encode(), expected_password.encode())
        return user_matches and password_matches and self._expected is not None

    def match_header(self, authorization: str) -> bool:
        """Check an HTTP `Authorization: Basic …` header."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            user, colon, password = b64decode(token, validate=True).decode().partition(":")
        except ValueError:  # no base64, or what it stands for is no UTF-8
            return False
        return bool(colon) and self.match(user, password)


def basic_header(user: str, password: str) -> str:
    """The value of an `Authorization` header that `match_header` accepts."""
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()
