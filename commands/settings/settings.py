"""What operators can change about orchestration: Cattle's setting names and defaults, and what each may be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from commands.catalogue.tasks import TASKS

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

_HOST = r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?"
_URL = r"https?://[!-&(-~]+"  # without a quote, as shells read it
_PATH = r"/([^/\s\"'<>\\][^\s\"'<>\\]*)?"  # and no other host's, as //host is
_PLACE = rf"(https?://[A-Za-z0-9.:_-]+)?{_PATH}"

SETTINGS: dict[str, Setting] = {
    "agent.config.items": Text(
        "pyagent,configscripts", r"[A-Za-z0-9._-]+( *, *[A-Za-z0-9._-]+)*", "names of config items with commas between them",
    ),
    "agent.image": Text("python:3.13-slim", r"[A-Za-z0-9][A-Za-z0-9._/:@-]*", "a Docker image's name"),
    # The URL under which machines that join reach the API, http://server:8080/v1; none: that of the request.
    "agent.instance.register.url": Text("", rf"|{_URL}", "the API's URL, such as http://server:8080/v1"),
    "ssh.bootstrap.destination": Text(
        ".corral/ssh/bootstrap.sh", r"[A-Za-z0-9._/-]*[A-Za-z0-9._-]", "a path, from the home of who is logged in",
    ),
    "ssh.agent.env": Text("", r"|[A-Za-z_][A-Za-z0-9_]*=\S*( +[A-Za-z_][A-Za-z0-9_]*=\S*)*", "NAME=value, with spaces between several"),
    "ssh.tunnel": YesNo(True),
    "agent.instance.image.uuid": Text(
        "docker:cattle/agent-instance:latest", r"(docker|sim):[^\s:/@]\S*", "an image's uuid, such as docker:NAME:TAG",
    ),
    # The API's URL as agents fetch their configuration from it; none: that of the server, as far as it is known.
    "cattle.config.url": Text("", rf"|{_URL}", "the API's URL, such as http://server:8080/v1"),
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
    "api.security.enabled": YesNo(False),  # a server that listens on more than loopback has it true unless it is given
    "api.metrics.open": YesNo(False),
    "api.auth.header.enabled": YesNo(False),
    "api.allow.client.override": YesNo(False),
    # Names under which the API is reached, beside addresses and localhost: without keys it answers to no others.
    "api.host.names": Text("", rf"|{_HOST}( *, *{_HOST})*", "host names with commas between them, such as corral.example"),
    # What HTML pages load: a script of another's shows them its own way. None: Corral's.
    "api.ui.js.url": Text("", rf"|{_PLACE}", "a script's URL, or its path on this server"),
    "api.ui.css.url": Text("", rf"|{_PLACE}", "a style sheet's URL, or its path on this server"),
    # The page that shows a virtual machine's screen; ${url}, ${host}, ${port}, ${path} and ${password} are filled in. None: no such link.
    "console.url.format.websocket-vnc": Text("", r"|https?://[!-~]+|/[!-~]*", "a page's URL, or its path on this server"),
    "api.redirect.to.ui": YesNo(False),
    "api.redirect.ui.path": Text("/static/", _PATH, "a path on this server, such as /static/"),
    "api.show.removed.for.seconds": Number(300, 0, TEN_YEARS),
    "account.by.key.credential.types": Text(
        "agentApiKey,apiKey,usernamePassword", r"[A-Za-z]+( *, *[A-Za-z]+)*", "kinds of credentials with commas between them",
    ),
    "account.type.agent.plain.id": YesNo(True),
    "registration.token.period.millis": Number(365 * 24 * 3_600_000, 3_600_000, 1000 * TEN_YEARS),
    "api.sub.ping.interval.millis": Number(5000, 100, 24 * 3_600_000),
    "task.resource.change.publish.schedule": Number(1, 1, 3600),  # seconds
    # Cattle ships it true; its managed-docker0 wants agent instances, for whose services Corral ships no config items yet.
    "sample.setup": YesNo(False),
    # Corral's own, from here on: what is done at the same time. What is beyond waits, first come first served. With none a cloud would
    # stand still.
    # Resources with something under way; not while waiting for people or for its place at an agent.
    "engine.processes": Number(1000, 1, 1_000_000),
    "engine.turns": Number(64, 1, 10_000),  # decisions of an engine on their way into the log
    "agent.commands.in.flight": Number(32, 1, 10_000),  # commands to one agent that wait for its answer
    # At most so long is an answer waited for until people are told; 0: as each command says.
    "agent.silence.seconds": Number(0, 0, TEN_YEARS),
    **{task.schedule: Number(task.every, 0, TEN_YEARS) for task in TASKS},  # seconds; 0: on no schedule
    "task.initial.delay.seconds": Number(15, 0, TEN_YEARS),
    "agent.ping.reconnect.after.failed.count": Number(6, 1, 1_000_000),  # heartbeats, five seconds apart
    "agent.disconnected.after.seconds": Number(60, 1, TEN_YEARS),  # of silence while it is asked whether it is there
    "agent.ping.resources.every": Number(12, 0, 1_000_000),  # of these; 0: when they become active
    # What a host has of this cloud that the log does not know, or has removed, is removed there.
    "host.strays.remove": YesNo(False),
    "snapshot.every.events": Number(200, 0, 1_000_000),  # 0: none are written
    "api.requests.per.second": Number(1000, 0, 1_000_000),  # with one key, to one gateway; five times that at once; 0: as many as come
    "api.failed.logins.per.minute": Number(60, 0, 1_000_000),  # from one address, to one gateway; 0: as many as come
    "idempotency.keys.days": Number(7, 0, 3650),  # for so long is a command with an Idempotency-Key known; 0: for ever
}

THROTTLES = ("engine.processes", "engine.turns", "agent.commands.in.flight", "agent.silence.seconds")
"""What each engine tells to have in force (vitals)."""

FAMILIES: dict[str, Setting] = {
    r"object\.[a-z]+\.remove\.time\.delay\.seconds": Number(60, 0, TEN_YEARS),
}
"""Settings of which there may be one for each type: the pattern of their names. They have no value unless somebody gives them one."""

AT_THE_START = {"sample.setup": "sample networks are made by a server that starts, and never taken away"}
"""What can't change while servers run, with the reason: whoever starts next goes by it."""

