"""Why a command is refused, in the words of the API: raised by validation and decisions, told to the user by the gateway."""

from __future__ import annotations


def a(type_name: str) -> str:
    """With its article: an agent, a host, a user."""
    return f"{'an' if type_name[0] in 'aeio' else 'a'} {type_name}"


class Refused(Exception):
    """The request can't be carried out as it is: tell the user. `code` is the API's, `field` the one that is wrong."""

    def __init__(self, code: str, message: str | None = None, field: str | None = None, status: int = 422) -> None:
        super().__init__(" ".join(filter(None, (code, field, message and f"({message})"))))
        self.code, self.message, self.field, self.status = code, message, field, status


class NotFound(Refused):
    """There is no such thing, or the caller may not see it."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__("Not Found", message, status=404)


class Conflict(Refused):
    """The resource's state, or what others hold, doesn't allow it now."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__("Conflict", message, status=409)


class Gone(Exception):
    """Whom a step would ask is removed. What is to be torn down there is gone with it; what is to be made there fails for this reason."""


class Failure(Exception):
    """A step failed, and so does its process. The message is for the user."""

    def __init__(self, reason: str, follower: str | None = None) -> None:
        """`follower`: the process that undoes it, instead of the process' own compensation."""
        super().__init__(reason)
        self.follower = follower
