"""Addresses, macs and ports at rest: who shows one holds it alone, and what is gone holds nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from commands.resource import Resource

Claims = Mapping[tuple[str, str], str]
"""(scope, item) -> who holds it."""

OF_ITS_PLACE = frozenset({"address", "mac", "port", "linkPort"})
"""How the scopes end of what goes back when its holder, or the instance that it is part of, is purged."""


def complaints(resources: Mapping[str, Resource], claims: Claims) -> list[str]:
    of_stopped = _of_what_stopped(resources, claims)
    return [*_given_back(resources, claims), *_shown(resources, claims), *of_stopped, *_vnets(resources)]


def _given_back(resources: Mapping[str, Resource], claims: Claims) -> Iterator[str]:
    for (scope, item), holder in claims.items():
        owner = resources[holder]
        if owner.state == "purged" and not scope.endswith("/compute"):  # an instance's share stays until it leaves its place
            yield f"{holder} is purged and still holds {item} of {scope}"
        root = resources[owner.root or holder]
        if scope.rpartition("/")[2] in OF_ITS_PLACE and root.type == "instance" and root.state == "purged":
            yield f"{holder} ({owner.state}) of {root.stream}, which is purged, still holds {item} of {scope}"


def _shown(resources: Mapping[str, Resource], claims: Claims) -> Iterator[str]:
    """What rows show, and agents configure: two of them never show the same."""
    seen: dict[tuple[str, str], str] = {}
    for each in resources.values():
        for scope, item in _shows(each):
            other = seen.setdefault((scope, item), each.stream)
            if other != each.stream:
                yield f"{each.stream} and {other} both have {item} of {scope}"
            if claims.get((scope, item)) != each.stream:
                yield f"{each.stream} ({each.state}) has {item} of {scope}, which is held by {claims.get((scope, item))}"


def _shows(each: Resource) -> Iterator[tuple[str, str]]:
    data = each.row.get("data") or {}
    if each.type == "nic" and each.row.get("macAddress") and data.get("leased") and each.state != "purged":
        yield f"network-{data['leased'][0]}/mac", each.row["macAddress"]
    if each.type == "ipAddress" and each.row.get("subnetId") is not None and each.state in ("active", "associated"):
        subnet = data["leased"][0] if data.get("leased") else each.row["subnetId"]
        yield f"subnet-{subnet}/address", str(each.row.get("address"))
    if each.type == "network" and each.state == "active":
        yield "global-1/macPrefix", str(each.fields.get("macPrefix"))


def _of_what_stopped(resources: Mapping[str, Resource], claims: Claims) -> Iterator[str]:
    """Public ports are an instance's while it runs."""
    for (scope, item), holder in claims.items():
        if scope.endswith("/port") and resources[holder].state != "running":
            yield f"{holder} is {resources[holder].state} and holds {item} of {scope}"


def _vnets(resources: Mapping[str, Resource]) -> Iterator[str]:
    """A host-only network has one vnet at a spot."""
    seen: dict[tuple[int, str], str] = {}
    for each in resources.values():
        spot = each.data.get("hostOnly")
        if each.type == "vnet" and spot and not each.removed:
            other = seen.setdefault((each.row["networkId"], spot), each.stream)
            if other != each.stream:
                yield f"{each.stream} and {other} are both for {spot} of network {each.row['networkId']}"

