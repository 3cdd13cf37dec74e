"""retry, cancel and force-remove over HTTP."""

from __future__ import annotations

import pytest

from tests.support.http import Api


@pytest.mark.parametrize("what", ["retry", "cancel", "force-remove"])
async def test_an_intervention_is_accepted_in_any_state_and_names_its_reason_in_the_log(api: Api, what: str) -> None:
    made = await api.post("/v1/hosts", name="h")
    response = await api.http.post(f"/v1/hosts/{made['id']}/{what}", json={"reason": "on a whim"})
    assert (response.status_code, response.json()["id"]) == (202, made["id"])
    [event] = [each for each in await api.store.read_all(int(made["id"][2:]), 1000) if "on a whim" in str(each.data.get("reason"))
               or each.data.get("forced") == "on a whim"][-1:]  # fmt: skip
    assert event.metadata["actor"]


async def test_a_forced_removal_shows_at_once_and_a_second_one_changes_nothing(api: Api) -> None:
    made = await api.post("/v1/hosts", name="h")
    document = (await api.http.post(f"/v1/hosts/{made['id']}/force-remove")).json()
    assert document["state"] == "removed"
    assert document["removed"] is not None
    head = await api.store.head()
    assert (await api.http.post(f"/v1/hosts/{made['id']}/force-remove")).status_code == 202
    assert await api.store.head() == head


async def test_what_is_not_there_or_not_understood_is_refused(api: Api) -> None:
    made = await api.post("/v1/hosts", name="h")
    assert (await api.http.post("/v1/hosts/1h999/retry")).status_code == 404
    response = await api.http.post(f"/v1/hosts/{made['id']}/retry", json={"reason": 7})
    assert (response.status_code, response.json()["fieldName"]) == (422, "reason")
    assert (await api.http.get(f"/v1/hosts/{made['id']}/retry")).status_code == 404


async def test_a_host_is_declared_dead_with_a_reason_and_nothing_else_can_be(api: Api) -> None:
    made = await api.post("/v1/hosts", name="h")
    response = await api.http.post(f"/v1/hosts/{made['id']}/dead", json={"reason": "it burnt down"})
    assert (response.status_code, response.json()["id"]) == (202, made["id"])
    host = await api.get(f"/v1/hosts/{made['id']}")
    assert host["data"]["dead"] == "it burnt down"
    assert host.keys() == made.keys()
    head = await api.store.head()
    assert (await api.http.post(f"/v1/hosts/{made['id']}/dead")).status_code == 202
    assert await api.store.head() == head
    other = await api.post("/v1/networks", name="n")
    assert (await api.http.post(f"/v1/networks/{other['id']}/dead")).status_code == 404
    await api.http.put(f"/v1/hosts/{made['id']}", json={"data": {"dead": None}})
    assert (await api.get(f"/v1/hosts/{made['id']}"))["data"]["dead"] == "it burnt down"
