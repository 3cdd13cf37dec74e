"""The leases of mac addresses: a prefix for each network, and under it an address for each nic."""

from __future__ import annotations

from commands.logic import leases
from commands.resource import Resource, leases_of
from commands.turns.turn import Failure, Turn
from eventstore import Claim, Release

PREFIXES = "global-1/macPrefix"
"""The one pool of prefixes; the scope's name is that of Cattle's resource pool."""

SUFFIXES = 2**24

LEASED = "leased"
"""In a nic's data: its lease, as [network, item]. The row's own networkId may be changed meanwhile."""


def scope(network: int) -> str:
    return f"network-{network}/mac"


def lease_prefix(turn: Turn, network: Resource) -> None:
    """network.activate: a prefix that no other network has."""
    had = network.fields.get("macPrefix")
    if had is not None and turn.holder(PREFIXES, had) == network.stream:
        return
    first, last = _number(str(turn.settings["mac.prefix.start"])), _number(str(turn.settings["mac.prefix.end"]))
    found = turn.pick(PREFIXES, last - first + 1, lambda index: _text(first + index, 3), had)
    if found is None:
        raise Failure("Failed to get mac prefix : Mac prefix allocation error")
    turn.change(network, {"macPrefix": found}, claims=(Claim(PREFIXES, found),))


def release_prefix(turn: Turn, network: Resource) -> None:
    """network.purge"""
    if has := tuple(Release(*each) for each in network.held if each[0] == PREFIXES):
        turn.merge(network.stream, {"+data": {"+fields": {"macPrefix": None}}}, releases=has)


def lease(turn: Turn, nic: Resource) -> None:
    """nic.activate: kept until the nic is purged, so that an instance has the same one whenever it runs."""
    network = turn.get("network", nic.row.get("networkId"))
    if network is None or nic.row.get("macAddress") is not None:
        return
    prefix = network.fields.get("macPrefix") or str(turn.settings["mac.unassigned.prefix"])
    first = _number(":".join((prefix.split(":") + ["00"] * 5)[:6]))
    found = turn.pick(scope(network.id), SUFFIXES, lambda index: _text(first + index, 6))
    if found is None:
        raise Failure("Failed to allocate MAC from network : MAC allocation error")
    turn.change(nic, {"macAddress": found, "data": {LEASED: [network.id, found]}}, claims=(Claim(scope(network.id), found),))


def release(turn: Turn, nic: Resource) -> None:
    """nic.purge"""
    if has := leases_of(nic, "network", "mac"):
        turn.merge(nic.stream, {"macAddress": None, "+data": {LEASED: None}}, releases=leases.given_back(scope, has))


def _number(text: str) -> int:
    return int(text.replace(":", ""), 16)


def _text(number: int, octets: int) -> str:
    return number.to_bytes(octets).hex(":")
