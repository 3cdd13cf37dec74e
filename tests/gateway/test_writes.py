"""Creating, changing, removing and acting: the codes, and what is answered."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from commands import events
from eventstore import Event
from tests.support.http import Api


async def test_a_created_resource_is_answered_in_its_first_state(api: Api) -> None:
    response = await api.http.post("/v1/hosts", json={"name": "h"})
    assert response.status_code == 201
    document = response.json()
    assert (document["state"], document["transitioning"], document["kind"]) == ("registering", "yes", "host")
    assert int(response.headers["X-Corral-Position"]) == await api.store.head()
    assert document == await api.get(f"/v1/hosts/{document['id']}")


async def test_many_of_one_kind_at_once(api: Api) -> None:
    document = await api.post("/v1/containers", imageUuid="sim:1", name="web", count=3)
    assert document["type"] == "collection"
    assert [each["name"] for each in document["data"]] == ["web"] * 3
    assert len({each["id"] for each in document["data"]}) == 3
    one = await api.post("/v1/containers", imageUuid="sim:1", count=1)
    assert one["type"] == "container"
    for count in (100_000, 2**62):
        response = await api.http.post("/v1/containers", json={"imageUuid": "sim:1", "count": count})
        assert response.json()["code"] == "MaxLimitExceeded"


async def test_an_empty_array_asks_for_nothing_and_is_refused(api: Api) -> None:
    head = await api.store.head()
    response = await api.http.post("/v1/containers", json=[])
    assert (response.status_code, response.json()["code"]) == (422, "MissingRequired")
    assert "empty" in response.json()["message"]
    assert await api.store.head() == head
    one = await api.http.post("/v1/containers", json=[{"imageUuid": "sim:1"}])
    assert (one.status_code, len(one.json()["data"])) == (201, 1)


async def test_a_uuid_belongs_to_one(api: Api) -> None:
    await api.post("/v1/hosts", uuid="mine")
    response = await api.http.post("/v1/hosts", json={"uuid": "mine"})
    assert (response.status_code, response.json()["code"]) == (409, "Conflict")


async def test_an_image_of_another_kind_is_refused(api: Api) -> None:
    image = await api.add("image", name="i", instanceKind="virtualMachine")
    response = await api.http.post("/v1/containers", json={"imageId": f"1i{image}"})
    assert (response.status_code, response.json()["code"]) == (422, "InvalidImageInstanceKind")


@pytest.mark.parametrize("uuid", ["sim:", "docker:", "nginx", "other:x"])
async def test_an_image_that_no_driver_registers_is_refused_with_what_drivers_take(api: Api, uuid: str) -> None:
    response = await api.http.post("/v1/containers", json={"imageUuid": uuid})
    document = response.json()
    assert (response.status_code, document["code"], document["fieldName"]) == (422, "InvalidReference", "imageUuid")
    assert "they take sim:..., docker:..." in document["message"]


async def test_a_change_is_answered_and_nothing_changed_is_nothing_done(api: Api) -> None:
    made = await api.post("/v1/hosts", name="h")
    response = await api.http.put(f"/v1/hosts/{made['id']}", json={"name": "renamed", "uuid": "not to be changed"})
    assert (response.status_code, response.json()["name"], response.json()["uuid"]) == (200, "renamed", made["uuid"])
    head = await api.store.head()
    response = await api.http.put(f"/v1/hosts/{made['id']}", json={"name": "renamed"})
    assert (response.status_code, await api.store.head()) == (200, head)


async def test_sending_the_whole_object_back_changes_nothing(api: Api) -> None:
    requests: list[tuple[str, dict[str, Any]]] = [
        ("hosts", {"name": "h", "data": {"a": {"b": 1}}}),
        ("containers", {"imageUuid": "sim:1", "environment": {"A": "b"}}),
    ]
    for path, fields in requests:
        made = await api.post(f"/v1/{path}", 201, **fields)
        head = await api.store.head()
        response = await api.http.put(f"/v1/{path}/{made['id']}", json=made)
        assert response.status_code == 200, response.text
        assert await api.store.head() == head
        assert response.json() == made


async def test_free_data_keeps_what_a_change_does_not_name(api: Api) -> None:
    made = await api.post("/v1/containers", imageUuid="sim:1", data={"mine": {"a": 1}}, environment={"A": "b"})
    response = await api.http.put(f"/v1/containers/{made['id']}", json={"data": {"other": 2}})
    data = response.json()["data"]
    assert (data["mine"], data["other"], data["fields"]["environment"]) == ({"a": 1}, 2, {"A": "b"})


@pytest.mark.parametrize(
    "fields",
    [
        {"networkIds": "x"}, {"networkIds": {"a": 1}}, {"networkIds": [[5]]}, {"ports": ["no port"]}, {"credentialIds": "no"},
        {"validHostIds": True}, {"instanceLinks": [5]}, {"vnetIds": [{"a": 1}]}, {"dockerPorts": 5}, {"dockerPorts": {"80/tcp": [1]}},
        {"dockerIp": {"a": 1}}, {"requestedHostId": "x"}, {"startOnCreate": "perhaps"},
        {"compute": "much"},
    ],
    ids=str,
)  # fmt: skip
async def test_fields_inside_free_data_are_validated_as_fields(api: Api, fields: Any) -> None:
    for written in ({"fields": fields}, {"+fields": fields}, {"fields": 7}):
        response = await api.http.post("/v1/containers", json={"imageUuid": "sim:1", "data": written})
        assert (response.status_code, response.json()["type"]) == (422, "error"), response.text
    assert (await api.get("/v1/containers"))["data"] == []


async def test_fields_inside_free_data_are_converted_as_fields(api: Api) -> None:
    given = {"networkIds": 5, "mine": {"a": 1}, "transitioning": "error"}
    made = await api.post("/v1/containers", imageUuid="sim:1", data={"fields": given})
    fields = made["data"]["fields"]
    assert (fields["networkIds"], fields["mine"], made["transitioning"]) == ([5], {"a": 1}, "yes")
    changed = await api.http.put(f"/v1/containers/{made['id']}", json={"data": {"+fields": {"imageUuid": 5}}})
    assert changed.json()["imageUuid"] == "5"


async def test_what_corral_keeps_in_free_data_is_not_set_from_outside(api: Api) -> None:
    mine = {"hostPorts": [[1, "80/tcp"]], "+hostPorts": {"a": 1}, "metadataAttach": True, "mine": 2}
    made = await api.post("/v1/containers", imageUuid="sim:1", data=mine)
    assert set(made["data"]) == {"fields", "mine"}
    head = await api.store.head()
    assert (await api.http.put(f"/v1/containers/{made['id']}", json={"data": {"hostPorts": []}})).status_code == 200
    assert await api.store.head() == head


async def test_null_for_free_data_takes_nothing_away(api: Api) -> None:
    made = await api.post("/v1/containers", imageUuid="sim:1", data={"mine": 1}, command="x")
    head = await api.store.head()
    changed = (await api.http.put(f"/v1/containers/{made['id']}", json={"data": None})).json()
    assert (changed["data"], changed["imageUuid"], changed["command"]) == (made["data"], "sim:1", "x")
    assert await api.store.head() == head


async def test_what_corral_creates_itself_has_the_types_defaults(api: Api) -> None:
    number = await api.add("container", imageUuid="sim:1", memoryMb=64)
    made = await api.get(f"/v1/containers/1i{number}")
    assert (made["memoryMb"], made["instanceTriggeredStop"], made["startOnCreate"], made["privileged"]) == (64, "stop", True, False)


async def test_removing_is_answered_with_the_resource(api: Api) -> None:
    made = await api.post("/v1/containers", imageUuid="sim:1")
    response = await api.http.delete(f"/v1/containers/{made['id']}")
    document = response.json()
    assert (response.status_code, document["state"], document["transitioning"]) == (200, "removing", "yes")
    assert (await api.http.delete("/v1/containers/1i99")).status_code == 404


async def active_host(api: Api) -> str:
    made = await api.post("/v1/hosts", name="h")
    (history,) = [e for e in await api.get(f"/v1/hosts/{made['id']}/history") if e["type"] == "process-started"]
    ended = {"pid": history["data"]["pid"], "process": "host.create", "field": "state", "to": "active"}
    await api.happened(history["stream"], Event(events.PROCESS_SUCCEEDED, ended))
    return str(made["id"])


async def test_what_is_active_is_not_removed_and_the_answer_says_what_to_do_first(api: Api) -> None:
    host = await active_host(api)
    response = await api.http.delete(f"/v1/hosts/{host}")
    assert response.status_code == 409
    assert "is active, so deactivate it first (POST /v1/hosts/<id>?action=deactivate)" in response.json()["message"]
    await api.http.post(f"/v1/hosts/{host}?action=deactivate")
    assert (await api.http.delete(f"/v1/hosts/{host}")).status_code == 200


async def test_an_action_is_accepted_when_the_state_has_it(api: Api) -> None:
    host = await active_host(api)
    shown = await api.get(f"/v1/hosts/{host}")
    assert shown["transitioning"] == "no"
    assert {"deactivate", "update"} <= set(shown["actions"])
    assert "activate" not in shown["actions"]
    response = await api.http.post(shown["actions"]["deactivate"], content=b"{}")
    assert (response.status_code, response.json()["state"]) == (202, "deactivating")


async def test_actions_that_are_not_there_or_not_now(api: Api) -> None:
    host = await active_host(api)
    wrong = (("explode", 422, "InvalidAction"), ("activate", 422, "ActionNotAvailable"), ("", 405, "Method not allowed"))
    for action, status, code in wrong:
        response = await api.http.post(f"/v1/hosts/{host}?action={action}")
        assert (response.status_code, response.json()["code"]) == (status, code)
    assert (await api.http.post("/v1/hosts/1h99?action=activate")).status_code == 404
    response = await api.http.post("/v1/hosts?action=activate")
    assert (response.status_code, response.json()["code"]) == (422, "InvalidAction")


async def test_the_input_of_an_action_is_checked(api: Api) -> None:
    made = await api.post("/v1/containers", imageUuid="sim:1")
    instance = f"instance-{made['id'][2:]}"
    await api.happened(instance, Event(events.UPDATED, {"changes": {"state": "running"}}))
    response = await api.http.post(f"/v1/containers/{made['id']}?action=stop", json={"remove": "maybe"})
    assert (response.status_code, response.json()["code"], response.json()["fieldName"]) == (422, "InvalidFormat", "remove")
    response = await api.http.post(f"/v1/containers/{made['id']}/?action=stop", json={"remove": "true", "id": made["id"]})
    assert (response.status_code, response.json()["state"]) == (202, "stopping")


async def test_a_move_may_be_told_where_to(api: Api) -> None:
    host = await api.post("/v1/hosts", name="h")
    for body in ({}, {"hostId": host["id"]}, {"requestedHostId": host["id"]}):
        made = await api.post("/v1/containers", imageUuid="sim:1")
        instance = f"instance-{made['id'][2:]}"
        await api.happened(instance, Event(events.UPDATED, {"changes": {"state": "running"}}))
        refused = await api.http.post(f"/v1/containers/{made['id']}/?action=migrate", json={"hostId": "1h99"})
        assert (refused.status_code, refused.json()["fieldName"]) == (422, "hostId")
        moving = await api.http.post(f"/v1/containers/{made['id']}/?action=migrate", json={**body, "other": 1})
        assert (moving.status_code, moving.json()["state"]) == (202, "migrating")
        assert moving.json().keys() == made.keys()
        [begun] = [each for each in await api.store.read(instance) if each.data.get("process") == "instance.migrate"]
        assert begun.data.get("input", {}) == {name: int(host["id"][2:]) for name in body}


async def test_an_idempotent_request_is_carried_out_once(api: Api) -> None:
    async def create(key: str, **fields: Any) -> Any:
        return await api.http.post("/v1/hosts", json=fields, headers={"Idempotency-Key": key})

    first, second = await asyncio.gather(create("k", name="h"), create("k", name="h"))
    third = await create("k", name="h")
    assert [each.status_code for each in (first, second, third)] == [201] * 3
    assert first.json()["id"] == second.json()["id"] == third.json()["id"]
    assert (await create("k", name="another")).status_code == 422
    assert (await create("other", name="h")).json()["id"] != first.json()["id"]

    many = [await api.http.post("/v1/containers", json={"imageUuid": "sim:1", "count": 2}, headers={"Idempotency-Key": "m"}) for _ in "ab"]
    assert [each["id"] for each in many[0].json()["data"]] == [each["id"] for each in many[1].json()["data"]]


async def test_a_failed_process_shows_why(api: Api) -> None:
    made = await api.post("/v1/containers", imageUuid="sim:1")
    stream = f"instance-{made['id'][2:]}"
    (started,) = [e for e in await api.get(f"/v1/containers/{made['id']}/history") if e["type"] == "process-started"]
    parked = {"pid": started["data"]["pid"], "id": "x", "reason": "agent 7 does not answer"}
    await api.happened(stream, Event(events.PROCESS_PARKED, parked))
    waiting = await api.get(f"/v1/containers/{made['id']}")
    assert (waiting["transitioning"], waiting["transitioningMessage"]) == ("yes", "agent 7 does not answer")
    failed = {"pid": started["data"]["pid"], "process": "instance.create", "field": "state", "error": "no host", "to": "stopped"}
    await api.happened(stream, Event(events.PROCESS_FAILED, failed))
    shown = await api.get(f"/v1/containers/{made['id']}")
    assert (shown["state"], shown["transitioning"], shown["transitioningMessage"]) == ("stopped", "error", "no host")


@pytest.mark.parametrize(
    ("given", "field", "why"),
    [
        ({"startAddress": "10.43.0.2"}, "startAddress", "startAddress 10.43.0.2 is not in the subnet's network, 10.42.7.0/24"),
        ({"endAddress": "10.42.8.0"}, "endAddress", "endAddress 10.42.8.0 is not in the subnet's network"),
        ({"startAddress": "10.42.7.9", "endAddress": "10.42.7.8"}, "startAddress", "10.42.7.9 comes after endAddress 10.42.7.8"),
        ({"endAddress": "10.42.7.1"}, "endAddress", "startAddress 10.42.7.2 comes after endAddress 10.42.7.1"),
        ({"startAddress": "10.42.7.40", "cidrSize": 28}, "startAddress", "is not in the subnet's network, 10.42.7.0/28"),
    ],
)
async def test_a_subnet_gives_out_addresses_of_its_network(api: Api, given: dict[str, Any], field: str, why: str) -> None:
    network = (await api.post("/v1/networks", name="n"))["id"]
    whole = {"networkId": network, "networkAddress": "10.42.7.13", **given}
    for path, fields in (("/v1/subnets", whole), ("/v1/subnetippools", {**whole, "networkId": None})):
        response = await api.http.post(path, json=fields)
        document = response.json()
        assert (response.status_code, document["code"], document["fieldName"]) == (422, "InvalidOption", field)
        assert why in document["message"]
    usable = await api.post("/v1/subnets", **{**whole, "cidrSize": 24, "startAddress": "10.42.7.9", "endAddress": "10.42.7.9"})
    assert usable["state"] == "registering"


async def test_how_a_network_gets_from_host_to_host_is_one_of_the_ways_that_are_known(api: Api) -> None:
    refused = await api.http.post("/v1/networks", json={"name": "n", "data": {"transport": "pigeons"}})
    made = await api.post("/v1/networks", name="n", data={"transport": "routes"})
    changed = await api.http.put(f"/v1/networks/{made['id']}", json={"data": {"transport": 7}})
    for response in (refused, changed):
        document = response.json()
        assert (response.status_code, document["code"], document["fieldName"]) == (422, "InvalidOption", "data")
        assert "vxlan and routes are known" in document["message"]
    assert made["data"]["transport"] == "routes"


async def test_an_ip_address_is_one(api: Api) -> None:
    response = await api.http.post("/v1/ipaddresses", json={"address": "rubbish"})
    assert (response.status_code, response.json()["code"], response.json()["fieldName"]) == (422, "InvalidFormat", "address")
    for address in ("203.0.113.7", "2001:db8::7", None):
        assert (await api.post("/v1/ipaddresses", address=address))["address"] == address
