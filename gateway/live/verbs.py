"""The live queries that there are, and what each can be asked: one table for HTTP, WebSocket and NATS alike. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from commands.catalogue.catalogue import Catalogue
from commands.catalogue.model import ResourceType
from commands.errors import Refused
from projections.moments import read_moment

Json = dict[str, Any]

MOST_TAIL = 1_000_000

Option = Callable[[Any, str, datetime], Any]
"""(value, its name, now) -> the value as the agent takes it. What came over HTTP is text. Raises Refused."""


@dataclass(frozen=True, slots=True)
class Verb:
    """`follow`: whether it can be a stream without end. `writes`: whether it takes the right to change the instance."""

    name: str
    options: Mapping[str, Option]
    says: str
    follow: bool = False
    writes: bool = False


def flag(value: Any, name: str, now: datetime) -> bool:
    match str(value).lower() if isinstance(value, str | bool) else value:
        case "" | "true" | "1" | "yes":
            return True
        case "false" | "0" | "no":
            return False
    raise Refused("InvalidFormat", f"{name} is true or false, not {str(value)[:40]!r}", name)


def count(value: Any, name: str, now: datetime) -> int | None:
    """`all` is as if it were not given."""
    text = str(value)
    if text == "all":
        return None
    if isinstance(value, bool) or not (text.isascii() and text.isdigit() and int(text[:9]) <= MOST_TAIL):
        raise Refused("InvalidFormat", f"{name} is a number of lines, at most {MOST_TAIL}, or all; not {text[:40]!r}", name)
    return int(text)


def moment(value: Any, name: str, now: datetime) -> float:
    """Seconds since 1970, a time, or how long ago."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    try:
        found = read_moment(str(value), now, UTC)
    except ValueError as wrong:
        allowed = "a time (2026-11-20T14:05, of UTC unless it says its zone), how long ago (90s, 10m, 12h, 30d), or seconds since 1970"
        raise Refused("InvalidFormat", f"{wrong}: {name} takes {allowed}", name) from None
    return float(found) if isinstance(found, int) else found.timestamp()


def text(value: Any, name: str, now: datetime) -> str:
    if not isinstance(value, str) or not value or "\x00" in value:
        raise Refused("InvalidFormat", f"{name} is a text, and not empty", name)
    return value


def words(value: Any, name: str, now: datetime) -> list[str]:
    """A parameter that is repeated is a list; one alone is a list of one."""
    given = value if isinstance(value, list) else [value]
    if not given or not all(isinstance(each, str) and "\x00" not in each for each in given):
        raise Refused("InvalidFormat", f"{name} is a list of texts", name)
    return given


def streams(value: Any, name: str, now: datetime) -> list[str]:
    found = [each.strip() for given in words(value, name, now) for each in given.split(",")]
    if not set(found) <= {"stdout", "stderr"}:
        raise Refused("InvalidOption", f"{name} takes stdout, stderr or both", name)
    return found


def size(value: Any, name: str, now: datetime) -> list[int]:
    """80x24, or [80, 24]: columns and rows."""
    parts = value.lower().split("x") if isinstance(value, str) else value
    if isinstance(parts, list) and len(parts) == 2 and all(str(each).isdigit() and 0 < int(each) < 10_000 for each in parts):
        return [int(each) for each in parts]
    raise Refused("InvalidFormat", f"{name} is columns x rows, e.g. 80x24", name)


_FOLLOW: Mapping[str, Option] = {"follow": flag}
_TIMES: Mapping[str, Option] = {"since": moment, "until": moment}

VERBS: Mapping[str, Verb] = {
    each.name: each
    for each in (
        Verb("inspect", {}, "what its engine knows of it"),
        Verb("top", {"ps": text}, "the processes in it"),
        Verb("stats", _FOLLOW, "what it uses: processor, memory, network, disk", follow=True),
        Verb(
            "logs", {**_FOLLOW, **_TIMES, "tail": count, "streams": streams, "timestamps": flag},
            "what it writes", follow=True,
        ),
        Verb("events", {**_FOLLOW, **_TIMES}, "what happens to it at its engine", follow=True),
        Verb(
            "exec", {"command": words, "tty": flag, "env": words, "user": text, "directory": text, "size": size},
            "a command in it", writes=True,
        ),
    )
}  # fmt: skip


def answers(catalogue: Catalogue, type: ResourceType | None) -> bool:
    """Whether things of this type can be asked: instances."""
    return type is not None and type.stored and catalogue.root_type(type.name).name == "instance"


def options_of(verb: Verb, given: Mapping[str, Any], now: datetime) -> Json:
    """Raises Refused for what can't be read; what the verb does not know is no option of it."""
    unknown = sorted(given.keys() - verb.options.keys())
    if unknown:
        has = ", ".join(sorted(verb.options)) or "none"
        raise Refused("InvalidOption", f"{verb.name} has no option {unknown[0][:40]!r}: it has {has}", unknown[0][:40])
    read = {name: verb.options[name](value, name, now) for name, value in given.items() if value is not None}
    if "command" in verb.options and not read.get("command"):
        raise Refused("MissingRequired", 'a command is needed: ?command=ls&command=-l, or {"command": ["ls", "-l"]}', "command")
    return read
