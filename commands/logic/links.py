"""What links between instances decide: which ones there are, when they may be followed, and their ports on a link service."""

from __future__ import annotations

from datetime import timedelta

from commands.logic import agent_instances
from commands.resource import Json, Resource, leases_of
from commands.turn import Failure, Turn
from eventstore import Claim, Release

FIRST, LAST = 20000, 39999
"""The range of ports that a link service leads on from."""

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
    own = (instance.row.get("data") or {}).get("linkWaitTime") if instance is not None else None
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
    values: Json = {"data": {TARGET: {name: target.row.get(name) for name in ("id", "uuid", "name", "kind")}}}
    service = agent_instances.of_link_service(turn, link.row["instanceId"])
    claims: tuple[Claim, ...] = ()
    releases: tuple[Release, ...] = ()
    if service is not None:
        wanted = [(each.row.get("privatePort"), each.row.get("protocol")) for each in there.children("port", "instanceId", number)]
        has = held(link)
        kept = [each for each in link.fields.get("ports") or () if (service.id, str(each["publicPort"])) in has]
        had = {(each["privatePort"], each["protocol"]): each["publicPort"] for each in kept}
        leased: list[int] = []
        for port in wanted:
            if port not in had:
                had[port] = _free_port(turn, service.id, leased)
                leased.append(had[port])
        if wanted:
            values["ports"] = [
                {"ipAddress": service.address, "publicPort": had[port], "privatePort": port[0], "protocol": port[1]} for port in wanted
            ]
            items = list(dict.fromkeys((service.id, str(had[port])) for port in wanted))
            values["data"][LEASED] = [list(each) for each in items]
            claims = tuple(Claim(scope(service.id), str(each)) for each in leased)
            releases = tuple(Release(scope(other), item) for other, item in has if (other, item) not in items)
    if claims or releases or any(link.row.get(name, link.fields.get(name)) != value for name, value in _plain(link, values).items()):
        turn.change(link, values, claims, releases)


def held(link: Resource) -> list[tuple[int, str]]:
    """(service, item) of what the link has leased."""
    return leases_of(link, "networkService", "linkPort")


def _free_port(turn: Turn, service: int, but: list[int]) -> int:
    found = turn.pick(scope(service), LAST - FIRST + 1, lambda index: str(FIRST + index), but=[str(each) for each in but])
    if found is None:
        raise Failure("No port available : Port allocation error")
    return int(found)


def _plain(link: Resource, values: Json) -> Json:
    """What the row would hold with these values."""
    return {**values, "data": {**(link.row.get("data") or {}), **values["data"]}}


def release(turn: Turn, link: Resource) -> None:
    """instanceLink.purge"""
    if has := held(link):
        turn.change(link, {"ports": [], "data": {LEASED: []}}, releases=tuple(Release(scope(service), item) for service, item in has))
