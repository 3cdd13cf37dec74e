"""Which files an agent is to be configured with: a row (configItemStatus) for each item that is demanded of it, made once.

A row tells what is asked for and what was applied. The items themselves are not served yet, so nothing waits for one.
"""

from __future__ import annotations

from collections.abc import Iterable

from commands.catalogue.fields import date_text
from commands.resource import Json, Resource
from commands.turn import Turn
from commands.world import World

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

DEMANDED = "configItems"
"""In an agent's data: item -> the number of its row."""


def of_managed(turn: Turn, agent: Resource) -> None:
    """agent.activate and agent.reconnect: what an agent is made of that is configured from here."""
    if agent.row.get("managedConfig"):
        demand(turn, agent, (name.strip() for name in str(turn.settings[MANAGED]).split(",")))


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
    agent = turn.resources.get(agent.stream, agent)
    has = (agent.row.get("data") or {}).get(DEMANDED) or {}
    new: Json = {}
    for name in dict.fromkeys(items):
        if name and name not in has:
            row = {"name": name, "agentId": agent.id, "requestedVersion": 1, "requestedUpdated": date_text(turn.now), "appliedVersion": 0}
            new[name] = turn.create("configItemStatus", row).id
    if new:
        turn.merge(agent.stream, {"+data": {f"+{DEMANDED}": new}})
