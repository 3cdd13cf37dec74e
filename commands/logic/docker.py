"""What a Docker engine's answer to compute.instance.activate tells beside the state: the host's address, the container's, its ports."""

from __future__ import annotations

from commands.logic import nics, ports
from commands.resource import Resource
from commands.turns.turn import Turn
from eventstore import Claim


def take_over(turn: Turn, each: Resource) -> None:
    """instanceHostMap.activate, after the answer: rows for what it tells of, each made once."""
    instance = turn.get("instance", each.row.get("instanceId"))
    if instance is None:
        return
    if host_ip := instance.fields.get("dockerHostIp"):
        _host_address(turn, each, str(host_ip))
    if docker_ip := instance.fields.get("dockerIp"):
        _first_nics_address(turn, instance, str(docker_ip))
    if not ports.has_port_service(turn, instance):
        _image_ports(turn, instance)


def _host_address(turn: Turn, each: Resource, address: str) -> None:
    """The host's own address, for all whose ports it publishes."""
    host = turn.get("host", each.row.get("hostId"))
    if host is None or any(known(m) == address for m in turn.having("hostIpAddressMap", "hostId", host.id)):
        return
    row = {"accountId": host.row.get("accountId"), "address": address, "name": address}
    ip = turn.create("ipAddress", row)
    claim = Claim(f"{host.stream}/address-map", address)
    turn.create("hostIpAddressMap", {"hostId": host.id, "ipAddressId": ip.id, "data": {"address": address}}, claims=(claim,))


def known(host_map: Resource) -> str | None:
    """The address of a host's map, which is kept on it too: addresses are too many to be seen by all."""
    found: str | None = host_map.data.get("address")
    return found


def _first_nics_address(turn: Turn, instance: Resource, address: str) -> None:
    """The first nic's primary address is what Docker gave the container, where no subnet gave it one."""
    found = nics.by_device(turn, instance)
    if not found or nics.primary(turn, found[0]):
        return
    nic = found[0]
    mine = next((each for each in nics.addresses(turn, nic) if each.kind == "docker"), None)
    if mine is None:
        row = {"accountId": nic.row.get("accountId"), "networkId": nic.row.get("networkId"), "address": address, "role": "primary"}
        mine = turn.create("ipAddress", row, kind="docker", in_our_root=True)
        turn.create("ipAddressNicMap", {"ipAddressId": mine.id, "nicId": nic.id})
        return
    again = turn.begin(mine.stream, turn.catalogue.process("ipaddress.activate"), parent=turn.pid) if mine.state == "inactive" else None
    if mine.row.get("address") != address:
        turn.change(mine, {"address": address, "name": address})
    if again is not None:
        turn.advance(mine.stream, again)


def _image_ports(turn: Turn, instance: Resource) -> None:
    """Ports that nobody asked for, but the image has them and the engine publishes them (publishAllPorts)."""
    rows = turn.children("port", "instanceId", instance.id)
    present = {f"{each.row.get('privatePort')}/{each.row.get('protocol') or 'tcp'}" for each in rows}
    for key, public in (instance.fields.get("dockerPorts") or {}).items():
        private, _, protocol = key.partition("/")
        if key not in present and private.isdigit() and str(public).isdigit():
            row = {
                "accountId": instance.row.get("accountId"), "instanceId": instance.id, "publicPort": int(public),
                "privatePort": int(private), "protocol": protocol or "tcp", "data": {ports.GIVEN: int(public)},
            }  # fmt: skip
            turn.create("port", row, kind="imagePort")
