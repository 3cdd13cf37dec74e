"""Docker's own bridge networks for the segments that Corral tells of, and a container's places on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import docker
import structlog
from docker.errors import APIError, NotFound
from docker.types import IPAMConfig, IPAMPool

from agents.docker.engine import Engine
from agents.driver import DriverError, Json
from agents.network.membership import Attachment
from agents.network.segments import Segment

log = structlog.get_logger("corral.agent.network")

SEGMENT_LABEL = "corral.segment"
NETWORK_LABEL = "corral.network.uuid"
MTU_OPTION = "com.docker.network.driver.mtu"
OWN_WAYS = ("host", "none", "container:")
"""Network modes in which a container is on no bridge at all."""
MOST_SERVERS = 3
"""Of names: Docker asks no more, one after the other."""


class DockerBridges:
    """agents.network's Bridges, by a Docker engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._too_big: set[int] = set()

    async def ensure(self, segment: Segment, mtu: int) -> None:
        made_for = await self._engine.work(lambda client: _ensure(client, segment, mtu))
        if made_for <= mtu:
            self._too_big.discard(segment.number)
        elif segment.number not in self._too_big:
            self._too_big.add(segment.number)
            log.warning(
                "Containers send bigger packets than their network takes now: remove them, and make them anew", action="network-mtu",
                segment=segment.number, mtu=mtu, containers=made_for,
            )  # fmt: skip

    async def present(self) -> set[int]:
        listed = await self._engine.look(lambda client: client.networks(filters={"label": SEGMENT_LABEL}))
        return {int(each["Labels"][SEGMENT_LABEL]) for each in listed if each["Labels"][SEGMENT_LABEL].isdigit()}

    async def release(self, segment: int) -> bool:
        return await self._engine.work(lambda client: _release(client, segment))


def _ensure(client: docker.APIClient, segment: Segment, mtu: int) -> int:
    """The mtu that containers on it have: another one only for as long as there are any."""
    for each in _of(client, segment.number):
        as_it_is = (each["Labels"].get(NETWORK_LABEL), _subnet(each)) == (segment.uuid, (segment.subnet, segment.gateway))
        known = int((each.get("Options") or {}).get(MTU_OPTION) or mtu)
        if as_it_is and known == mtu:
            return mtu
        if not _release(client, segment.number):
            if as_it_is:
                return known
            raise DriverError(f"Docker's network {each['Name']} is of another subnet, {_subnet(each)[0]}, and has containers: remove those")
    try:
        client.create_network(
            segment.bridge,
            driver="bridge",
            check_duplicate=True,
            ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=segment.subnet, gateway=segment.gateway)]),
            labels={SEGMENT_LABEL: str(segment.number), NETWORK_LABEL: segment.uuid},
            options={"com.docker.network.bridge.name": segment.bridge, MTU_OPTION: str(mtu)},
        )
    except APIError as error:
        if error.status_code == 409 and _of(client, segment.number):  # somebody was faster
            return mtu
        hint = "another network of this host has these addresses" if "overlap" in str(error.explanation).lower() else "see its log"
        raise DriverError(f"Docker can't make a network of {segment.subnet}: {error.explanation} ({hint})") from error
    return mtu


def _subnet(listed: Json) -> tuple[str, str]:
    config = ((listed.get("IPAM") or {}).get("Config") or [{}])[0]
    return str(config.get("Subnet")), str(config.get("Gateway"))


def _release(client: docker.APIClient, segment: int) -> bool:
    """Also a stopped container is on it: without its network it could not be started again."""
    for each in _of(client, segment):
        if client.containers(all=True, filters={"network": [each["Id"]]}):
            return False
        try:
            client.remove_network(each["Id"])
        except NotFound:
            continue
        except APIError as error:
            if error.status_code in (403, 409):  # one came meanwhile
                return False
            raise
    return True


def _of(client: docker.APIClient, segment: int) -> list[Json]:
    listed: list[Json] = client.networks(filters={"label": f"{SEGMENT_LABEL}={segment}"})
    return listed


def attached(body: Json, attachments: Sequence[Attachment], names: Sequence[str] = ()) -> Json:
    """A create request's body on these networks, the first one's way out being its own. `names`: what it is called there."""
    config: dict[str, Any] = body.get("HostConfig") or {}
    if not attachments or str(config.get("NetworkMode") or "").startswith(OWN_WAYS):
        return body
    first = attachments[0]
    config = {**config, "NetworkMode": first.bridge}
    if first.names and not config.get("Dns"):
        config["Dns"] = list(first.names[:MOST_SERVERS])
    networking = {"EndpointsConfig": {first.bridge: _endpoint(first, names)}}
    return {**body, "HostConfig": config, "NetworkingConfig": networking, **({"MacAddress": first.mac} if first.mac else {})}


def attach_others(client: docker.APIClient, container: str, attachments: Sequence[Attachment], names: Sequence[str] = ()) -> None:
    """Docker makes a container with one network; the others, and one that was made anew since, are added before it starts."""
    networks = client.inspect_container(container)["NetworkSettings"]["Networks"]
    if not attachments or any(name.startswith(OWN_WAYS) for name in networks):
        return
    for each in attachments:
        there = networks.get(each.bridge)
        current = client.inspect_network(each.bridge)["Id"]
        wanted = ((there or {}).get("IPAMConfig") or {}).get("IPv4Address")
        if there is not None and wanted == each.address and there.get("NetworkID") in ("", current):
            continue
        if there is not None:
            client.disconnect_container_from_network(container, each.bridge, force=True)
        client.connect_container_to_network(container, each.bridge, ipv4_address=each.address, aliases=list(names))


def _endpoint(each: Attachment, names: Sequence[str]) -> Json:
    endpoint: Json = {"IPAMConfig": {"IPv4Address": each.address}, "Aliases": list(names)}
    return {**endpoint, **({"MacAddress": each.mac} if each.mac else {})}
