"""What operators can change about orchestration: Cattle's setting names and defaults, and what each may be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TEN_YEARS = 10 * 365 * 24 * 3600
"""Seconds. What is to be longer is never."""


@dataclass(frozen=True, slots=True)
class YesNo:
    default: bool

    expected = "true or false"

    def read(self, text: str) -> bool | None:
        return {"true": True, "false": False}.get(text.lower())


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number from `least` to `most`."""

    default: int
    least: int
    most: int

    @property
    def expected(self) -> str:
        return f"a number from {self.least} to {self.most}"

    def read(self, text: str) -> int | None:
        digits = text.isascii() and text.isdigit() and len(text) <= len(str(self.most))
        return int(text) if digits and self.least <= int(text) <= self.most else None


@dataclass(frozen=True, slots=True)
class Text:
    """What matches the whole `pattern`; `expected` says it in words."""

    default: str
    pattern: str
    expected: str

    def read(self, text: str) -> str | None:
        return text if re.fullmatch(self.pattern, text) else None


Setting = YesNo | Number | Text

_OCTET = "[0-9a-fA-F]{2}"
_FIRST_OCTET = "[0-9a-fA-F][02468aceACE]"  # an odd one is a group's address, which no nic can have
_MAC_PREFIX = rf"{_FIRST_OCTET}:{_OCTET}:{_OCTET}"

SETTINGS: dict[str, Setting] = {
    "agent.config.items": Text(
        "pyagent,configscripts", r"[A-Za-z0-9._-]+( *, *[A-Za-z0-9._-]+)*", "names of config items with commas between them",
    ),
    "agent.instance.image.uuid": Text(
        "docker:cattle/agent-instance:latest", r"(docker|sim):[^\s:/@]\S*", "an image's uuid, such as docker:NAME:TAG",
    ),
    "ipsec.psk.byte.length": Number(48, 16, 1024),
    "instance.link.target.wait.time.millis": Number(15000, 0, 1000 * TEN_YEARS),
    "mac.prefix.start": Text("02:00:01", _MAC_PREFIX, "three octets with an even first one, such as 02:00:01"),
    "mac.prefix.end": Text("02:ff:ff", _MAC_PREFIX, "three octets with an even first one, such as 02:ff:ff"),
    "mac.unassigned.prefix": Text("04", rf"{_FIRST_OCTET}(:{_OCTET}){{0,2}}", "one to three octets with an even first one, such as 04"),
    "instance.compute.default": Number(1, 0, 1_000_000_000),
    "simple.allocator.spread": YesNo(True),
    "object.remove.time.delay.seconds": Number(60, 0, TEN_YEARS),
    "process.account.create.create.credential": YesNo(True),
    "process.account.create.create.credential.default.kind": Text("apiKey", "apiKey|agentApiKey", "apiKey or agentApiKey"),
    "process.agent.create.create.account": YesNo(True),
    "api.instance.require.image": YesNo(True),
    # Cattle ships it true; its managed-docker0 wants agent instances, whose configuration Corral does not serve yet.
    "sample.setup": YesNo(False),
    # Corral's own, from here on: what is done at the same time. What is beyond waits, first come first served. With none a cloud would
    # stand still.
    # Resources with something under way; not while waiting for people or for its place at an agent.
    "engine.processes": Number(1000, 1, 1_000_000),
    "engine.turns": Number(64, 1, 10_000),  # decisions of an engine on their way into the log
    "agent.commands.in.flight": Number(32, 1, 10_000),  # commands to one agent that wait for its answer
    # At most so long is an answer waited for until people are told; 0: as each command says.
    "agent.silence.seconds": Number(0, 0, TEN_YEARS),
    "snapshot.every.events": Number(200, 0, 1_000_000),  # 0: none are written
    "idempotency.keys.days": Number(7, 0, 3650),  # for so long is a command with an Idempotency-Key known; 0: for ever
}

DEFAULTS: dict[str, Any] = {name: each.default for name, each in SETTINGS.items()}

ORDERED = (("mac.prefix.start", "mac.prefix.end"),)
"""The first is not above the second."""


class BadValue(Exception):
    """No such setting, or no value for it; the message says which there are, or what it takes."""


def changed(given: Mapping[str, str]) -> dict[str, Any]:
    """The defaults with these in their place, each read as what its default is. Raises BadValue."""
    chosen = {**DEFAULTS, **{name: _value(name, text) for name, text in given.items()}}
    for first, last in ORDERED:
        if chosen[first].lower() > chosen[last].lower():
            raise BadValue(f"{first} is {chosen[first]!r}, which is above {last}, {chosen[last]!r}: set both")
    return chosen


def _value(name: str, text: str) -> Any:
    if name not in SETTINGS:
        raise BadValue(f"there is no setting {name!r}: there are {', '.join(SETTINGS)}")
    value = SETTINGS[name].read(text)
    if value is None:
        raise BadValue(f"{name} is {SETTINGS[name].expected}, not {text!r}")
    return value
