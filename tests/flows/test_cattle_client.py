"""Cattle's own Python client against the real server: what its programs did with Cattle, they do with Corral."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.cattle_client import cattle_client
from tests.support.server import Server
from tests.support.waiting import until


@pytest.fixture(scope="module")
def cattle(shared_home: Path) -> Iterator[Any]:
    """A client of a server with a simulated host."""
    with Server(shared_home) as server:
        yield cattle_client(f"{server.url}/v1")


def actions(resource: Any) -> set[str]:
    return set(resource.actions.__dict__)


def test_a_container_is_made_followed_stopped_started_restarted_removed_and_purged(cattle: Any) -> None:
    (host,) = cattle.list_host()
    assert (host.state, host.kind) == ("active", "sim")

    made = cattle.create_container(imageUuid="sim:x", name="web", environment={"A": "1"}, data={"mine": {"b.c": 2}})
    assert made.type == "container"
    assert made.transitioning == "yes"
    assert made.state in ("requested", "creating", "starting")

    container = cattle.wait_success(made, timeout=20)
    assert (container.state, container.name, container.imageUuid) == ("running", "web", "sim:x")
    assert container.environment == {"A": "1"}
    assert container.data.mine == {"b.c": 2}
    assert container.firstRunning is not None
    assert {"stop", "restart"} <= actions(container)
    assert "start" not in actions(container)

    follow_links(cattle, container, host)

    stopped = cattle.wait_success(container.stop(), timeout=20)
    assert stopped.state == "stopped"
    assert {"start", "remove"} <= actions(stopped)

    running = cattle.wait_success(stopped.start(), timeout=20)
    assert running.state == "running"

    again = running.restart()
    assert again.transitioning == "yes"
    assert cattle.wait_success(again, timeout=20).state == "running"

    removing = cattle.delete(cattle.reload(running))
    assert removing.state in ("stopping", "removing")
    removed = cattle.wait_success(removing, timeout=20)
    assert removed.state == "removed"
    assert removed.removed is not None
    assert {"restore", "purge"} <= actions(removed)

    purged = cattle.wait_success(removed.purge(), timeout=20)
    assert purged.state == "purged"
    assert cattle.by_id_container(container.id).state == "purged", "it stays readable by its id"


def follow_links(cattle: Any, container: Any, host: Any) -> None:
    (on,) = container.hosts()
    assert on.id == host.id
    assert container.id in [each.id for each in host.instances()]

    (volume,) = container.volumes()
    assert (volume.state, volume.deviceNumber, volume.instanceId) == ("active", 0, container.id)
    assert volume.instance().id == container.id
    (pool,) = volume.storagePools()
    assert pool.id in [each.id for each in host.storagePools()]

    image = container.image()
    assert (image.uuid, image.state) == ("sim:x", "active")
    assert volume.image().id == image.id

    assert container.account().id == container.accountId

    (tie,) = container.instanceHostMaps()
    assert (tie.state, tie.hostId, tie.instanceId) == ("active", host.id, container.id)
    assert tie.host().id == host.id

    (listed,) = cattle.list_container(name="web", include=["hosts", "instanceHostMaps"])
    assert [each.id for each in listed.hosts] == [host.id]
    assert len(listed.instanceHostMaps) == 1


OF_A_CONTAINER: Mapping[str, tuple[str, str, str, str]] = {
    "nics": ("active", "inactive", "removed", "removed"),
    "ports": ("active", "inactive", "inactive", "removed"),
    "instanceLinks": ("active", "inactive", "inactive", "removed"),
    "volumes": ("active", "inactive", "removed", "removed"),
    "instanceHostMaps": ("active", "inactive", "inactive", "removed"),
    "credentialInstanceMaps": ("active", "active", "active", "active"),
}
"""What is made for a container, by the links that lead there: its state while that runs, is stopped, removed and purged."""


def test_what_is_made_for_a_container_lives_and_ends_with_it(cattle: Any) -> None:
    key = cattle.wait_success(cattle.create_sshKey(name="mine"))
    network, provider = a_network_with_services(cattle)
    db = cattle.wait_success(cattle.create_container(imageUuid="sim:db", networkIds=[network.id], ports=["81"]))
    web = cattle.wait_success(
        cattle.create_container(
            imageUuid="sim:web", networkIds=[network.id], ports=["8082:80"], instanceLinks={"db": db.id}, credentialIds=[key.id]
        )
    )
    made = {link: one(web, link) for link in OF_A_CONTAINER}
    everywhere = follow_what_is_shared(cattle, web, made["nics"], network, provider)
    volume_map = one(made["volumes"], "volumeStoragePoolMaps")

    for number, step in enumerate((lambda: web, web.stop, lambda: cattle.delete(web), lambda: cattle.reload(web).purge())):
        cattle.wait_success(step())
        seen = {link: cattle.wait_success(each).state for link, each in made.items()}
        assert seen == {link: states[number] for link, states in OF_A_CONTAINER.items()}
        assert {cattle.wait_success(each).state for each in everywhere} == {"active"}, "others use it, too"
    assert cattle.wait_success(volume_map).state == "removed"


def one(thing: Any, link: str) -> Any:
    """The only one that the link leads to, once the lists, which may lag, hold it."""
    [found] = until(getattr(thing, link), lambda page: len(page) > 0)
    return found


def a_network_with_services(cattle: Any) -> tuple[Any, Any]:
    network = cattle.wait_success(cattle.create_hostOnlyNetwork(hostVnetUri="bridge://docker0", dynamicCreateVnet=True))
    cattle.wait_success(cattle.create_subnet(networkId=network.id, networkAddress="10.42.0.0"))
    provider = cattle.wait_success(cattle.create_agentInstanceProvider(networkId=network.id, agentInstanceImageUuid="sim:agent"))
    for kind in ("dns", "dhcp", "link", "port", "hostNatGateway", "metadata", "ipsecTunnel"):
        cattle.wait_success(cattle.create(f"{kind}Service", networkId=network.id, networkServiceProviderId=provider.id))
    return network, provider


def follow_what_is_shared(cattle: Any, web: Any, nic: Any, network: Any, provider: Any) -> list[Any]:
    """An address, and what ties it to the nic; the network's segment on the host; the agent that serves it, in an instance of its own."""
    address = one(nic, "ipAddresses")
    assert address.address == web.primaryIpAddress
    assert nic.network().id == network.id
    address_map = one(nic, "ipAddressNicMaps")
    vnet = nic.vnet()
    on_host, on_subnet = one(vnet, "hostVnetMaps"), one(vnet, "subnetVnetMaps")
    assert on_host.hostId == web.hosts()[0].id
    assert on_subnet.subnetId == address.subnetId
    serving = one(provider, "networkServiceProviderInstanceMaps")
    agent = cattle.wait_success(serving.instance()).agentId
    agent = cattle.wait_success(cattle.by_id_agent(agent))
    assert {each.name for each in agent.configItemStatuses()} >= {"dnsmasq", "hosts", "iptables", "metadata", "ipsec"}
    assert address.address in [each.item for each in cattle.list_resourcePool(ownerType="ipAddress")]
    return [address, address_map, vnet, on_host, on_subnet, serving, agent, *web.image().imageStoragePoolMaps()]


