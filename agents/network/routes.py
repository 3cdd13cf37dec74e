"""Plain routes between hosts on one link, in the place of tunnels: to each instance elsewhere by way of its host. Blocks.

    container -- bridge (answers for those elsewhere: proxy_arp) -- route to the instance's address -- the other host -- its bridge -- ...

Nothing is wrapped up, so that packets are as big as the hosts' own network takes them. What a segment has in the kernel is told apart by
itself: routes by Corral's protocol number and the segment's as their metric, rules by a comment, which is the bridge's name.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from pyroute2.netlink.exceptions import NetlinkError

from agents.network.interfaces import NoWay, link, under
from agents.network.routing import (
    PROTOCOL,
    Chain,
    Route,
    Spec,
    changes,
    in_the_way,
    knows,
    marked,
    read_rules,
    wanted_routes,
    wanted_rules,
)
from agents.network.segments import Document, Segment, bridge_of

MAIN = 254
"""The table of routes that `ip route` shows."""

GONE = 3  # ESRCH: there is no such route

IPTABLES = ("iptables", "iptables-nft", "iptables-legacy")
"""Ways to the kernel's firewall; an engine uses one of them, mostly the first."""
SECONDS = 20
"""For the firewall, with the wait for others who change it (five of them)."""

EVERYBODY = b"\xff" * 6
ETH_ARP, OF_ETHERNET, OF_IPV4, REQUEST = 0x0806, 1, 0x0800, 1

AT_ONCE, LATER = "0", "80"
"""Hundredths of a second until a bridge answers for those elsewhere; the latter is the kernel's own choice."""

SYSCTL = Path("/proc/sys/net/ipv4")

Chains = Mapping[Chain, list[Spec]]


def ensure(netlink: Any, bridge: int, segment: Segment, underlay: str) -> None:
    """Raises NoWay."""
    if not segment.peers(underlay):
        remove(netlink, segment.number)
        return
    interface = under(netlink, underlay)
    _check(netlink, bridge, interface["index"], segment, underlay)
    name = interface.get_attr("IFLA_IFNAME")
    firewall, chains = _firewall_of(segment)
    for each in (segment.bridge, name):
        _set(f"conf/{each}/forwarding", "1")
    _set(f"neigh/{segment.bridge}/proxy_delay", AT_ONCE)
    _set(f"conf/{segment.bridge}/proxy_arp", "1")
    _fill(netlink, bridge, interface["index"], segment, underlay)
    _restore(firewall, changes(segment.number, wanted_rules(segment, name, chains), chains))


def remove(netlink: Any, number: int, *, surely: bool = False) -> None:
    """What is there of a segment's. `surely`: also where neither its bridge nor a route shows that it was routed."""
    name = bridge_of(number)
    mine = [each for each in _known(netlink) if each.is_of(number)]
    answers = SYSCTL / "conf" / name / "proxy_arp"
    on = answers.exists() and answers.read_text().strip() == "1"
    if not (mine or on or surely):
        return
    for each, chains in _firewalls():
        if number in marked(chains):
            _restore(each, changes(number, {}, chains))
    for route in mine:
        _forget(netlink, route)
    if on:
        _set(f"neigh/{name}/proxy_delay", LATER)
        _set(f"conf/{name}/proxy_arp", "0")


def strays(netlink: Any, document: Document, *, whole: bool) -> set[int]:
    """Segments that have something here and are not to be routed. One that the document doesn't name and that has a bridge is another
    agent's, or goes with the bridge."""
    found = {each.metric for each in _known(netlink) if each.protocol == PROTOCOL}
    if whole:
        found |= {number for _, chains in _firewalls() for number in marked(chains)}
    known = document.segments
    return {
        number for number in found
        if (not known[number].routed if number in known else link(netlink, bridge_of(number)) is None)
    }  # fmt: skip


def _check(netlink: Any, bridge: int, interface: int, segment: Segment, underlay: str) -> None:
    other = in_the_way(segment, bridge, _known(netlink))
    if other is not None:
        raise NoWay(f"this host has a route of its own to {other.to}, which overlaps the subnet: take other addresses for one of the two")
    for peer in sorted(segment.peers(underlay)):
        try:
            [way, *_] = netlink.route("get", dst=peer)
        except NetlinkError as error:
            raise NoWay(f"there is no way to host {peer} ({error}): mend the hosts' own network") from error
        via = way.get_attr("RTA_GATEWAY")
        if via is not None or way.get_attr("RTA_OIF") != interface:
            how = "by another interface" if via is None else f"by way of {via}"
            raise NoWay(
                f"plain routes need hosts on one link, and host {peer} is reached {how}, not from {underlay} at once: say {{\"transport\": "
                '"vxlan"} in the data of the network, or give the agents addresses on one link by --host-ip'
            )


