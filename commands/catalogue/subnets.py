"""A subnet's arithmetic: which addresses its network address and size give. The API refuses what can't be computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network, ip_address
from typing import Any

from commands.errors import Refused

DEFAULT_SIZE = 24

FIELDS = ("networkAddress", "gateway", "startAddress", "endAddress")


@dataclass(frozen=True, slots=True)
class Range:
    """The addresses that are given out: from `first`, `size` of them."""

    first: IPv4Address
    size: int

    def item(self, index: int) -> str:
        return str(self.first + index)


def computed(network_address: str, cidr_size: int | None) -> dict[str, str]:
    """192.168.3.42/24 -> gateway .1, startAddress .2 and endAddress .250 of 192.168.3.0, as Cattle counts. Raises ValueError."""
    net = IPv4Network(f"{network_address}/{cidr_size or DEFAULT_SIZE}", strict=False)
    first = net.network_address
    return {"gateway": str(first + 1), "startAddress": str(first + 2), "endAddress": str(first + net.num_addresses - 6)}


NOTHING = Range(IPv4Address(0), 0)


def range_of(start: str, end: str) -> Range:
    """Raises ValueError."""
    first = IPv4Address(start)
    return Range(first, max(0, int(IPv4Address(end)) - int(first) + 1))


def check(fields: Mapping[str, Any]) -> None:
    """Raises Refused for the first field that is no IPv4 address, or for a range that gives out nothing of the network."""
    for name in FIELDS:
        if (given := fields.get(name)) is not None:
            try:
                IPv4Address(given)
            except AddressValueError:
                raise Refused("InvalidFormat", f"{name} {given!r} is not an IPv4 address such as 192.168.0.0", name) from None
    if (network := fields.get("networkAddress")) is not None:
        _check_range(fields, IPv4Network(f"{network}/{fields.get('cidrSize') or DEFAULT_SIZE}", strict=False))


def _check_range(fields: Mapping[str, Any], network: IPv4Network) -> None:
    for name in ("startAddress", "endAddress"):
        if fields.get(name) is not None and IPv4Address(fields[name]) not in network:
            raise Refused("InvalidOption", f"{name} {fields[name]} is not in the subnet's network, {network}", name)
    found = computed(str(network.network_address), network.prefixlen)
    start, end = (fields.get(name) or found[name] for name in ("startAddress", "endAddress"))
    if IPv4Address(start) > IPv4Address(end):
        name = "startAddress" if fields.get("startAddress") else "endAddress"
        raise Refused("InvalidOption", f"nothing is left to give out: startAddress {start} comes after endAddress {end}", name)


def check_address(given: object) -> None:
    """Of an ipAddress that is created with one. Raises Refused."""
    if given is not None:
        try:
            ip_address(str(given))
        except ValueError:
            raise Refused("InvalidFormat", f"address {given!r} is not an IP address such as 192.168.0.7", "address") from None
