"""One request of the herd's: what it is given, and by when it is to be answered. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agents.live import Json
from commands.errors import Refused
from gateway.herd.settling import Tell
from gateway.request import ApiRequest

SECONDS, MOST_SECONDS = 120.0, 3600.0
"""For which an answer is waited for, unless the request has a `timeout` of its own."""


@dataclass(frozen=True, slots=True)
class Call:
    """`given`: the request's only object. `seconds`: for the answer."""

    request: ApiRequest
    given: Json
    seconds: float
    tell: Tell

    def text(self, *names: str) -> str | None:
        """The first of these fields that is given."""
        for name in names:
            if (value := self.given.get(name)) is not None:
                if not isinstance(value, str) or not value or "\x00" in value:
                    raise Refused("InvalidFormat", f"{name} is a text, and not empty", name)
                return value
        return None

    def flag(self, name: str) -> bool:
        value = self.given.get(name, False)
        if not isinstance(value, bool):
            raise Refused("InvalidFormat", f"{name} is true or false", name)
        return value


def seconds_of(given: Any) -> float:
    if given is None:
        return SECONDS
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given <= MOST_SECONDS:
        raise Refused("InvalidFormat", f"timeout is a number of seconds, at most {MOST_SECONDS:g}", "timeout")
    return float(given)
