"""Answers that are not what they should be: found where they are taken in, and told; whatever else goes wrong is Corral's own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from commands.catalogue.fields import converted, number_in
from commands.catalogue.model import Field
from commands.errors import Refused
from commands.logic import docker
from commands.turns.answers import legible, read
from commands.turns.turn import Turn
from eventstore.memory import MemoryStore
from tests.support.cloud import a_running_cloud
from tests.support.story import a_cloud, sim_inventory

TOO_DEEP: Any = {}
for _ in range(300):
    TOO_DEEP = {"in": TOO_DEEP}

WRONG: list[tuple[Any, str]] = [
    ({"+data": {"text": "\0"}}, "it holds a NUL character"),
    ({"+data": {"half": "\ud800"}}, "it is not JSON"),
    ({"+data": TOO_DEEP}, "it is not JSON"),
    ({"+data": 5}, "data is 5, and not a map"),
    ({"data": {"fields": "all"}}, "data.fields is 'all', and not a map"),
    ({"removeTime": "tomorrow"}, "removeTime is 'tomorrow', and not of type date"),
    ({"name": {"en": "web"}}, "name is {'en': 'web'}, and not of type string"),
    ({"instance": {"+data": {"+fields": {"dockerPorts": [80]}}}}, "instance: dockerPorts is [80], and not of type map[string]"),
    ({"instance": {"image": {"physicalSizeMb": "big"}}}, "instance: image: physicalSizeMb is 'big', and not of type int"),
    ({"host": {"description": [2]}}, "host: description is [2], and not of type string"),
    ({"host": {"computeFree": "lots"}}, "host: computeFree is 'lots', and not of type int"),
    ({"host": {"name": [1]}}, "host: name is [1], and not of type string"),
    ({"instance": {"memoryMb": 2**70}}, "it is not JSON"),
    ({"instance": {"compute": 1e308}}, "instance: compute is 1e+308, and not of type int"),
    ({"instance": {"name": "n" * 256}}, "instance: name is"),
    ({"instance": {"data": {"fields": {"networkIds": {"a": 1}}}}}, "instance: networkIds is {'a': 1}, and not of type"),
]

RIGHT: list[Any] = [
    {},
    {"uuid": 5, "state": 7, "id": {}, "unheard": {"of": [1]}},
    {"name": None, "instance": None, "host": 3, "hostId": "one"},
    {"instance": {"+data": {"dockerContainer": {"Id": "1"}, "+fields": {"dockerPorts": {"80/tcp": 8080, "81/tcp": "8081"}, "mine": 1}}}},
    {"data": {"a": 1}, "removeTime": "2026-01-01T00:00:00Z"},
    {"host": {"description": 2, "computeFree": "5000"}, "instance": {"memoryMb": "64"}},
    {"instance": {"allocationState": "banana", "created": "not a date", "+data": {"+fields": {"state": [1], "kind": 5}}}},
]


def inventory(**changed: Any) -> Any:
    first, *others = sim_inventory()["resources"]
    return {"resources": [{**first, **changed}, *others]}


@pytest.mark.parametrize(("data", "why"), WRONG)
def test_an_answer_that_can_not_be_taken_in_counts_as_an_error_that_says_why(data: Any, why: str) -> None:
    story = a_cloud()
    story.create("container", imageId=1, accountId=1, name="web")
    while (ask := story.asks()[0]).command != "compute.instance.activate":
        story.answer(ask)
    story.answer(ask, data)
    [failed] = [event for event in story.log if event.type == "step-failed"]
    assert failed.data["error"].startswith(f"the answer to compute.instance.activate can't be taken in: {why}")
    story.pass_time(60)
    story.answer_all()
    assert story.resource("instance-1").state == "running"
    assert story.resource("instance-1").row["name"] == "web"


FOR_OTHERS: Any = {
    "instance": {
        "imageId": 9, "requestedHostId": 9, "userdata": "#!/bin/sh",
        "+data": {"dockerCreate": {"HostConfig": {"Privileged": True}}, "dockerInspect": {"Id": "5"}, "+fields": {
            "privileged": True, "+environment": {"LD_PRELOAD": "x"}, "dockerVolumes": ["/:/host"], "devices": ["/dev/sda"],
            "dockerIp": "10.0.0.9",
        }},
        "image": {"url": "http://attacker.example/image", "checksum": None, "isPublic": False, "format": "qcow2"},
        "account": {"name": "mine", "description": "mine"},
    },
    "host": {"agentId": 9, "agent": {"uri": "ssh://root@victim.example:22", "description": "an agent"}},
}  # fmt: skip


def test_an_agent_says_nothing_of_what_other_hosts_are_told() -> None:
    """What a container may do goes with it to other hosts, an image is fetched by all, and the server logs in where an agent's uri says."""
    story = a_cloud()
    story.create("container", imageId=1, accountId=1, name="web", data={"fields": {"command": "true", "environment": {"A": "b"}}})
    while (ask := story.asks()[0]).command != "compute.instance.activate":
        story.answer(ask)
    before = story.resource("instance-1")
    shared = {each.stream: each.row for each in story.fleet.all("account")}
    story.answer(ask, FOR_OTHERS)
    story.answer_all()
    web, image, host, agent = (story.resource(each) for each in ("instance-1", "image-1", "host-1", "agent-1"))
    assert web.state == "running"
    assert (web.row["imageId"], web.row.get("requestedHostId"), web.row.get("userdata")) == (1, None, None)
    assert {name: web.fields.get(name) for name in ("privileged", "dockerVolumes", "devices", "command", "environment")} == {
        name: before.fields.get(name) for name in ("privileged", "dockerVolumes", "devices", "command", "environment")
    }
    assert "dockerCreate" not in web.data
    assert (web.data["dockerInspect"], web.fields["dockerIp"]) == ({"Id": "5"}, "10.0.0.9")
    assert (image.row.get("url"), image.row["isPublic"], image.row["format"]) == (None, True, "qcow2")
    assert (host.row["agentId"], agent.row["description"]) == (1, "an agent")
    assert not str(agent.row.get("uri")).startswith("ssh://")
    assert {each.stream: each.row for each in story.fleet.all("account")} == shared


