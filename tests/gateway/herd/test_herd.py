"""POST / with an action, as the herd's clients say it; on simulated hosts."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from gateway.herd.herd import ACTIONS
from gateway.herd.templates import KIND
from tests.gateway.herd.conftest import HOSTS, SECONDS, Cloud, Json


def done(answer: Json) -> bool:
    return (answer["Response"], answer["statusCode"]) == ("", 204) and bool(answer["dockerInstance"])


async def test_a_container_lives_its_whole_life(cloud: Cloud) -> None:
    id = await cloud.created()
    assert (await cloud.ask("inspect-container", id=id))["Response"]["Body"]["state"] == "running"
    for action, state in (
        ("start-container", "running"), ("stop-container", "stopped"), ("stop-container", "stopped"), ("start-container", "running"),
        ("restart-container", "running"), ("stop-container", "stopped"), ("restart-container", "running"),
    ):  # fmt: skip
        answer = await cloud.ask(action, id=id)
        assert done(answer), (action, answer)
        assert await cloud.state(id) == state
    assert done(await cloud.ask("delete-container", container=id))
    assert await cloud.state(id) in ("removed", "purged")
    volume = (await cloud.api.get("/v1/volumes", instanceId=id, removed_notnull=""))["data"]
    assert {each["state"] for each in volume} <= {"purged"}, "a root volume that is kept keeps its engine's container"


async def test_several_are_spread_evenly_and_free_to_go_elsewhere_later(cloud: Cloud) -> None:
    first = await cloud.ask("create-container", image="sim:web", instances=1, name="web")
    more = await cloud.ask("create-container", image="sim:web", instances=2 * HOSTS)
    answers = first["containers"] + more["containers"]
    assert len(answers) == 1 + 2 * HOSTS
    assert {each["statusCode"] for each in answers} == {201}
    counts = Counter(each["dockerInstance"] for each in answers)
    assert sorted(counts.values()) == [2] * (HOSTS - 1) + [3]
    shown = [await cloud.api.get(f"/v1/containers/{each['Response']['Body']['Id']}") for each in answers]
    assert shown[0]["name"] == "web"
    assert [(each["state"], each["requestedHostId"]) for each in shown] == [("running", None)] * len(answers)


async def test_nothing_new_comes_to_a_host_that_left_and_what_runs_there_is_left_running(cloud: Cloud) -> None:
    made = await cloud.ask("create-container", image="sim:web", instances=HOSTS)
    gone = (await cloud.hosts())[0]
    there = next(each["Response"]["Body"]["Id"] for each in made["containers"] if each["dockerInstance"] in (gone["id"], gone["name"]))
    answer = await cloud.api.http.post(f"/v1/hosts/{gone['id']}/?action=deactivate")
    assert answer.status_code == 202, answer.text
    async with asyncio.timeout(SECONDS):
        while (await cloud.api.get(f"/v1/hosts/{gone['id']}"))["state"] != "inactive":
            await asyncio.sleep(0.05)
    await cloud.api.settled()
    again = await cloud.ask("create-container", image="sim:web", instances=HOSTS)
    assert gone["id"] not in {each["dockerInstance"] for each in again["containers"]}
    assert await cloud.state(there) == "running"
    assert done(await cloud.ask("stop-container", id=there))


async def test_what_cannot_be_made_says_why(cloud: Cloud) -> None:
    made = await cloud.ask("create-container", image="sim:web", name="compute.instance.activate::fail", instances=2)
    for each in made["containers"]:
        assert each["statusCode"] == 500
        assert "Failing [compute.instance.activate]" in each["Response"]["Body"]["message"]


async def test_an_answer_that_takes_too_long_says_what_it_waits_for_and_the_work_goes_on(cloud: Cloud) -> None:
    id = await cloud.created()
    cloud.delay["compute.instance.deactivate"] = 4.0
    answer = await cloud.ask("stop-container", id=id, timeout=0.5)
    assert answer["statusCode"] == 504
    assert f"{id} is stopping for more than 0.5 seconds and goes on: it waits for" in answer["Response"]["Body"]["message"]
    assert done(await cloud.ask("stop-container", id=id))
    cloud.delay["compute.instance.activate"] = 4.0
    assert (await cloud.ask("create-container", image="sim:web", timeout=0.5))["statusCode"] == 504
    [shown] = (await cloud.api.get("/v1/containers", state="starting"))["data"]
    assert (shown["requestedHostId"], shown["data"]["fields"].get("firstHostId")) == (None, None), "it may go where it has to"


async def test_a_template_of_the_home_or_of_all_servers_is_an_engine_s_own_document(cloud: Cloud, tmp_path: Path) -> None:
    folder = tmp_path / "templates"
    folder.mkdir()
    (folder / "web.json").write_text('{"Image": "sim:web", "Env": ["FROM=file"]}')
    (folder / "broken.json").write_text("{")
    (folder / "bare.json").write_text("{}")

    async def env(id: str) -> Any:
        return (await cloud.api.get(f"/v1/containers/{id}"))["data"]["dockerCreate"]["Env"]

    made = await cloud.ask("create-container", template="web")
    assert await env(made["Response"]["Body"]["Id"]) == ["FROM=file"]
    body = {"Image": "sim:web", "Env": ["FROM=resource"]}
    await cloud.api.post("/v1/genericobjects", kind=KIND, name="web", data={"dockerCreate": body})
    async with asyncio.timeout(SECONDS):
        while (await cloud.api.get("/v1/genericobjects", kind=KIND))["data"][0]["state"] != "active":
            await asyncio.sleep(0.05)
    made = await cloud.ask("create-container", template="web", instances=1)
    assert await env(made["containers"][0]["Response"]["Body"]["Id"]) == ["FROM=resource"]

    assert "there are bare, broken, web" in (await cloud.ask("create-container", 404, template="../web"))["message"]
    broken = await cloud.ask("create-container", 422, template="broken")
    assert "templates/broken.json of this server's home can't be read" in broken["message"]
    assert "template bare has no Image" in (await cloud.ask("create-container", 422, template="bare"))["message"]


async def test_a_raw_container_has_the_body_that_was_given(cloud: Cloud) -> None:
    body = {"Image": "sim:raw", "Cmd": ["true"], "HostConfig": {"Memory": 1 << 26}}
    made = await cloud.ask("create-raw-container", body=body)
    shown = await cloud.api.get(f"/v1/containers/{made['Response']['Body']['Id']}")
    assert (shown["imageUuid"], shown["data"]["dockerCreate"]) == ("sim:raw", body)


@pytest.mark.parametrize(("given", "status", "says"), [
    ({"action": "dance"}, 422, "there is no action 'dance': "),
    ({"action": 5}, 422, "there is no action 5: "),
    ({}, 422, "an action is needed: "),
    ([], 400, "one JSON object is expected here"),
    ({"action": "stop-container"}, 422, "which container?"),
    ({"action": "stop-container", "id": 5}, 422, "id is a text"),
    ({"action": "stop-container", "id": "1i99"}, 404, "there is no instance 1i99"),
    ({"action": "stop-container", "id": "beef00"}, 404, "begins with beef00"),
    ({"action": "create-container"}, 422, "give an image or a template"),
    ({"action": "create-container", "image": "a", "template": "b"}, 422, "one of them"),
    ({"action": "create-container", "image": "sim:a", "instances": 0}, 422, "from 1 to 1000"),
    ({"action": "create-container", "image": "sim:a", "instances": True}, 422, "from 1 to 1000"),
    ({"action": "create-container", "image": "sim:a", "timeout": 0}, 422, "timeout is a number"),
    ({"action": "create-container", "image": "nginx"}, 503, "there is no host for it: none is active"),
    ({"action": "create-raw-container"}, 422, "body is the JSON object"),
    ({"action": "create-raw-container", "body": {"Cmd": ["a"]}}, 422, "body has no Image"),
    ({"action": "list-containers"}, 404, "there is no active Docker host"),
    ({"action": "list-containers", "all": "yes"}, 422, "all is true or false"),
    ({"action": "list-images", "dockerInstance": "mars"}, 404, "there is no Docker host 'mars'"),
    ({"action": "unregister"}, 422, "which host?"),
])  # fmt: skip
async def test_what_is_wrong_is_told(cloud: Cloud, given: Any, status: int, says: str) -> None:
    answer = await cloud.api.http.post("/", json=given)
    assert (answer.status_code, answer.json()["type"]) == (status, "error"), answer.text
    assert says in answer.json()["message"]
    if "action" in says:
        assert all(action in answer.json()["message"] for action in ACTIONS)
    if isinstance(given, dict):
        assert (await cloud.request("corral.herd", given))["message"] == answer.json()["message"], "over NATS alike"


async def test_what_is_no_json_is_told(cloud: Cloud) -> None:
    answer = await cloud.api.http.post("/", content=b'{"action":')
    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidBodyContent")


async def test_an_engine_s_id_or_its_beginning_is_enough_unless_several_are_meant(cloud: Cloud) -> None:
    one, other = await cloud.created(), await cloud.created()
    await cloud.has_engine_id(one, "abcd11" + "0" * 58)
    await cloud.has_engine_id(other, "abcd22" + "0" * 58)
    assert done(await cloud.ask("stop-container", id="abcd1"))
    assert (await cloud.state(one), await cloud.state(other)) == ("stopped", "running")
    several = await cloud.ask("stop-container", 409, id="abcd")
    assert f"abcd may be any of {one}, {other}" in several["message"]


async def test_over_nats_it_is_alike(cloud: Cloud) -> None:
    made = await cloud.request("corral.herd", {"action": "create-container", "image": "sim:web", "instances": 2})
    first, second = (each["Response"]["Body"]["Id"] for each in made["containers"])
    assert done(await cloud.request(f"corral.instance.{first}.stop-container"))
    assert await cloud.state(first) == "stopped"
    assert done(await cloud.request("corral.herd", {"action": "stop-container", "id": second}))
    await cloud.has_engine_id(first, "beef" + "0" * 60)
    assert done(await cloud.request("corral.instance.beef00.start-container", {}))
    assert (await cloud.request("corral.instance.beef00.inspect-container"))["Response"]["Body"]["state"] == "running"
    assert done(await cloud.request("corral.instance.beef00.delete-container", {"timeout": 60}))
    assert (await cloud.request("corral.instance.beef00.delete-container"))["status"] == 404
    unknown = await cloud.request("corral.instance.1i1.dance")
    assert "stop-container" in unknown["end"]["error"]


async def test_a_slow_answer_over_nats_is_one_message_all_the_same(cloud: Cloud) -> None:
    id = await cloud.created()
    cloud.delay["compute.instance.deactivate"] = 7.0  # live queries say after 5 seconds that they go on
    assert done(await cloud.request(f"corral.instance.{id}.stop-container"))


async def test_an_idempotency_key_makes_it_one(cloud: Cloud) -> None:
    cloud.headers["Idempotency-Key"] = "once"
    made = [await cloud.ask("create-container", image="sim:web", instances=2) for _ in range(2)]
    assert made[0] == made[1]
    other = await cloud.ask("create-container", 422, image="sim:other", instances=2)
    assert other["code"] == "IdempotencyKeyReused"
    assert len((await cloud.api.get("/v1/containers"))["data"]) == 2


async def test_progress_comes_a_line_each_before_the_answer(cloud: Cloud) -> None:
    accept = {"Accept": "application/x-ndjson"}
    async with cloud.api.http.stream("POST", "/", json={"action": "create-container", "image": "sim:web"}, headers=accept) as answer:
        lines = [orjson.loads(line) async for line in answer.aiter_lines() if line]
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    *told, last = lines
    assert last["statusCode"] == 201
    states = [each["progress"]["state"] for each in told]
    assert states[-1] == "running"
    assert {each["progress"]["id"] for each in told} == {last["Response"]["Body"]["Id"]}
    refused = await cloud.api.http.post("/", json={"action": "dance"}, headers=accept)
    assert (refused.status_code, refused.json()["code"]) == (422, "InvalidAction")


@pytest.mark.parametrize("headers", [{"Origin": "http://elsewhere.example"}, {"User-Agent": "Mozilla/5.0"}, {"Host": "elsewhere.example"}])
@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson"])
async def test_other_sites_pages_can_do_nothing(cloud: Cloud, headers: dict[str, str], accept: str) -> None:
    made = {"action": "create-container", "image": "sim:web"}
    answer = await cloud.api.http.post("/", json=made, headers={**headers, "Accept": accept})
    assert answer.status_code == 403, answer.text
    assert (await cloud.api.get("/v1/containers"))["data"] == []


async def test_what_get_of_the_root_says_stays(cloud: Cloud) -> None:
    assert (await cloud.api.get("/"))["type"] == "collection"
    assert (await cloud.api.http.post("/v1", json={"action": "dance"})).status_code == 405


async def an_account(cloud: Cloud, kind: str) -> tuple[str, str]:
    """Its key."""
    account = await cloud.api.add("account", name=kind, kind=kind)
    key = (f"key-{kind}", f"secret-{kind}")
    credential = await cloud.api.add("credential", accountId=account, publicValue=key[0], secretValue=key[1], kind="apiKey")
    async with asyncio.timeout(SECONDS):
        for path in (f"/v1/accounts/1a{account}", f"/v1/credentials/1c{credential}"):
            while (await cloud.api.get(path))["state"] != "active":
                await asyncio.sleep(0.05)
    await cloud.api.settled()
    return key


async def test_who_needs_a_key_has_the_rights_of_its_account_alone(cloud: Cloud) -> None:
    id = await cloud.created()
    key, reader = await an_account(cloud, "user"), await an_account(cloud, "readAdmin")

    async def ask(auth: tuple[str, str], **given: Any) -> httpx.Response:
        return await cloud.api.http.post("/", json=given, auth=auth)

    foreign = await ask(key, action="stop-container", id=id)
    assert (foreign.status_code, await cloud.state(id)) == (404, "running")
    raw = await ask(key, action="create-raw-container", body={"Image": "sim:web", "HostConfig": {"Privileged": True}})
    assert (raw.status_code, raw.json()["code"]) == (403, "Forbidden")
    own = (await ask(key, action="create-container", image="sim:web")).json()
    assert own["statusCode"] == 201
    assert done((await ask(key, action="delete-container", id=own["Response"]["Body"]["Id"])).json())
    leave = await ask(key, action="unregister", dockerInstance="1h1")
    assert leave.status_code in (404, 405, 422)
    looks = await ask(reader, action="stop-container", id=id)
    assert looks.status_code >= 400
    assert await cloud.state(id) == "running"
