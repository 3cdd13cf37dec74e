"""Agent instances: containers that serve a vnet for a provider (dns, dhcp, links). One per (vnet, provider), made where it is needed.

A networkServiceProviderInstanceMap ties instance and provider, with the vnet in its data. All roots see it, so it tells who serves
what; it holds the claim that makes it the only one.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass

from commands.logic import config_items, nics, storage, vnets
from commands.resource import Json, Resource
from commands.turns.turn import Turn
from commands.turns.world import World
from eventstore import Claim, Release

PROVIDER = "agentInstanceProvider"
VNET = "vnetId"
"""In a map's data: the vnet that its agent instance serves."""

SCOPE = "/agent-instance"
"""How the scopes end in which a map is the only one of its provider on its vnet."""

DELEGATE = "delegate://"
"""How the uri of an agent begins that lives in an instance."""

KEY_KIND = "agentApiKey"

PLACE = "delegate"
"""In such an agent's data: {hostId, instance}, since its instance was last activated on a host."""


@dataclass(frozen=True, slots=True)
class LinkService:
    """A link service at work: the networkService's id, and the address of the agent instance that leads on."""

    id: int
    address: str


def maps_of(world: World, vnet: int, provider: int) -> list[Resource]:
    found = world.having("networkServiceProviderInstanceMap", "networkServiceProviderId", provider)
    return [each for each in found if each.data.get(VNET) == vnet]


def of_link_service(turn: Turn, instance: int) -> LinkService | None:
    """That of the first network of an instance on which a running agent instance with an address provides one."""
    mine = turn.get("instance", instance)
    for nic in nics.by_device(turn, mine) if mine is not None else ():
        for service in turn.having("networkService", "networkId", nic.row.get("networkId") or 0):
            provider = service.row.get("networkServiceProviderId")
            if service.kind != "linkService" or service.state != "active" or provider is None or nic.row.get("vnetId") is None:
                continue
            for address in _addresses(turn, nic.row["vnetId"], provider):
                return LinkService(service.id, address)
    return None


def _addresses(turn: Turn, vnet: int, provider: int) -> Iterator[str]:
    for each in maps_of(turn, vnet, provider):
        found = turn.elsewhere(f"instance-{each.row['instanceId']}").get("instance", each.row["instanceId"])
        if found is not None and found.state == "running" and (address := found.fields.get("primaryIpAddress")):
            yield str(address)


def scope(vnet: int) -> str:
    return f"vnet-{vnet}{SCOPE}"


def ensure(turn: Turn, nic: Resource) -> None:
    """nic.activate, at its end: each provider of the network has an agent instance on the nic's vnet, or gets one. Nobody waits for it.

    Agent instances themselves are served by nobody.
    """
    instance, vnet = turn.get("instance", nic.row.get("instanceId")), nic.row.get("vnetId")
    if instance is None or vnet is None or instance.row.get("agentId") is not None:
        return
    for provider in turn.having("networkServiceProvider", "networkId", nic.row.get("networkId") or 0):
        if provider.kind != PROVIDER or provider.state != "active":
            continue
        holder = turn.holder(scope(vnet), provider.stream)
        if holder is None:
            _build(turn, nic, instance, vnet, provider)
        elif (present := turn.get("networkServiceProviderInstanceMap", _number(holder))) is not None:
            _revive(turn, nic, instance, vnet, provider, present)


def _revive(turn: Turn, nic: Resource, instance: Resource, vnet: int, provider: Resource, present: Resource) -> None:
    """One that was stopped is started; one that was removed makes room for another."""
    number = present.row["instanceId"]
    serving = turn.get("instance", number) or turn.elsewhere(f"instance-{number}").get("instance", number)
    agent = turn.get("agent", serving.row.get("agentId")) if serving is not None and not serving.removed else None
    if agent is not None:  # its network may have more services by now
        config_items.of_provider(turn, agent, provider.id)
    if serving is not None and serving.state == "stopped":
        turn.begin_elsewhere(serving, turn.catalogue.process("instance.start"))
    elif serving is not None and serving.removed:
        leave_vnet(turn, present)
        _build(turn, nic, instance, vnet, provider)


def leave_vnet(turn: Turn, each: Resource) -> None:
    """networkServiceProviderInstanceMap.remove: the vnet may have another agent instance."""
    served = tuple(Release(*held) for held in each.held if held[0].endswith(SCOPE))
    if served:
        turn.merge(each.stream, {"+data": {VNET: None}}, releases=served)


