"""Names of events as Cattle's scripts know them, and the NATS subjects behind them. Pure.

    compute.instance.activate;agent=7    corral.agent.a7.compute.instance.activate
    pre.instance.start;handler=demo      corral.handler.demo.pre.instance.start
    ping.reply                           corral.reply.>, by what the answers say of themselves
    reply.3.a7.<id>.<stream>             corral.reply.3.a7.<id>: where an answer goes
    anything else                        corral.published.<name>: what somebody publishes over HTTP

`*` in a name that is wanted stands for any text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from agents.wire import HANDLERS_REPLIES, token

ALL_AGENTS = "corral.agent.>"
ALL_HANDLERS = "corral.handler.>"
ALL_REPLIES = "corral.reply.>"
ALL_PUBLISHED = "corral.published.>"

CHANGES = ("resource.change", "state.change")
"""What is told off the log (gateway.bus.changes): it needs no NATS."""

CHARACTERS = re.compile(r"[A-Za-z0-9*._\-;=]+")
LONGEST = 255

REPLY, DONE = "reply.", ".reply"
PRESENCE = "presence"

_ANSWER = re.compile(rf"reply\.(\d{{1,3}}|{PRESENCE})\.(a\d{{1,18}}|{HANDLERS_REPLIES}[^.]+)\.([A-Za-z0-9-]+)(?:\.([A-Za-z]+-\d{{1,18}}))?")


@dataclass(frozen=True, slots=True)
class AnswerName:
    """What the name of an answer says: whose it is, and to which command."""

    partition: str
    who: str
    ask: str
    stream: str = ""
    """Whose process asked."""

    @property
    def agent(self) -> int | None:
        return int(self.who[1:]) if self.who.startswith("a") else None

    @property
    def of_heartbeat(self) -> bool:
        return self.partition == PRESENCE

    @property
    def subject(self) -> str:
        return f"corral.reply.{self.partition}.{self.who}.{self.ask}"


def answer_name(subject: str, stream: str) -> str:
    """The replyTo of a command, as HTTP clients get it: it also says what the answer is about."""
    name = subject.removeprefix("corral.")
    return f"{name}.{stream}" if stream else name


def heartbeat_name(agent: int, ping: str) -> str:
    return f"{REPLY}{PRESENCE}.a{agent}.{ping}"


def read_answer_name(name: str) -> AnswerName | None:
    """None: it is no answer to what Corral asks."""
    found = _ANSWER.fullmatch(name)
    return AnswerName(found[1], found[2], found[3], found[4] or "") if found else None


def plain(name: str) -> str:
    """Without its qualifier: ping;agent=5 -> ping"""
    return name.partition(";")[0]


def published_subject(name: str) -> str:
    return "corral.published." + ".".join(token(part) or "%" for part in name.split("."))


def subjects(wanted: str) -> frozenset[str]:
    """The NATS subjects on which events of a wanted name may come, beside those that are published."""
    name, separator, qualifier = wanted.rpartition(";")
    kind, _, value = qualifier.partition("=")
    if separator and "*" not in qualifier:
        if kind == "agent":
            return frozenset({f"corral.agent.a{value}.>"} if value.isascii() and value.isdigit() else ())
        return frozenset({f"corral.handler.{token(value)}.>"} if kind == "handler" and value else ())
    if "*" not in wanted:
        return frozenset({ALL_REPLIES} if wanted.endswith(DONE) and name == "" else ())
    tail = wanted.rpartition("*")[2]
    found = {ALL_HANDLERS}  # a handler may be called anything
    if re.fullmatch(r"[;agent]*=?\d*", tail):
        found.add(ALL_AGENTS)
    if tail.endswith(DONE) or DONE.endswith(tail):
        found.add(ALL_REPLIES)
    return frozenset(found)


def narrowed(wanted: frozenset[str]) -> frozenset[str]:
    """Without the subjects that are part of others: what is heard on two ways comes twice."""
    return frozenset(each for each in wanted if not any(each != other and each.startswith(other[:-1]) for other in wanted))


def agent_of(subject: str) -> int | None:
    """The agent of corral.agent.a7.>"""
    found = re.fullmatch(r"corral\.agent\.a(\d+)\.>", subject)
    return int(found[1]) if found else None


def agents_event(subject: str) -> str:
    """corral.agent.a7.ping -> ping;agent=7"""
    _, _, agent, name = subject.split(".", 3)
    return f"{name};agent={agent.removeprefix('a')}"


def may_be(wanted: str, name: str) -> bool:
    """Whether a wanted name may stand for this one, or for it with a qualifier."""
    return matches(wanted, name) or matches(plain(wanted), name)


def matches(wanted: str, name: str) -> bool:
    """`*` is any text. In one pass: many stars cost no more than one."""
    first, *others = wanted.split("*")
    if not others:
        return wanted == name
    *middle, last = others
    if not name.startswith(first) or len(name) < len(first) + len(last) or not name.endswith(last):
        return False
    at, end = len(first), len(name) - len(last)
    for part in middle:
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return at <= end
