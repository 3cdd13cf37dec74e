"""What operators can change about orchestration: Cattle's setting names and defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEFAULTS: dict[str, Any] = {
    "agent.config.items": "pyagent,configscripts",
    "agent.instance.image.uuid": "docker:cattle/agent-instance:latest",
    "ipsec.psk.byte.length": 48,
    "instance.link.target.wait.time.millis": 15000,
    "mac.prefix.start": "02:00:01",
    "mac.prefix.end": "02:ff:ff",
    "mac.unassigned.prefix": "04",
    "instance.compute.default": 1,
    "simple.allocator.spread": True,
    "object.remove.time.delay.seconds": 60,
    "process.account.create.create.credential": True,
    "process.account.create.create.credential.default.kind": "apiKey",
    "process.agent.create.create.account": True,
    "api.instance.require.image": True,
    "sample.setup": False,  # Cattle ships it true; its managed-docker0 wants agent instances, whose configuration Corral does not serve yet
    # Corral's own, from here on: what is done at the same time. What is beyond waits, first come first served.
    "engine.processes": 1000,  # resources with something under way; not while waiting for people or for its place at an agent
    "engine.turns": 64,  # decisions of an engine on their way into the log
    "agent.commands.in.flight": 32,  # commands to one agent that wait for its answer
    "agent.silence.seconds": 0,  # at most so long is an answer waited for until people are told; 0: as each command says
    "snapshot.every.events": 200,
    "idempotency.keys.days": 7,  # for so long is a command with an Idempotency-Key known; 0: for ever
}

LEAST = {"engine.processes": 1, "engine.turns": 1, "agent.commands.in.flight": 1, "agent.silence.seconds": 0}
"""Below these a cloud would stand still."""


class BadValue(Exception):
    """No such setting, or no value for it; the message says which there are, or what it takes."""


def changed(given: Mapping[str, str]) -> dict[str, Any]:
    """The defaults with these in their place, each read as what its default is. Raises BadValue."""
    return {**DEFAULTS, **{name: _value(name, text) for name, text in given.items()}}


def _value(name: str, text: str) -> Any:
    if name not in DEFAULTS:
        raise BadValue(f"there is no setting {name!r}: there are {', '.join(DEFAULTS)}")
    default = DEFAULTS[name]
    if isinstance(default, bool):
        if text.lower() not in ("true", "false"):
            raise BadValue(f"{name} is true or false, not {text!r}")
        return text.lower() == "true"
    if not isinstance(default, int):
        return text
    least = LEAST.get(name, 0)
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise BadValue(f"{name} is a number from {least} on, not {text!r}")
    return int(text)
