"""The life of agents and of the hosts that they tell of."""

from __future__ import annotations

from commands.catalogue.model import PRIORITIES, Ask, Await, Decide, Logic, Process
from commands.catalogue.processes.common import Phases, lifecycle
from commands.logic import accounts, config_items, discovery, payload
from commands.resource import Resource
from commands.turns import dead
from commands.turns.world import World


def itself(world: World, agent: Resource) -> int | None:
    return agent.id


PING = Ask(
    "ping", itself, payload.ping, seconds=30.0, tries=0, no_undo="it asks, and changes nothing", misread=discovery.wrong_inventory,
)  # fmt: skip

ACTIVATE = Logic("AgentActivate", (PING, Decide(discovery.take_inventory)), PRIORITIES["default"])

UPDATE = Ask(
    config_items.COMMAND, config_items.whom_to_ask, config_items.update, seconds=30.0, tries=0, misread=config_items.unapplied,
    no_undo="the agent keeps what it has applied",
)  # fmt: skip

SCRIPTS = Logic("AgentScriptsApply", (Decide(config_items.of_managed), UPDATE, Await(config_items.acknowledged)))

AGENT = [
    *lifecycle(
        "agent",
        create=(Decide(accounts.give_account),),
        activate=Phases(pre=(SCRIPTS,), handlers=(ACTIVATE,)),
        deactivates=("reconnecting",),
    ),
    Process("agent.reconnect", "agent", ("active", "activating"), "reconnecting", "active", pre=(SCRIPTS,), handlers=(ACTIVATE,)),
]

PROCESSES: list[Process] = [
    *AGENT,
    *lifecycle("agentGroup", by_default=False),
    *lifecycle("host", activate=(Decide(dead.revive),)),
    *lifecycle("physicalHost"),
]
