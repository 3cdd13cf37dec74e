"""What a command of the CLI fails with: a sentence for the person at the terminal, and the exit status."""

from __future__ import annotations

REFUSED = 1
USAGE = 2


class Failed(Exception):
    """The command can't do what it was asked to; the message says why, and what to do next."""

    status = REFUSED


class WrongUse(Failed):
    """It was asked in a way that makes no sense."""

    status = USAGE


class NotAnswering(Failed):
    """No server answers there."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"Corral does not answer at {url} ({reason}): start it with `make run` or `corral up`, or say --url")


class ServerRefused(Failed):
    """The server's own words."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message or code)
        self.code, self.http_status = code, status
