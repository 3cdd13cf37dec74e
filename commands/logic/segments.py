"""What spans hosts of a network: a segment for each of its subnets, the instances on it, and the hosts that take part. Pure.

    roots of instances -> members -> a segment's document, the same for all hosts -> an agent's document: the segments of its hosts
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import orjson

from agents.wire import ROUTES, SPANNING, TRANSPORT, TRANSPORTS, UNDERLAY
from commands.catalogue.subnets import DEFAULT_SIZE
from commands.errors import Refused
from commands.logic import nics
from commands.resource import Json, Resource
from commands.turns.fleet import Fleet
from commands.turns.world import World

ON = ("activating", "active")
"""States of a map to a host on which the instance is, or is about to be."""


def check_transport(data: object) -> None:
    """Of a network that is made or changed. Raises Refused."""
    given = data.get(TRANSPORT) if isinstance(data, Mapping) else None
    if given not in (None, *TRANSPORTS):
        raise Refused("InvalidOption", f"{TRANSPORT} is {given!r}: {' and '.join(TRANSPORTS)} are known", "data")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an instance is on a segment."""

    subnet: int
    address: str
    mac: str


@dataclass(frozen=True, slots=True)
class Member:
    """An instance as far as others meet it. `hosts`: where it has something; `at`: where it is. `links`: name -> address."""

    uuid: str
    name: str
    hosts: frozenset[int]
    at: int | None
    places: tuple[Place, ...]
    links: tuple[tuple[str, str], ...]


def places(world: World, instance: int) -> Iterator[Place]:
    """By nic, lowest device first: those with an address that a subnet gave on a network that spans hosts."""
    found = world.get("instance", instance)
    for nic in nics.by_device(world, found) if found is not None else ():
        network, subnet = world.get("network", nic.row.get("networkId")), nic.row.get("subnetId")
        if network is None or network.kind != SPANNING or subnet is None:
            continue
        for address in nics.primary(world, nic):
            if given := address.row.get("address"):
                yield Place(subnet, str(given), str(nic.row.get("macAddress") or ""))


def member(world: World, root: str) -> Member | None:
    """None: it is on no segment (any more)."""
    instance = world.resources.get(root)
    if instance is None or instance.type != "instance" or instance.state in ("removed", "purged"):
        return None
    found = tuple(places(world, instance.id))
    if not found:
        return None
    maps = world.children("instanceHostMap", "instanceId", instance.id)
    on = [each.row["hostId"] for each in maps if each.state in ON]
    links = {
        str(each.row.get("linkName")): str(target["address"])
        for each in world.children("instanceLink", "instanceId", instance.id)
        if isinstance(target := each.data.get("target"), dict) and target.get("address")
    }
    return Member(
        str(instance.row.get("uuid")), str(instance.row.get("name") or ""), frozenset(each.row["hostId"] for each in maps),
        on[-1] if on else None, found, tuple(sorted(links.items())),
    )  # fmt: skip


def underlay(fleet: Fleet, number: int) -> str | None:
    """Where other hosts find a host, as its agent says."""
    host = fleet.get("host", number)
    at = host.data.get(UNDERLAY) if host is not None else None
    try:
        return None if at is None else str(ipaddress.IPv4Address(at))
    except ValueError:
        return None


class Documents:
    """What agents are told, made anew only for segments of which something has changed."""

    def __init__(self) -> None:
        self._known: dict[int, _Segment] = {}

    def made(self, fleet: Fleet, members: Iterable[Member]) -> Mapping[int, Json]:
        """Agent -> what it is told, without the position; agents with nothing to be told are not among them."""
        by_subnet: dict[int, list[Member]] = {}
        for each in members:
            for number in dict.fromkeys(place.subnet for place in each.places):
                by_subnet.setdefault(number, []).append(each)
        self._known = {
            number: made for number, here in sorted(by_subnet.items()) if (made := self._segment(fleet, number, here)) is not None
        }
        told: dict[int, list[_Segment]] = {}
        for segment in self._known.values():
            for agent in segment.agents:
                told.setdefault(agent, []).append(segment)
        return {agent: {"version": _version(parts), "segments": [each.told for each in parts]} for agent, parts in told.items()}

    def _segment(self, fleet: Fleet, number: int, here: list[Member]) -> _Segment | None:
        """None: it can't be one."""
        subnet = fleet.get("subnet", number)
        network = fleet.get("network", subnet.row.get("networkId")) if subnet is not None else None
        if subnet is None or network is None or network.removed:
            return None
        hosts = {host: underlay(fleet, host) for host in sorted({host for each in here for host in each.hosts})}
        found = (fleet.get("host", host) for host in hosts)
        agents = frozenset(host.row["agentId"] for host in found if host is not None and host.row.get("agentId") is not None)
        made_of = (here, subnet.version, network.version, hosts, agents)
        known = self._known.get(number)
        if known is not None and known.made_of == made_of:
            return known
        told = _told(subnet, network, here, hosts)
        if told is None:
            return None
        return _Segment(made_of, agents, hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest(), told)


@dataclass(frozen=True, slots=True)
class _Segment:
    made_of: tuple[object, ...]
    agents: frozenset[int]
    digest: str
    told: Json


def _told(subnet: Resource, network: Resource, members: Iterable[Member], hosts: Mapping[int, str | None]) -> Json | None:
    """The same for all agents of its hosts. None: its addresses are none."""
    try:
        own = ipaddress.IPv4Network(f"{subnet.row['networkAddress']}/{subnet.row.get('cidrSize') or DEFAULT_SIZE}", strict=False)
        gateway = str(ipaddress.IPv4Address(subnet.row["gateway"]))
    except (KeyError, ValueError):
        return None
    return {
        "number": subnet.id, "network": network.id, "uuid": subnet.row.get("uuid"),
        "domain": network.get("domain") or network.row.get("name"), "subnet": str(own), "gateway": gateway,
        **({TRANSPORT: ROUTES} if network.data.get(TRANSPORT) == ROUTES else {}),
        "hosts": sorted({at for at in hosts.values() if at is not None}),
        "endpoints": [
            {
                "instance": each.uuid, "name": each.name, "address": place.address, "mac": place.mac,
                "at": hosts.get(each.at) if each.at is not None else None, "links": dict(each.links),
            }
            for each in sorted(members, key=lambda each: each.uuid) for place in each.places if place.subnet == subnet.id
        ],
    }  # fmt: skip


def _version(parts: Iterable[_Segment]) -> str:
    return hashlib.sha256("".join(each.digest for each in parts).encode()).hexdigest()[:16]
