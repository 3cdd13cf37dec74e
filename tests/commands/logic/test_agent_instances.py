"""What agent instances are given: the key of their agent, and where their provider offers ipsec tunnels, two ports and a key for these."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from commands.catalogue.builtin import CATALOGUE
from commands.logic import agent_instances, payload
from commands.resource import Json, fold_all
from commands.secrets.vault import Vault
from commands.turns.decide import Delete, Run
from commands.turns.interventions import ForceRemove
from commands.turns.world import World
from eventstore import Event, Write
from eventstore.memory import MemoryStore
from tests.support.cloud import Cloud, a_running_cloud
from tests.support.networks import a_network, claims_on
from tests.support.story import Story, a_cloud

AGENT = "instance-2"
PORTS = "host-1/hostPort"


def with_tunnels(**service: Any) -> Story:
    """A network whose agent instance, instance 2, offers ipsec tunnels; instance 1 brought it."""
    story = a_cloud()
    a_network(story, kind="hostOnlyNetwork", dynamic=True)
    story.create("account", uuid="system", kind="system")
    story.create("agentInstanceProvider", kind="agentInstanceProvider", networkId=1, agentInstanceImageUuid="sim:agent", accountId=1)
    story.create("ipsecTunnelService", kind="ipsecTunnelService", networkId=1, networkServiceProviderId=1, accountId=1, **service)
    story.create("container", imageId=1, accountId=1, networkIds=[1])
    story.answer_all()
    assert (story.resource(AGENT).row["name"], story.resource(AGENT).state) == ("Agent", "running")
    return story


def instance_in(world: World, number: int) -> Json:
    maps = [each for each in world.resources.values() if each.type == "instanceHostMap" and each.row["instanceId"] == number]
    found: Json = payload.instance_map(world, maps[0])["instanceHostMap"]["instance"]
    return found


def test_a_tunnel_service_has_a_key_that_no_list_shows() -> None:
    story = with_tunnels(uuid="tunnels")
    key = story.only("data")
    assert (key.row["name"], key.row["visible"]) == ("tunnels/ipsecKey", False)
    assert bytes.fromhex(key.row["value"]) == bytes(range(48))
    assert story.only("networkService").row["data"] == {"ipsecKey": key.id}


def test_a_tunnel_service_without_an_agent_instance_needs_no_key() -> None:
    story = a_cloud()
    a_network(story)
    story.create("networkServiceProvider", networkId=1, accountId=1)
    for provider in (None, 1):
        story.create("ipsecTunnelService", kind="ipsecTunnelService", networkId=1, networkServiceProviderId=provider, accountId=1)
    story.create("dnsService", kind="dnsService", networkId=1, accountId=1)
    assert not [each for each in story.resources().values() if each.type == "data"]


def test_an_agent_instance_has_two_ports_on_its_host_while_it_runs() -> None:
    story = with_tunnels()
    data = story.resource(AGENT).row["data"]
    assert data["ipsec"] == {"1": {"isakmp": 500, "nat": 4500}}
    assert {(1, item) for item in claims_on(story, PORTS)} == {tuple(each) for each in data["ipsecPorts"]}
    assert len(data["ipsecPorts"]) == 2
    assert set(claims_on(story, PORTS).values()) == {AGENT}
    assert "ipsec" not in story.resource("instance-1").data, "those that it serves have none"
    story.command(AGENT, Run("stop"))
    story.answer_all()
    assert (story.resource(AGENT).state, claims_on(story, PORTS)) == ("stopped", {})
    story.command(AGENT, Run("start"))
    story.answer_all()
    assert len(claims_on(story, PORTS)) == 2


def test_the_ports_of_an_agent_instance_end_with_it_however_it_ends() -> None:
    for end in (Delete(), ForceRemove("it is lost")):
        story = with_tunnels()
        story.command(AGENT, end)
        story.answer_all()
        if story.resource(AGENT).state == "removed":
            story.command(AGENT, Run("purge"))
            story.answer_all()
        assert claims_on(story, PORTS) == {}


async def test_an_agent_instance_is_told_who_it_is_in_its_data_and_its_environment() -> None:
    story = with_tunnels()
    store = MemoryStore()
    vault = Vault(store, CATALOGUE)
    for event in story.log:
        written = Write(event.stream, len(await store.read(event.stream)), (Event(event.type, event.data),), event.root)
        await store.append(await vault.sealed([written]))
    sealed = World(CATALOGUE, fold_all(await store.read_all(0, 10_000)), story.fleet)
    assert "agentInstanceAuth" not in instance_in(sealed, 2)["data"], "a secret that is not opened is no key"
    opened = await vault.opened_all(sealed.resources.values())
    world = World(CATALOGUE, {each.stream: each for each in opened}, story.fleet)
    [key] = agent_instances.keys_of(world)
    assert (key.kind, key.row["accountId"]) == ("agentApiKey", story.resource("agent-2").row["accountId"])
    data = instance_in(world, 2)["data"]
    expected = base64.b64encode(f"{key.row['publicValue']}:{key.row['secretValue']}".encode()).decode()
    assert data["agentInstanceAuth"] == f"Basic {expected}"
    assert data["fields"]["environment"] == {"CATTLE_AGENT_INSTANCE_AUTH": f"Basic {expected}"}
    assert data["fields"]["privileged"] is True
    assert "agentInstanceAuth" not in instance_in(world, 1).get("data", {})
    assert key.row["secretValue"] not in str(instance_in(world, 2))


async def test_the_engine_opens_the_key_of_an_agent_in_an_instance_for_the_agent_of_its_host(nats_url: str) -> None:
    async with a_running_cloud(MemoryStore(), nats_url) as cloud:
        inside = await cloud.create("agent", uri="event://inside", managedConfig=False)
        while not (key := await _key_of(cloud, inside.stream)):
            await asyncio.sleep(0.01)
        made = await cloud.create("container", imageUuid="sim:agent", agentId=inside.id, environment={"A": "b"})
        await cloud.until(made.stream, "running")
        [asked] = cloud.agent.commands("compute.instance.activate")
        data = asked.data["instanceHostMap"]["instance"]["data"]
        assert base64.b64decode(data["agentInstanceAuth"].removeprefix("Basic ")).decode() == key
        assert data["fields"]["environment"] == {"A": "b", "CATTLE_AGENT_INSTANCE_AUTH": data["agentInstanceAuth"]}


async def _key_of(cloud: Cloud, agent: str) -> str:
    """public:secret, once it is active."""
    account = (await cloud.resource(agent)).row.get("accountId")
    log = fold_all((await cloud.store.load(["credential"])).events)
    mine = [each for each in log.values() if each.row.get("accountId") == account and each.state == "active" and account is not None]
    opened = await Vault(cloud.store, CATALOGUE).opened_all(mine)
    return "".join(f"{each.row['publicValue']}:{each.row['secretValue']}" for each in opened if each.kind == "agentApiKey")


def test_metadata_holds_the_public_keys_of_an_instance() -> None:
    story = a_cloud()
    a_network(story)
    story.create("metadataService", kind="metadataService", networkId=1, configDrive=True, accountId=1)
    for kind, value in (("sshKey", "ssh-rsa AAAA a"), ("apiKey", "someone"), ("sshKey", "ssh-rsa BBBB b")):
        story.create("credential", kind=kind, publicValue=value, secretValue="s", accountId=1)
    last = [each.id for each in story.resources().values() if each.type == "credential"][-3:]
    story.create("container", imageId=1, accountId=1, networkIds=[1], credentialIds=last, userdata="#!/bin/sh", name="web")
    story.answer_all()
    world = World(CATALOGUE, story.resources(), story.fleet)
    [(address, told)] = instance_in(world, 1)["data"]["metadata"].items()
    assert address == story.resource("instance-1").fields["primaryIpAddress"]
    assert told["user-data"] == "#!/bin/sh"
    assert told["meta-data"]["hostname"] == "web"
    assert told["meta-data"]["public-keys"] == {"0": {"openssh-key": "ssh-rsa AAAA a"}, "1": {"openssh-key": "ssh-rsa BBBB b"}}


def test_no_metadata_is_sent_where_no_service_attaches_it() -> None:
    story = a_cloud()
    a_network(story)
    story.create("metadataService", kind="metadataService", networkId=1, configDrive=False, accountId=1)
    story.create("container", imageId=1, accountId=1, networkIds=[1])
    story.answer_all()
    assert "metadata" not in (instance_in(World(CATALOGUE, story.resources(), story.fleet), 1).get("data") or {})
