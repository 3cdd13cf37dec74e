"""Reading a command from what NATS delivered; what is wrong with it becomes an error reply, where anybody can be told."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from agents.jsons import loads
from agents.wire import Message, command_subject

MOST_EPOCH = 2**63 - 1
"""What a position of the log can be."""

_SUBJECT = re.compile(r"[^\s*>.]+(\.[^\s*>.]+)*")


class BadCommand(ValueError):
    """It is no command. `reply` says so to whoever sent it; its name is empty where nobody can be told."""

    def __init__(self, message: str, reply: Message) -> None:
        super().__init__(message)
        self.reply = reply


def read_command(agent: int, subject: str, nats_reply: str, payload: bytes) -> Message:
    """The command, with a replyTo that can be published to (or none). Raises BadCommand.

    A client of NATS itself may leave out id, name and replyTo: the subject names the command, its inbox gets the reply.
    """
    named = subject.removeprefix(command_subject(agent, ""))
    try:
        message = Message.decode(payload)
    except ValueError as error:
        raise _bad(f"the message on {subject} is no command: {error}", _loosely(payload), nats_reply) from None
    known = message.document()
    name = message.name.partition(";")[0]
    if name and name != named:
        raise _bad(f"the message on {subject} names another command, {name!r}", known, nats_reply)
    try:
        epoch = message.epoch
    except (TypeError, ValueError):
        epoch = -1
    if not 0 <= epoch <= MOST_EPOCH:
        raise _bad(f"context.epoch of {named} is no whole number: {(message.context or {}).get('epoch')!r}", known, nats_reply)
    if not message.id:
        raise _bad(f"the command {named} has an empty id", known, nats_reply)
    reply_to = message.replyTo or nats_reply or None
    if reply_to is not None and not _SUBJECT.fullmatch(reply_to):
        raise _bad(f"replyTo of {named} is no subject that can be published to: {reply_to!r}", known, nats_reply)
    return replace(message, name=named, replyTo=reply_to)


def _bad(said: str, known: dict[str, Any], nats_reply: str) -> BadCommand:
    reply_to = known.get("replyTo")
    subject = reply_to if isinstance(reply_to, str) and _SUBJECT.fullmatch(reply_to) else nats_reply
    id_, name = known.get("id"), known.get("name")
    reply = Message(
        name=subject or "",
        previousIds=[id_] if isinstance(id_, str) else None,
        previousNames=[name] if isinstance(name, str) else None,
        transitioning="error",
        transitioningMessage=said,
    )
    return BadCommand(said, reply)


def _loosely(payload: bytes) -> dict[str, Any]:
    try:
        value = loads(payload)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
