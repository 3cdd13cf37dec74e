"""What a routed segment wants of a host: routes to the instances elsewhere, and rules that let them through as they are. Pure.

    segment -> wanted routes    + the host's routes        -> what is in the way
            -> wanted rules     + the host's firewall      -> what is to be changed there, as iptables-restore reads it
"""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from itertools import pairwise

from agents.network.segments import Segment

PROTOCOL = 67
"""Who made a route, as the kernel keeps it (`ip route show proto 67`). The metric is the segment's number."""

USERS_CHAIN = ("-j", "DOCKER-USER")
"""Of whoever runs the host: what it says comes first, as with Docker's own rules."""

_MARK = re.compile(r"corral-s([0-9]+)")

Spec = tuple[str, ...]
Chain = tuple[str, str]
"""Table and chain."""


_RAW = ("raw", "PREROUTING")


@dataclass(frozen=True, slots=True)
class Route:
    """One that the host has. `via`: None, where what it leads to is on the link itself."""

    to: IPv4Network
    via: str | None
    interface: int
    protocol: int = 0
    metric: int = 0

    def is_of(self, segment: int) -> bool:
        return (self.protocol, self.metric) == (PROTOCOL, segment)


def wanted_routes(segment: Segment, underlay: str) -> dict[str, str]:
    """Address of an instance elsewhere -> that of its host."""
    return {each.address: each.at for each in segment.endpoints if each.at is not None and each.at != underlay}


def in_the_way(segment: Segment, bridge: int, known: Iterable[Route]) -> Route | None:
    """One of the host's own that leads elsewhere with addresses of the subnet. A wider one by way of a gateway doesn't, as the subnet's own
    are more exact."""
    subnet = IPv4Network(segment.subnet)
    for each in known:
        others = each.interface != bridge and not each.is_of(segment.number)
        if others and (each.to.subnet_of(subnet) or (each.via is None and subnet.subnet_of(each.to))):
            return each
    return None


def wanted_rules(segment: Segment, interface: str, chains: Mapping[Chain, Sequence[Spec]]) -> dict[Chain, list[Spec]]:
    """From instance to instance by the interface to the other hosts: let in (Docker and libvirt drop it) with the address that it has."""
    between, bridge = ("-s", segment.subnet, "-d", segment.subnet), segment.bridge
    end = ("-m", "comment", "--comment", bridge, "-j", "ACCEPT")
    rules: dict[Chain, list[Spec]] = {
        ("filter", "FORWARD"): [(*between, "-i", bridge, "-o", interface, *end), (*between, "-i", interface, "-o", bridge, *end)],
        ("nat", "POSTROUTING"): [(*between, "-o", interface, *end)],
    }
    # Docker 28 drops there what comes for a container by another interface. A table that nobody uses isn't begun: it would stay.
    if any(_segment(each) is None for each in chains.get(_RAW, ())):
        rules[_RAW] = [(*between, "-i", interface, *end)]
    return rules


def read_rules(saved: str) -> dict[Chain, list[Spec]]:
    """What iptables-save says."""
    table, found = "", defaultdict(list)
    for line in saved.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
        elif line.startswith("-A "):
            _, chain, *spec = shlex.split(line)
            found[table, chain].append(tuple(spec))
    return dict(found)


def marked(chains: Mapping[Chain, Sequence[Spec]]) -> set[int]:
    """The segments that have rules of Corral's."""
    return {number for specs in chains.values() for each in specs if (number := _segment(each)) is not None}


def knows(chains: Mapping[Chain, Sequence[Spec]], bridge: str) -> bool:
    """The engine has rules for the bridge there."""
    return any(bridge in each and _segment(each) is None for specs in chains.values() for each in specs)


def changes(number: int, wanted: Mapping[Chain, Sequence[Spec]], chains: Mapping[Chain, Sequence[Spec]]) -> str:
    """For iptables-restore, which does each table's at once; "": all is as it should be. Corral's rules come before others, as the first
    that fits decides, but for the chain that is the users' own."""
    tables: dict[str, list[str]] = defaultdict(list)
    for chain in sorted({*chains, *wanted}):
        present, want = chains.get(chain, ()), list(wanted.get(chain, ()))
        mine = [each for each in present if _segment(each) == number]
        if sorted(mine) == sorted(want) and _comes_first(present, number):
            continue
        others = [each for each in present if _segment(each) != number]
        place = 2 if others[:1] == [USERS_CHAIN] else 1
        tables[chain[0]] += [f"-D {chain[1]} {' '.join(each)}" for each in mine]
        tables[chain[0]] += [f"-I {chain[1]} {place} {' '.join(each)}" for each in reversed(want)]
    return "".join(f"*{table}\n" + "\n".join(lines) + "\nCOMMIT\n" for table, lines in tables.items())


def _comes_first(specs: Iterable[Spec], number: int) -> bool:
    """The segment's own have none before them but others of Corral's and the users' chain."""
    others = False
    for each in specs:
        of = _segment(each)
        if of == number and others:
            return False
        others = others or (of is None and each != USERS_CHAIN)
    return True


def _segment(spec: Spec) -> int | None:
    """Of which one of Corral's rules is."""
    for name, value in pairwise(spec):
        if name == "--comment" and (found := _MARK.fullmatch(value)) is not None:
            return int(found[1])
    return None
