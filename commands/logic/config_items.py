"""Which files an agent is to be configured with: a row (configItemStatus) for each item that is demanded of it, made once.

    demanded -> config.update -> the agent fetches it (gateway.joining.content), applies it, and says so: the row -> acknowledged

A row tells what is requested and what was applied, by number and by a hash of the files. A managed agent becomes active when it has
applied what it is made of; what is demanded or changes later is told to it by commands.config.sync, and nobody waits for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from commands import events
from commands.catalogue.fields import date_text
from commands.resource import Json, Resource
from commands.turns.turn import Turn
from commands.turns.world import World

ROW = "configItemStatus"

BASE = ("configscripts", "services", "agent-instance-scripts", "monit", "node-services", "agent-instance-startup")
"""Of every agent that lives in an instance."""

OF_SERVICE = {
    "dnsService": ("dnsmasq", "hosts"),
    "dhcpService": ("dnsmasq", "hosts"),
    "linkService": ("iptables",),
    "ipsecTunnelService": ("ipsec", "ipsec-hosts"),
    "metadataService": ("metadata",),
}
"""What a service of a network wants of the agents that live in its provider's instances."""

OF_HOST = {"portService": ("host-iptables", "host-routes"), "hostNatGatewayService": ("host-iptables", "host-routes")}
"""What it wants of the agent of each host where an instance of the network runs."""

MANAGED = "agent.config.items"

CONFIG_URL = "cattle.config.url"

NOTED = "config"
"""In an agent's data: {url, items}, what it is asked to fetch from where while it becomes active."""

COMMAND = "config.update"

ASK_AGAIN = 15.0
"""Seconds after which an agent that has answered, but not said that it has applied what it is to, is asked again."""

LOOK = 0.5
"""Seconds between two looks at what it has said: that may be known a moment after its answer."""


# --- the steps of agent.activate and agent.reconnect ---


def of_managed(turn: Turn, agent: Resource) -> None:
    """What an agent is made of that is configured from here is demanded of it."""
    if not agent.row.get("managedConfig"):
        return
    names = [name.strip() for name in str(turn.settings[MANAGED]).split(",")]
    demand(turn, agent, names)
    noted = {"url": turn.settings[CONFIG_URL], "items": names}
    if agent.data.get(NOTED) != noted:
        turn.merge(agent.stream, {"+data": {NOTED: noted}})


def whom_to_ask(world: World, agent: Resource) -> int | None:
    """The agent, where it is behind."""
    return agent.id if _behind(world, agent) else None


def update(world: World, agent: Resource) -> Json:
    """What config.update carries."""
    return asked_for(_behind(world, agent), (_noted(agent) or {}).get("url") or world.url)


def asked_for(rows: Iterable[Resource], url: str) -> Json:
    """config.update for these rows. `url`: of the API; "": that by which the agent knows the server."""
    items = [
        {"name": each.row["name"], "requestedVersion": each.row.get("requestedVersion"), **_HOW}
        for each in sorted(rows, key=lambda each: str(each.row.get("name")))
    ]
    return {"configUrl": url or None, "items": items}


_HOW = {"apply": True, "increment": False, "checkInSyncOnly": False}


def unapplied(reply: Json) -> str | None:
    """Why the answer to config.update says that it was not carried out; None: it does not say so."""
    code = reply.get("exitCode")
    return f"the agent could not apply it: exit code {code}, {str(reply.get('output') or '')[-500:]!r}" if code else None


def acknowledged(turn: Turn, agent: Resource) -> bool:
    """Whether the agent has said of each item that it has applied it, which it does apart from its answer."""
    bracket = agent.open["state"]
    asked = bracket.asked.get(COMMAND)
    behind = _behind(turn, agent)
    if not behind or asked is None:
        return True
    due = (asked.at or turn.now) + timedelta(seconds=ASK_AGAIN)
    if due > turn.now:
        turn.wake(min(due, turn.after(LOOK)))
        return False
    again = {"pid": bracket.pid, "command": COMMAND, "id": turn.new_id(), "agent": agent.id, "try": asked.tries + 1}
    if bracket.parked is None:
        names = ", ".join(str(each.row["name"]) for each in behind)
        reason = (
            f"agent {agent.id} has answered {COMMAND}, but not said that it has applied {names} "
            f"(PUT /v1/configcontent/<item>?version=). It is asked again every {ASK_AGAIN:.0f} s"
        )
        turn.emit(agent.stream, events.PROCESS_PARKED, {"pid": bracket.pid, "id": asked.id, "reason": reason})
    turn.emit(agent.stream, events.STEP_REQUESTED, again)
    return False


def _behind(world: World, agent: Resource) -> list[Resource]:
    """The rows of what it is asked to fetch while it becomes active that it has not applied as requested."""
    names = (_noted(agent) or {}).get("items") or ()
    return [each for each in rows_of(world, agent) if each.row.get("name") in names and is_behind(each)]


def is_behind(row: Resource) -> bool:
    return (row.row.get("appliedVersion") or 0) < (row.row.get("requestedVersion") or 0)


def rows_of(world: World, agent: Resource) -> list[Resource]:
    return world.having(ROW, "agentId", agent.id)


def _noted(agent: Resource) -> Json | None:
    return agent.data.get(NOTED)


# --- what others demand of agents: nobody waits for it ---


def of_provider(turn: Turn, agent: Resource, provider: int) -> None:
    """Of an agent that lives in an instance of a provider: what that one's services want."""
    services = [each.kind for each in turn.having("networkService", "networkServiceProviderId", provider) if each.state == "active"]
    demand(turn, agent, (*BASE, *(name for kind in services for name in OF_SERVICE.get(kind, ()))))


def of_host(turn: Turn, each: Resource) -> None:
    """instanceHostMap.activate: of the host's agent, where the instance's networks have their ports or addresses translated."""
    host = turn.get("host", each.row.get("hostId"))
    agent = turn.get("agent", host.row.get("agentId")) if host is not None else None
    wanted = [name for kind in _services(turn, each.row.get("instanceId") or 0) for name in OF_HOST.get(kind, ())]
    if agent is not None and wanted:
        demand(turn, agent, wanted)


def _services(world: World, instance: int) -> list[str]:
    networks = (each.row.get("networkId") for each in world.children("nic", "instanceId", instance))
    services = (each for number in networks if number is not None for each in world.having("networkService", "networkId", number))
    return [each.kind for each in services if each.state == "active"]


def demand(turn: Turn, agent: Resource, items: Iterable[str]) -> None:
    """A row for each that has none."""
    has = {each.row.get("name") for each in rows_of(turn, agent)}
    for name in dict.fromkeys(items):
        if name and name not in has:
            row = {"name": name, "agentId": agent.id, "requestedVersion": 1, "requestedUpdated": date_text(turn.now), "appliedVersion": 0}
            turn.create(ROW, row)