def test_an_agent_says_nothing_of_where_something_is() -> None:
    """A place is what the log has claimed: a map, a volume or an instance that an answer tied to another one would be counted twice."""
    story = a_cloud(hosts=2)
    story.create("container", imageId=1, accountId=1, name="web", validHostIds=[1])
    elsewhere: Any = {"hostId": 2, "instanceId": 9, "storagePoolId": 2, "volumeId": 9, "imageId": 9, "physicalHostId": 9, "networkIds": [9]}
    elsewhere["data"] = {"fields": {"validHostIds": [2], "+networkIds": [9]}}
    for _ in range(20):
        for ask in story.asks():
            nested = {name: dict(elsewhere) for name in ("host", "instance", "volume", "storagePool", "image")}
            story.answer(ask, {**elsewhere, **nested, "volume": {**elsewhere, "instance": elsewhere}})
    rows = {each: story.resource(each).row for each in ("instance-1", "volume-1", "instanceHostMap-1", "volumeStoragePoolMap-1", "host-1")}
    assert story.resource("instance-1").state == "running"
    assert (rows["instanceHostMap-1"]["hostId"], rows["instanceHostMap-1"]["instanceId"]) == (1, 1)
    assert (rows["volumeStoragePoolMap-1"]["storagePoolId"], rows["volumeStoragePoolMap-1"]["volumeId"]) == (1, 1)
    assert (rows["volume-1"]["instanceId"], rows["volume-1"].get("imageId"), rows["instance-1"]["imageId"]) == (1, 1, 1)
    assert story.resource("instance-1").get("networkIds") is None
    assert story.resource("instance-1").get("validHostIds") == [1]
    assert rows["host-1"].get("physicalHostId") != 9


@pytest.mark.parametrize("whole", [{"data": {"fields": {"privileged": True}}}, {"+data": {"fields": {"privileged": True}}}])
def test_an_agent_that_replaces_what_is_known_takes_nothing_of_it_away(whole: Any) -> None:
    story = a_cloud()
    story.create("container", imageId=1, accountId=1, name="web", data={"fields": {"command": "true", "environment": {"A": "b"}}})
    while (ask := story.asks()[0]).command != "compute.instance.activate":
        story.answer(ask)
    story.answer(ask, {"instance": whole})
    assert story.resource("instance-1").fields == {"command": "true", "environment": {"A": "b"}}


def test_a_host_is_on_the_physical_host_that_its_own_agent_says() -> None:
    story = a_cloud()
    [host] = story.fleet.all("host")
    story.create("agent", uri="event://other", uuid="other", managedConfig=False, name="other")
    moved = {"type": "host", "kind": "sim", "uuid": host.row["uuid"], "physicalHostUuid": "elsewhere"}
    story.answer_all(lambda ask: {"resources": [{"type": "physicalHost", "uuid": "elsewhere", "name": "elsewhere"}, moved]})
    assert [each.row["uuid"] for each in story.fleet.all("physicalHost")][-1] == "elsewhere"
    assert story.resource(host.stream).row.get("physicalHostId") == host.row.get("physicalHostId")


