"""What links between instances decide: which ones there are, when they may be followed, and their ports on a link service."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from commands.logic import agent_instances, leases, segments
from commands.resource import Json, Resource, leases_of
from commands.turns.turn import Failure, Turn
from commands.turns.world import World
from eventstore import Claim, Release

Port = tuple[int | None, str | None]
"""Private port and protocol of a target's."""

LEASED = "linkPorts"
"""In a link's data, for people: its leases, as [service, item]. The field `ports` is what it shows; another service may take over."""

TARGET = "target"
"""In a link's data: who it leads to, for the agent; the target itself is of another root."""


def scope(service: int) -> str:
    return f"networkService-{service}/linkPort"


def create_all(turn: Turn, instance: Resource) -> None:
    """instance.create: a link for each name of the field instanceLinks; one that leads to nothing yet may get its target later."""
    present = {each.row.get("linkName") for each in turn.children("instanceLink", "instanceId", instance.id, removed=True)}
    for name, target in (instance.fields.get("instanceLinks") or {}).items():
        if name in present or not (target is None or isinstance(target, int)):
            continue
        row = {
            "accountId": instance.row.get("accountId"), "instanceId": instance.id, "linkName": name, "targetInstanceId": target,
        }  # fmt: skip
        turn.create("instanceLink", row)


# --- the steps of instanceLink.activate ---


def target_ran(turn: Turn, link: Resource) -> bool:
    """Where a link service leads on, the target must have run once: its ports are known only then. Waiting ends after a while."""
    number = link.row.get("targetInstanceId")
    if number is None or agent_instances.of_link_service(turn, link.row["instanceId"]) is None:
        return True
    target = turn.elsewhere(f"instance-{number}").get("instance", number)
    if target is not None and target.row.get("firstRunning"):
        return True
    bracket = link.open["state"]
    deadline = (bracket.at or turn.now) + timedelta(milliseconds=_patience(turn, link))
    if deadline <= turn.now:
        message = f"Timeout waiting for instance link {link.row.get('linkName')}"
        raise Failure(f"{message} : {message}")
    turn.wait_for(f"instance-{number}", deadline)
    return False


def _patience(turn: Turn, link: Resource) -> float:
    """Milliseconds."""
    instance = turn.get("instance", link.row["instanceId"])
    own = instance.data.get("linkWaitTime") if instance is not None else None
    known = own if isinstance(own, int) and not isinstance(own, bool) else turn.settings["instance.link.target.wait.time.millis"]
    return float(known)


def lead(turn: Turn, link: Resource) -> None:
    """Who the target is; and on a link service a port of its own for each port of the target, those that it has kept."""
    number = link.row.get("targetInstanceId")
    if number is None:
        return
    there = turn.elsewhere(f"instance-{number}")
    target = there.get("instance", number)
    if target is None:
        return
    told = {name: target.row.get(name) for name in ("id", "uuid", "name", "kind")}
    values: Json = {"data": {TARGET: told | _meeting(turn, link, there, target)}}
    service = agent_instances.of_link_service(turn, link.row["instanceId"])
    claims: tuple[Claim, ...] = ()
    releases: tuple[Release, ...] = ()
    if service is not None:
        wanted = [(each.row.get("privatePort"), each.row.get("protocol")) for each in there.children("port", "instanceId", number)]
        items: dict[Port, str] = {}
        for port in wanted:
            if port not in items:
                items[port] = _kept(link, service.id, port, items) or leases.free_port(turn, scope(service.id), items.values())
        if wanted:
            values["ports"] = [
                {"ipAddress": service.address, "publicPort": int(items[port]), "privatePort": port[0], "protocol": port[1]}
                for port in wanted
            ]
            leads_on = [(service.id, item) for item in items.values()]
            values["data"][LEASED] = [list(each) for each in leads_on]
            claims, releases = leases.swapped(scope, held(link), leads_on)
    if claims or releases or any(link.row.get(name, link.fields.get(name)) != value for name, value in _plain(link, values).items()):
        turn.change(link, values, claims, releases)


def _meeting(turn: Turn, link: Resource, there: World, target: Resource) -> Json:
    """Where the two share a segment: the target's address on it, which it keeps wherever it goes, its ports and its environment, which
    Docker's links tell of, too."""
    mine = {each.subnet for each in segments.places(turn, link.row["instanceId"])}
    shared = next((each for each in segments.places(there, target.id) if each.subnet in mine), None)
    if shared is None:
        return {}
    ports = {(each.row.get("privatePort"), each.row.get("protocol") or "tcp") for each in there.children("port", "instanceId", target.id)}
    environment = target.fields.get("environment")
    return {
        "address": shared.address,
        "ports": [{"privatePort": private, "protocol": protocol} for private, protocol in sorted(ports, key=str)],
        "environment": environment if isinstance(environment, dict) else {},
    }


def held(link: Resource) -> list[tuple[int, str]]:
    """(service, item) of what the link has leased."""
    return leases_of(link, "networkService", "linkPort")


def _kept(link: Resource, service: int, port: Port, but: Mapping[Port, str]) -> str | None:
    """The item by which the link leads on to a port already. (What it shows may have been written over.)"""
    shown = link.fields.get("ports")
    for each in shown if isinstance(shown, list) else ():
        if isinstance(each, dict) and (each.get("privatePort"), each.get("protocol")) == port:
            item = str(each.get("publicPort"))
            if (service, item) in held(link) and item not in but.values():
                return item
    return None


def _plain(link: Resource, values: Json) -> Json:
    """What the row would hold with these values."""
    return {**values, "data": {**link.data, **values["data"]}}


def release(turn: Turn, link: Resource) -> None:
    """instanceLink.purge"""
    if has := held(link):
        turn.change(link, {"ports": [], "data": {LEASED: []}}, releases=leases.given_back(scope, has))