def _fill(netlink: Any, bridge: int, interface: int, segment: Segment, underlay: str) -> None:
    """What is wanted and missing is added, what is there and not wanted is removed."""
    wanted = wanted_routes(segment, underlay)
    mine = [each for each in _known(netlink) if each.is_of(segment.number)]
    present = {str(each.to.network_address): each.via for each in mine if each.interface == interface}
    for address, host in wanted.items():
        if present.get(address) != host:
            # First, as instances here may still know the mac that it had when it was among them.
            _announce(segment, address, segment.gateway_mac)
            netlink.route(
                "replace", dst=f"{address}/32", gateway=host, oif=interface, proto=PROTOCOL, priority=segment.number, table=MAIN,
            )  # fmt: skip
    here = {each.address: each.mac for each in segment.endpoints if each.at == underlay and each.mac}
    for each in mine:
        address = str(each.to.network_address)
        if address not in wanted:
            _forget(netlink, each)
            if address in here:
                _announce(segment, address, here[address])


def _forget(netlink: Any, route: Route) -> None:
    try:
        netlink.route("del", dst=str(route.to), proto=PROTOCOL, priority=route.metric, table=MAIN)
    except NetlinkError as error:
        if error.code != GONE:
            raise


def _known(netlink: Any) -> list[Route]:
    """The host's, but for the way out."""
    return [
        Route(
            IPv4Network(f"{each.get_attr('RTA_DST')}/{each['dst_len']}"), each.get_attr("RTA_GATEWAY"), each.get_attr("RTA_OIF") or 0,
            each["proto"], each.get_attr("RTA_PRIORITY") or 0,
        )
        for each in netlink.get_routes(family=socket.AF_INET, table=MAIN) if each["dst_len"]
    ]  # fmt: skip


def _announce(segment: Segment, address: str, mac: str) -> None:
    """To the instances on this host: who knows the address under another mac takes this one (a gratuitous ARP, RFC 5227)."""
    sender, own = bytes.fromhex(mac.replace(":", "")), IPv4Address(address).packed
    said = struct.pack("!HHBBH", OF_ETHERNET, OF_IPV4, 6, 4, REQUEST) + sender + own + bytes(6) + own
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind((segment.bridge, 0))
        out.send(EVERYBODY + sender + struct.pack("!H", ETH_ARP) + said)


def _firewall_of(segment: Segment) -> tuple[str, Chains]:
    """The one in which the engine has its rules: those of another would not be heard."""
    for each, chains in _firewalls():
        if knows(chains, segment.bridge):
            return each, chains
    raise NoWay(
        f"no iptables here shows the engine's rules for {segment.bridge}, beside which those for routes would have to stand (it isn't "
        'installed, or the engine uses nftables by itself): say {"transport": "vxlan"} in the data of the network'
    )


def _firewalls() -> Iterator[tuple[str, Chains]]:
    """iptables' variants that are here, with what they have."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    seen: set[Path] = set()
    for name in IPTABLES:
        save, restore = (shutil.which(f"{name}-{verb}", path=path) for verb in ("save", "restore"))
        if save is None or restore is None or (program := Path(save).resolve()) in seen:  # one program has several names
            continue
        try:
            chains = read_rules(_run(save))
        except NoWay:
            if not seen:
                raise
            continue  # a variant that this kernel doesn't have
        seen.add(program)
        yield restore, chains


def _restore(firewall: str, lines: str) -> None:
    if lines:
        _run(firewall, "--noflush", "--wait", "5", given=lines)


def _run(*command: str, given: str | None = None) -> str:
    """Raises NoWay."""
    try:
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=SECONDS, check=True)
    except subprocess.CalledProcessError as error:
        raise NoWay(f"{Path(command[0]).name} refuses ({error.returncode}): {error.stderr.strip()}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoWay(f"{Path(command[0]).name} can't be used: {error}") from error
    return done.stdout


def _set(name: str, value: str) -> None:
    """Where it is another value: who may not write need not."""
    file = SYSCTL / name
    if file.read_text().strip() != value:
        file.write_text(value)