SECRET_WORDS = frozenset({"password", "passwd", "secret", "token", "key", "psk"})
"""A setting whose name ends in one of these is a secret, whoever invented it."""

DEFAULTS: dict[str, Any] = {name: each.default for name, each in SETTINGS.items()}

ORDERED = (("mac.prefix.start", "mac.prefix.end"),)
"""The first is not above the second."""


class BadValue(Exception):
    """No such setting, or no value for it; the message says which there are, or what it takes."""

    def __init__(self, message: str, code: str = "InvalidFormat") -> None:
        super().__init__(message)
        self.code = code
        """The API's."""


def definition(name: str) -> Setting | None:
    """What is known of a setting. None: it is none of Corral's."""
    return SETTINGS.get(name) or next((each for pattern, each in FAMILIES.items() if re.fullmatch(pattern, name)), None)


def is_secret(name: str) -> bool:
    return name.lower().rpartition(".")[2] in SECRET_WORDS


def read_value(name: str, text: str) -> Any:
    """The text as what the setting is; that of a setting that is none of Corral's is text. Raises BadValue."""
    known = definition(name)
    if known is None:
        return text
    value = known.read(text)
    if value is None:
        raise BadValue(f"{name} is {known.expected}, not {text!r}", _code(known, text))
    return value


def changed(given: Mapping[str, str]) -> dict[str, Any]:
    """The defaults with these in their place, each read as what its default is. Raises BadValue."""
    check_known(given)
    chosen = {**DEFAULTS, **{name: read_value(name, text) for name, text in given.items()}}
    check_order(chosen)
    return chosen


def check_known(names: Iterable[str]) -> None:
    """For what is typed: a misspelt name would be ignored in silence otherwise. Raises BadValue."""
    for name in names:
        if definition(name) is None:
            raise BadValue(f"there is no setting {name!r}: there are {', '.join(SETTINGS)}")


def check_order(values: Mapping[str, Any]) -> None:
    """Raises BadValue."""
    if pair := disordered(values):
        first, last = pair
        raise BadValue(f"{first} is {values[first]!r}, which is above {last}, {values[last]!r}: set both")


def disordered(values: Mapping[str, Any]) -> tuple[str, str] | None:
    """Two settings of which the first is above the second, and must not be."""
    return next(((first, last) for first, last in ORDERED if values[first].lower() > values[last].lower()), None)


def shown(value: Any) -> str:
    """A value as it is written."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _code(known: Setting, text: str) -> str:
    """Why it is none, as the API says it."""
    match known:
        case YesNo():
            return "InvalidOption"
        case Number(least=least) if re.fullmatch(r"-?[0-9]+", text):
            return "MinLimitExceeded" if text.startswith("-") or int(text[:20]) < least else "MaxLimitExceeded"
    return "InvalidFormat"
