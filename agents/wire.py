"""Subjects and messages: the one language between the engine, agents, handlers and anybody who watches.

A message is Cattle's event document, so that one payload serves NATS and the HTTP publish/subscribe of old agents.
"""

from __future__ import annotations

import time
import uuid
import zlib
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from agents.jsons import dumps, loads
from agents.shapes import BadMessage as BadMessage
from agents.shapes import document_of, read_fields, types_of

PARTITIONS = 16
"""How many parts the engines' work is split into: enough for as many engines as one log can feed (docs/operating.md).

Part of the reply subjects and of the log's open work: changing it needs every engine stopped, and that work's partitions made anew.
"""


Outcome = Literal["no", "yes", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of Cattle's form. Null keys are present on the wire; unknown keys are ignored.

    `context` is the free trace map; Corral's own keys in it: `epoch` (int, of a command: the log position of its request), `cloud` (str, of
    a command: the uuid of the cloud that gives it), `warning` (str, of a ping: what the agent's people must know), `correlation` (str),
    `stream` (str, the stream whose process asks), and in a reply `stale` (true: a newer epoch is known, nothing was done).
    """

    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    name: str = ""
    replyTo: str | None = None
    resourceType: str | None = None
    resourceId: str | None = None
    data: dict[str, Any] = field(default_factory=dict)
    time: int = field(default_factory=lambda: int(time.time() * 1000))
    previousIds: list[str] | None = None
    previousNames: list[str] | None = None
    publisher: str | None = None
    transitioning: Outcome | None = None
    transitioningMessage: str | None = None
    transitioningInternalMessage: str | None = None
    transitioningProgress: int | None = None
    timeoutMillis: int | None = None
    context: dict[str, Any] | None = None

    def document(self) -> dict[str, Any]:
        return document_of(self)

    def encode(self) -> bytes:
        return dumps(self.document())

    @classmethod
    def read(cls, document: Any) -> Self:
        """Raises BadMessage."""
        return cls(**read_fields(document, types_of(cls)))

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Raises ValueError, with what is wrong, for anything that is not a message."""
        return cls.read(loads(payload))

    @property
    def epoch(self) -> int:
        return int((self.context or {}).get("epoch", 0))

    @property
    def cloud(self) -> str | None:
        given = (self.context or {}).get("cloud")
        return given if isinstance(given, str) and given else None

    def reply(
        self,
        data: dict[str, Any] | None = None,
        *,
        transitioning: Outcome | None = None,
        message: str | None = None,
        internal: str | None = None,
        progress: int | None = None,
        stale: bool = False,
    ) -> Message:
        """The answer to this message, ready to publish on its replyTo."""
        context = dict(self.context or {})
        if stale:
            context["stale"] = True
        return Message(
            name=self.replyTo or "",
            previousIds=[self.id],
            previousNames=[self.name],
            resourceType=self.resourceType,
            resourceId=self.resourceId,
            data=data or {},
            transitioning=transitioning,
            transitioningMessage=message,
            transitioningInternalMessage=internal,
            transitioningProgress=progress,
            context=context,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerAnswer(Message):
    """What an external handler answers with: an event, or just its parts that matter, or the result alone. The subject that it comes
    on says which request it is for."""

    passes: bool = False
    """No result, or one that says `continue`: those after this handler run, too."""

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """{"data": {...}}, {"transitioning": "error", "transitioningMessage": "why"}, {"+data": {...}}, nothing. Raises ValueError."""
        body = loads(payload) if payload.strip() else {"data": None}
        if not isinstance(body, dict):
            raise ValueError("an answer is a JSON object")
        event = body if body.keys() & ANSWER_KEYS else {"data": body}
        data = event.get("data")
        if data is not None and not isinstance(data, dict):
            raise ValueError("an answer's data is a map, or null")
        passes = data is None or data.get("continue") is True
        told = {key: value for key, value in event.items() if key in ANSWER_KEYS and value is not None}
        return cls.read({**told, "data": data or {}, "passes": passes})


ANSWER_KEYS = frozenset(
    {"data", "transitioning", "transitioningMessage", "transitioningInternalMessage", "transitioningProgress", "previousIds"}
)
"""What is read of an answer, and tells an event from a bare result."""


UNDERLAY = "underlay"
"""In the data of a host, as its agent tells it: the address at which the other hosts find it."""

SPANNING = "network"
"""The kind of networks that span hosts; those of another kind (a host-only one, say) stay with the engine's own bridge."""

TRANSPORT = "transport"
"""In the data of a network, and in what agents are told of its segments: how packets get from host to host."""
ROUTES = "routes"
TRANSPORTS = ("vxlan", ROUTES)

NETWORK_APPLY = "network.apply"
"""Tells an agent all that its host has to know of networks (agents.network, commands.watching.networks). Nothing but its answer and the
next heartbeat says that it has it."""


LAST_TIME = 253_402_300_799_000
"""Milliseconds: the end of the year 9999, after which there is no date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """A heartbeat, about every `SECONDS`: the agent lives, and what runs there. Never an event of the log."""

    agent: int
    uuid: str
    time: int = field(default_factory=lambda: int(time.time() * 1000))
    """Milliseconds, up to `LAST_TIME`."""
    instances: dict[str, str] = field(default_factory=dict)
    """uuid -> state ("running", "stopped") of the instances this agent holds."""
    trouble: str | None = None
    """Why `instances` can't be relied on just now (the engine does not answer): it is then what was last seen. Absence proves nothing."""

    networks: str | None = None
    """The version of what it was last told of networks, "" for nothing; None: it takes part in none."""

    leaving: bool = False
    """It was told to stop: it answers nothing from now on."""

    def encode(self) -> bytes:
        return dumps(document_of(self))

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Raises ValueError, with what is wrong, for anything that is not a heartbeat."""
        presence = cls(**read_fields(loads(payload), types_of(cls), needed=("agent", "uuid")))
        if not 0 <= presence.time <= LAST_TIME:
            raise BadMessage(f"time: {presence.time} is no time in milliseconds")
        return presence


PRESENCE_SECONDS = 5.0


def token(text: str) -> str:
    """One subject token: what NATS would read as a separator or a wildcard is escaped (as %XX)."""
    return "".join(c if c.isalnum() or c in "-_" else f"%{ord(c):02X}" for c in text)


def partition_of(root: str) -> int:
    return zlib.crc32(root.encode()) % PARTITIONS


def command_subject(agent: int, name: str) -> str:
    """corral.agent.a7.compute.instance.activate"""
    return f"corral.agent.a{agent}.{name}"


def agent_commands(agent: int) -> str:
    """What an agent subscribes to."""
    return f"corral.agent.a{agent}.>"


def reply_subject(partition: int, agent: int, command_id: str) -> str:
    """corral.reply.3.a7.<command id>"""
    return f"corral.reply.{partition}.a{agent}.{command_id}"


def replied_to(subject: str) -> str:
    """corral.reply.3.a7.<command id> -> <command id>"""
    return subject.rpartition(".")[2]


def replies(partition: int) -> str:
    """What the engine that holds a partition subscribes to."""
    return f"corral.reply.{partition}.>"


def gateway_reply_subject(gateway: str, agent: int, question: str) -> str:
    """corral.reply.gateway-3f2a.a7.<question id>: of what somebody at a gateway waits for"""
    return f"corral.reply.gateway-{gateway}.a{agent}.{question}"


def gateway_replies(gateway: str) -> str:
    """What a gateway that asks subscribes to."""
    return f"corral.reply.gateway-{gateway}.>"


HANDLERS_REPLIES = "handler-"
"""How the replies' subjects tell handlers from agents."""


def handler_subject(event: str) -> str:
    """pre.instance.start;handler=demo -> corral.handler.demo.pre.instance.start"""
    process, _, handler = event.partition(";handler=")
    return ".".join(("corral.handler", token(handler), *map(token, process.split("."))))


def handler_reply_subject(partition: int, event: str, request_id: str) -> str:
    """corral.reply.3.handler-demo.<request id>"""
    return f"corral.reply.{partition}.{HANDLERS_REPLIES}{token(event.partition(';handler=')[2])}.{request_id}"


def handler_requests(name: str) -> str:
    """What an external handler subscribes to."""
    return f"corral.handler.{token(name)}.>"


def presence_subject(agent: int) -> str:
    return f"corral.presence.a{agent}"


def said_by_agent(agent: int) -> tuple[str, ...]:
    """Where it publishes, and nowhere else: where NATS asks for keys, it holds each agent to them."""
    return (f"corral.reply.*.a{agent}.>", presence_subject(agent))


def said_by_handler(name: str) -> tuple[str, ...]:
    return (f"corral.reply.*.{HANDLERS_REPLIES}{token(name)}.>",)


ALL_PRESENCE = "corral.presence.*"


def event_subject(stream: str, event: str) -> str:
    """corral.event.instance.54.process-started"""
    kind, _, number = stream.rpartition("-")
    return f"corral.event.{token(kind)}.{token(number)}.{token(event)}"