def test_what_an_agent_tells_of_is_made_and_has_a_life_of_its_own(cattle: Any) -> None:
    agent = cattle.wait_success(cattle.create_agent(uri="sim://more", managedConfig=False))
    host, pool = one(agent, "hosts"), one(agent, "storagePools")
    tie = one(host, "storagePoolHostMaps")
    physical = host.physicalHost()
    assert (tie.storagePoolId, pool.agentId, physical.kind) == (pool.id, agent.id, "sim")
    for each in (host, pool, tie, physical):
        thing = cattle.wait_success(each)
        assert thing.state == "active"
        for action in ("deactivate", "activate", "deactivate", "remove", "restore", "remove", "purge"):
            thing = cattle.wait_success(cattle.action(thing, action))
        assert thing.state == "purged"
    agent = cattle.wait_success(agent.deactivate())
    assert cattle.wait_success(agent.remove()).state == "removed"


def test_a_list_is_walked_page_by_page(cattle: Any) -> None:
    made = cattle.create_container(imageUuid="sim:x", name="of-many", count=5)
    assert len(made) == 5
    for each in made:
        assert cattle.wait_success(each, timeout=20).state == "running"

    page, seen = cattle.list_container(name="of-many", limit=2, sort="id"), []
    pages = 1
    seen += [each.id for each in page]
    while "next" in page.pagination and page.pagination.next is not None:
        page = page.next()
        pages += 1
        seen += [each.id for each in page]

    assert seen == sorted((each.id for each in made), key=lambda id: int(id[2:]))
    assert pages == 3


def test_a_wish_that_cannot_be_met_is_the_clients_own_error(cattle: Any) -> None:
    import cattle as library

    with pytest.raises(library.ApiError) as missing:
        cattle.create_container(name="no image")
    assert (missing.value.error.status, missing.value.error.code) == (422, "MissingRequired")
    assert missing.value.error.fieldName == "imageUuid"
    assert cattle.by_id_container("1i999999") is None

    failed = cattle.create_container(imageUuid="sim:x", name="compute.instance.activate::fail")
    with pytest.raises(library.ClientApiError, match=r"Failing \[compute\.instance\.activate\]"):
        cattle.wait_success(failed, timeout=20)
    assert cattle.wait_transitioning(failed, timeout=20).state == "removed"
