"""What a cloud starts with: accounts always, sample networks where the settings say so; each once, however many servers start."""

from __future__ import annotations

import asyncio

import pytest

from commands.accepting.seed import seed
from commands.accepting.service import Commands
from commands.catalogue.builtin import CATALOGUE
from commands.resource import fold_all
from commands.settings.settings import DEFAULTS
from eventstore.memory import MemoryStore
from tests.support.cloud import a_running_cloud

SAMPLE = {"sample.setup": True}


async def uuids(store: MemoryStore, *types: str) -> set[str]:
    return {each.row["uuid"] for each in fold_all((await store.load(types)).events).values()}


async def test_without_being_asked_there_are_no_networks() -> None:
    store = MemoryStore()
    assert await seed(Commands(store, CATALOGUE, DEFAULTS)) == 1
    assert await uuids(store, "account") == {"admin", "system", "superadmin"}
    assert await uuids(store, "network", "subnet") == set()


async def test_two_servers_that_start_at_once_make_the_samples_once() -> None:
    store = MemoryStore()
    await seed(Commands(store, CATALOGUE, DEFAULTS))
    servers = [Commands(store, CATALOGUE, {**DEFAULTS, **SAMPLE}) for _ in range(2)]
    await asyncio.gather(*(seed(each) for each in servers))
    head = await store.head()
    await seed(servers[0])
    assert await store.head() == head
    assert await uuids(store, "network", "subnet", "networkServiceProvider") == {
        "unmanaged", "managed-docker0", "docker0-subnet", "docker0-agent-instance-provider",
    }  # fmt: skip


@pytest.mark.timeout(60)
async def test_the_sample_networks_can_be_used(nats_url: str) -> None:
    store = MemoryStore()
    async with a_running_cloud(store, nats_url, settings=SAMPLE) as cloud:
        for stream in ("network-1", "network-2", "subnet-1", "networkServiceProvider-1"):
            await cloud.until(stream, "active")
        network = await cloud.resource("network-2")
        assert (network.kind, network.row["data"]["libvirt"]["network"]["type"]) == ("hostOnlyNetwork", "bridge")
        services = fold_all((await store.load(["networkService"])).events).values()
        assert {each.row["uuid"] for each in services if each.row["networkId"] == 2} == {
            f"docker0-{word}-service" for word in ("dns", "dhcp", "link", "ipsec-tunnel", "port", "host-nat-gateway", "metadata")
        }
        made = await cloud.create("container", imageUuid="sim:x", networkIds=[2])
        running = await cloud.until(made.stream, "running")
        assert running.fields["primaryIpAddress"].startswith("10.42.")
        plain = await cloud.create("container", imageUuid="sim:x")
        await cloud.until(plain.stream, "running")
        nics = fold_all((await store.load(["nic"])).events).values()
        assert made.id in {each.row["instanceId"] for each in nics}
        assert plain.id not in {each.row["instanceId"] for each in nics}
