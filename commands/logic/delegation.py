"""Commands to agents that live in an instance: wrapped for the agent of the host where it runs, and its answers unwrapped.

    command -> {name: delegate.request, data: {instanceData, event: command}} -> host's agent -> {data: the answer}
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from agents.wire import BadMessage, Message
from commands.logic.agent_instances import is_delegate, place_of
from commands.turns.fleet import Fleet
from commands.turns.world import World

NAME = "delegate.request"


@dataclass(frozen=True, slots=True)
class Delegated:
    """A command whose agent is reached through another. Which one is looked up whenever it is sent: its instance may move."""

    world: World
    agent: int
    inner: Message

    def through(self) -> tuple[int, Message] | None:
        """-> the agent to send to, and what; None while the instance is on no host yet."""
        agent = self.world.fleet.get("agent", self.agent)
        place = place_of(self.world, agent) if agent is not None else None
        if place is None:
            return None
        number, instance = place
        data = {"instanceData": instance, "event": self.inner.document()}
        return number, replace(self.inner, name=NAME, data=data)


def answerer(world: World, agent: int) -> int:
    """The agent that answers for this one: itself, or that of its host, where a delegate has one."""
    found = world.fleet.get("agent", agent)
    place = place_of(world, found) if found is not None and is_delegate(found) else None
    return place[0] if place is not None else agent


def is_delegated(fleet: Fleet, agent: int) -> bool:
    found = fleet.get("agent", agent)
    return found is not None and is_delegate(found)


def unwrapped(answer: Message) -> Message:
    """The inner answer; the outer one where it tells of progress or an error of its own."""
    if answer.transitioning in ("yes", "error") or (answer.context or {}).get("stale"):
        return answer
    try:
        return Message.read(answer.data)
    except BadMessage as error:
        why = f"the answer to {NAME} holds no answer: {error}"
        return replace(answer, transitioning="error", transitioningMessage=why, data={})
