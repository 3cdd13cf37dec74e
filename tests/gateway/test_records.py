"""Records that are not people's to write: leases, and rows that are kept out of lists."""

from __future__ import annotations

from commands import events
from eventstore import Claim, Event
from tests.support.http import Api


async def test_leases_are_listed_found_by_what_they_are_of_and_read_by_id(api: Api) -> None:
    for number, address in ((1, "10.0.0.2"), (2, "10.0.0.3")):
        claim = Event(events.UPDATED, {"changes": {}}, claims=(Claim("subnet-7/address", address),))
        await api.happened(f"ipAddress-{number}", Event(events.CREATED, {"changes": {}}), claim)
    await api.settled()
    listed = await api.get("/v1/resourcepools")
    assert [(each["type"], each["item"], each["ownerId"]) for each in listed["data"]] == [
        ("resourcePool", "10.0.0.2", 1), ("resourcePool", "10.0.0.3", 2),
    ]  # fmt: skip
    [found] = (await api.get("/v1/resourcepools", poolType="subnet", poolId=7, qualifier="default", item="10.0.0.3"))["data"]
    assert (found["ownerType"], found["ownerId"], found["poolId"]) == ("ipAddress", 2, 7)
    assert "state" in found
    assert (await api.get(f"/v1/resourcePools/{found['id']}"))["item"] == "10.0.0.3"
    assert (await api.get("/v1/resourcepools", ownerId=9))["data"] == []


async def test_a_lease_can_not_be_changed_or_removed_by_hand(api: Api) -> None:
    claim = Event(events.UPDATED, {"changes": {}}, claims=(Claim("subnet-7/address", "10.0.0.2"),))
    await api.happened("ipAddress-1", Event(events.CREATED, {"changes": {}}), claim)
    await api.settled()
    [lease] = (await api.get("/v1/resourcepools"))["data"]
    for response in (
        await api.http.put(f"/v1/resourcepools/{lease['id']}", json={"name": "mine"}),
        await api.http.delete(f"/v1/resourcepools/{lease['id']}"),
    ):
        assert response.status_code in (404, 409), response.text
    assert len((await api.get("/v1/resourcepools"))["data"]) == 1


async def test_a_hidden_row_of_data_is_in_no_list(api: Api) -> None:
    await api.add("data", name="shown", value="one")
    hidden = await api.add("data", name="tunnels/ipsecKey", value="secret", visible=False)
    await api.settled()
    assert [(each["name"], each["value"]) for each in (await api.get("/v1/datas"))["data"]] == [("shown", "one")]
    assert (await api.get("/v1/datas", name="tunnels/ipsecKey"))["data"] == []
    assert "secret" not in str([event.data for event in await api.store.read(f"data-{hidden}")]), "it is sealed in the log"
