"""The life of agents and of the hosts that they tell of."""

from __future__ import annotations

from commands import payload
from commands.catalogue.model import Ask, Decide, Process
from commands.catalogue.processes.common import lifecycle
from commands.logic import accounts, discovery
from commands.resource import Resource
from commands.world import World


def itself(world: World, agent: Resource) -> int | None:
    return agent.id


PING = Ask(
    "ping", itself, payload.ping, seconds=30.0, tries=0, no_undo="it asks, and changes nothing", misread=discovery.wrong_inventory,
)  # fmt: skip

AGENT = [
    *lifecycle(
        "agent",
        create=(Decide(accounts.give_account),),
        activate=(PING, Decide(discovery.take_inventory)),
        deactivates=("reconnecting",),
    ),
    Process(
        "agent.reconnect", "agent", ("active", "activating"), "reconnecting", "active",
        handlers=(PING, Decide(discovery.take_inventory)),
    ),
]

PROCESSES: list[Process] = [
    *AGENT,
    *lifecycle("agentGroup", by_default=False),
    *lifecycle("host"),
    *lifecycle("physicalHost"),
]