def _build(turn: Turn, nic: Resource, instance: Resource, vnet: int, provider: Resource) -> None:
    hosts = vnets.hosts_of(turn, nic)
    host_agent = turn.get("agent", hosts[0].row.get("agentId")) if hosts else None
    zone = instance.row.get("zoneId") or 1
    uri = f"{DELEGATE}/?vnetId={vnet}&networkServiceProviderId={provider.id}"
    group = host_agent.row.get("agentGroupId") if host_agent is not None else None
    agent = turn.create("agent", {"uri": uri, "managedConfig": False, "agentGroupId": group, "zoneId": zone}, run=False)
    system = turn.fleet.by_uuid("account", "system")
    owned = provider.fields.get("agentAccountOwned") or system is None
    account = instance.row.get("accountId") if owned or system is None else system.id
    image_uuid = str(provider.fields.get("agentInstanceImageUuid") or turn.settings["agent.instance.image.uuid"])
    image = storage.image_by_uuid(turn, image_uuid) or storage.register_image(turn, image_uuid, account)
    row: Json = {
        "accountId": account, "agentId": agent.id, "imageId": image.id, "imageUuid": image_uuid, "name": "Agent", "privileged": True,
        "instanceTriggeredStop": "restart", "vnetIds": [vnet], "startOnCreate": True, "zoneId": zone,
    }  # fmt: skip
    config_items.of_provider(turn, agent, provider.id)
    made = turn.create("container", row, kind="container", run=False)
    turn.create(
        "networkServiceProviderInstanceMap",
        {"instanceId": made.id, "networkServiceProviderId": provider.id, "data": {VNET: vnet}},
        claims=(Claim(scope(vnet), provider.stream),),
    )


# --- how its agent is reached: through the agent of the host that it runs on ---


def tell_agent(turn: Turn, each: Resource) -> None:
    """instanceHostMap.activate, after the answer: the agent inside is reached on this host from now on."""
    instance = turn.get("instance", each.row.get("instanceId"))
    agent = turn.get("agent", instance.row.get("agentId")) if instance is not None else None
    if instance is None or agent is None or not is_delegate(agent):
        return
    described = {name: instance.row.get(name) for name in ("id", "uuid", "kind", "name", "agentId")}
    place = {"hostId": each.row["hostId"], "instance": {"type": "instance", **described}}
    if agent.data.get(PLACE) != place:
        turn.merge(agent.stream, {"+data": {PLACE: place}})


def is_delegate(agent: Resource) -> bool:
    return str(agent.row.get("uri") or "").startswith(DELEGATE)


# --- how it knows itself: with the key of its agent ---


def keys_of(world: World) -> list[Resource]:
    """The keys of the agents that live in instances of this world's root, as the fleet knows them: their secrets are sealed there."""
    found = (key_of(world, each) for each in world.resources.values() if each.type == "instance")
    return [each for each in found if each is not None]


def key_of(world: World, instance: Resource) -> Resource | None:
    """The newest active key of the account of the instance's agent."""
    agent = world.get("agent", instance.row.get("agentId"))
    account = agent.row.get("accountId") if agent is not None else None
    if account is None:
        return None
    keys = {each.stream: each for each in (*world.fleet.having("credential", "accountId", account), *world.resources.values())}
    mine = (each for each in keys.values() if (each.type, each.kind, each.state) == ("credential", KEY_KIND, "active"))
    return max((each for each in mine if each.row.get("accountId") == account), key=lambda each: each.id, default=None)


def authorization(world: World, instance: Resource) -> str | None:
    """What its agent says to be known: the value of HTTP's Authorization. None: it has no key, or that is not opened."""
    key = key_of(world, instance)
    public, secret = (key.row.get("publicValue"), key.row.get("secretValue")) if key is not None else (None, None)
    if not isinstance(public, str) or not isinstance(secret, str):
        return None
    return f"Basic {base64.b64encode(f'{public}:{secret}'.encode()).decode()}"


def place_of(world: World, agent: Resource) -> tuple[int, Json] | None:
    """-> the agent of the host where a delegate's instance is, and the instance as that agent is told of it; None: nowhere yet."""
    place = agent.data.get(PLACE) or {}
    host = world.fleet.get("host", place.get("hostId"))
    if host is None or host.row.get("agentId") is None:
        return None
    return host.row["agentId"], place["instance"]


def _number(stream: str) -> int:
    """Of "", which is an append in flight, 0: nobody."""
    return int(stream.rpartition("-")[2] or 0)