@pytest.mark.parametrize("data", RIGHT)
def test_what_is_no_row_of_ours_is_nobodys_fault(data: Any) -> None:
    story = a_cloud()
    story.create("container", imageId=1, accountId=1)
    story.answer_all(lambda ask: data if ask.command == "compute.instance.activate" else {})
    assert story.resource("instance-1").state == "running"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"resources": 5}, "resources is '5', and not a list"),
        (inventory(uuid=["pool"]), "resources[0].uuid is"),
        (inventory(hostUuid={"a": 1}), "resources[0].hostUuid is"),
        (inventory(kind=7), "resources[0].kind is '7', and not text"),
        (inventory(data={"fields": 1}), "resources[0].data is"),
    ],
)
def test_an_inventory_that_is_none_counts_as_an_error_until_it_is_one(answer: Any, why: str) -> None:
    story = a_cloud()
    story.create("agent", uri="sim://other", uuid="other", managedConfig=False)
    [ask] = story.asks()
    story.answer(ask, answer)
    assert [why in event.data["error"] for event in story.log if event.type == "step-failed"] == [True]
    assert story.resource("agent-2").state == "activating"
    story.pass_time(20)
    story.answer_all(lambda ask: {"resources": ["a word", {"type": "host"}, *sim_inventory()["resources"]]})
    assert story.resource("agent-2").state == "active"


@pytest.mark.parametrize(
    ("type", "value", "fitting"),
    [
        ("int", 2**63, False), ("int", True, False), ("int", 1.5, False), ("int", -5, True), ("boolean", 2, False),
        ("boolean", False, True), ("int", "many", False), ("int", "12", True), ("reference[host]", "1h2", False),
        ("enum", "a", True), ("date", [5], False), ("array[reference[host]]", [1, None], True), ("array[string]", [["a"]], False),
        ("map[string]", {"a": {}}, False), ("map[json]", {"a": [1]}, True), ("json", object(), True), ("date", "9" * 40, False),
    ],
)  # fmt: skip
def test_a_value_fits_its_fields_type_or_not(type: str, value: Any, fitting: bool) -> None:
    def is_taken() -> bool:
        try:
            converted(Field("some", type), value, number_in)
        except Refused:
            return False
        return True

    assert is_taken() is fitting


def test_words_are_cleaned_of_what_the_log_cannot_hold() -> None:
    assert legible("half \ud800 and \0 done, \u00e4") == "half ? and \ufffd done, \u00e4"
    assert legible(None) is None
    story = a_cloud()
    resource = story.resource("host-1")
    assert read(story.turn("", {}), resource, "ping", {"name": legible("a\0")}) == {"name": "a\N{REPLACEMENT CHARACTER}"}


async def test_progress_and_errors_in_words_that_the_log_cannot_hold_park_nothing(nats_url: str) -> None:
    failed = False

    async def behave(message: Any) -> Any:
        nonlocal failed
        if message.name != "compute.instance.activate":
            return {}
        if not failed:
            failed = True
            return "it broke\0 down"
        for percent in (b"1e30", b"-5", b"50"):
            said = message.reply(transitioning="yes", message="half\0way", progress=77).encode()
            key = b'"transitioningProgress":'
            await cloud.agent.nats.publish(message.replyTo, said.replace(key + b"77", key + percent))
        return None

    async with a_running_cloud(MemoryStore(), nats_url, behave=behave) as cloud:
        created = await cloud.create("container", imageUuid="sim:x")
        told: list[Any] = []
        async with asyncio.timeout(60):
            while not told:
                await asyncio.sleep(0.05)
                told = [event for event in await cloud.store.read_all() if "half" in str(event.data.get("message"))]
        assert told[0].data.get("percent") in (None, 50)
        assert told[0].data["message"] == "half\ufffdway"
        logged = await cloud.store.read_all()
        assert not [event.data for event in logged if event.type == "process-parked"]
        assert [event.data["error"] for event in logged if event.type == "step-failed"] == ["it broke\ufffd down"]
        assert created.stream == "instance-1"


async def test_corrals_own_failure_over_a_good_answer_does_not_count_as_an_error_of_the_agents(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = 0

    def fails_once(turn: Turn, instance: Any) -> None:
        nonlocal times
        times += 1
        if times == 1:
            raise KeyError("a fault of our own")

    monkeypatch.setattr(docker, "_image_ports", fails_once)
    async with a_running_cloud(MemoryStore(), nats_url) as cloud:
        created = await cloud.create("container", imageUuid="sim:x")
        await cloud.until(created.stream, "running", seconds=60)
        logged = await cloud.store.read_all()
        assert not [event for event in logged if event.type == "step-failed"]
        assert any("Corral itself failed (KeyError" in event.data["reason"] for event in logged if event.type == "process-parked")
