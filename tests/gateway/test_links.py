"""Links: to one, to many, and through mapping rows."""

from __future__ import annotations

from datetime import UTC, datetime
from unittest.mock import patch

import pytest

from commands import events
from eventstore import Event
from projections import views
from tests.support.http import Api


@pytest.fixture
async def linked(api: Api) -> tuple[int, int, int]:
    """-> host, pool, their map"""
    host, pool = await api.add("host", name="h"), await api.add("storagePool", name="p")
    tie = await api.add("storagePoolHostMap", hostId=host, storagePoolId=pool)
    await api.settled()
    return host, pool, tie


async def remove(api: Api, stream: str, time: str | None = None) -> None:
    now = time or datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    await api.happened(stream, Event(events.UPDATED, {"changes": {"removed": now}}))
    await api.settled()


async def test_a_link_to_one(api: Api, linked: tuple[int, int, int]) -> None:
    host, _, tie = linked
    document = await api.get(f"/v1/storagepoolhostmaps/1sphm{tie}/host")
    assert document["id"] == f"1h{host}"
    assert (await api.http.get(f"/v1/hosts/1h{host}/agent")).status_code == 404  # it has none
    assert (await api.http.get(f"/v1/hosts/1h{host}/nothing")).status_code == 404
    await remove(api, f"host-{host}", "2014-01-01T00:00:00Z")
    assert (await api.http.get(f"/v1/storagepoolhostmaps/1sphm{tie}/host")).status_code == 404


async def test_a_link_to_many_is_not_paged(api: Api, linked: tuple[int, int, int]) -> None:
    host, _, tie = linked
    document = await api.get(f"/v1/hosts/1h{host}/storagePoolHostMaps", limit=1, name="ignored")
    assert [each["id"] for each in document["data"]] == [f"1sphm{tie}"]
    assert document["pagination"] is None
    assert document["createDefaults"] == {"hostId": f"1h{host}"}
    assert document["resourceType"] == "storagePoolHostMap"
    await remove(api, f"storagePoolHostMap-{tie}", "2014-01-01T00:00:00Z")
    assert (await api.get(f"/v1/hosts/1h{host}/storagepoolhostmaps"))["data"] == []


async def test_a_link_to_more_than_one_answer_holds_says_which_list_has_pages(api: Api, linked: tuple[int, int, int]) -> None:
    host, _, _ = linked
    path = f"/v1/hosts/1h{host}"
    await api.add("storagePoolHostMap", hostId=host, storagePoolId=await api.add("storagePool", name="second"))
    await api.settled()
    with patch.object(views, "MOST_LINKED", 1):
        for many in (f"{path}/storagepoolhostmaps", f"{path}/storagepools", f"{path}?include=storagePoolHostMaps"):
            refused = await api.http.get(many)
            assert (refused.status_code, refused.json()["code"]) == (503, "QueryTooSlow"), many
            assert "leads to more than 1 rows" in refused.json()["message"]
            assert "the list of storagePool" in refused.json()["message"]
    with patch.object(views, "MOST_LINKED", 2):
        assert len((await api.get(f"{path}/storagepoolhostmaps"))["data"]) == 2


async def test_a_link_through_a_map_leaves_out_removed_maps_and_shows_removed_targets(api: Api, linked: tuple[int, int, int]) -> None:
    host, pool, tie = linked
    path = f"/v1/hosts/1h{host}/storagepools"
    assert [each["id"] for each in (await api.get(path))["data"]] == [f"1sp{pool}"]
    await remove(api, f"storagePool-{pool}", "2014-01-01T00:00:00Z")
    assert [each["id"] for each in (await api.get(path))["data"]] == [f"1sp{pool}"]
    await remove(api, f"storagePoolHostMap-{tie}")
    assert (await api.get(path))["data"] == []


async def test_a_link_through_a_map_is_paged_and_sorted(api: Api, linked: tuple[int, int, int]) -> None:
    host, _, _ = linked
    for name in ("c", "a", "b"):
        await api.add("storagePoolHostMap", hostId=host, storagePoolId=await api.add("storagePool", name=name))
    await api.settled()
    document = await api.get(f"/v1/hosts/1h{host}/storagepools", sort="name", limit=3)
    assert [each["name"] for each in document["data"]] == ["a", "b", "c"]
    following = (await api.http.get(document["pagination"]["next"])).json()
    assert [each["name"] for each in following["data"]] == ["p"]
    assert following["pagination"]["partial"] is False


async def test_the_links_of_an_account(api: Api, linked: tuple[int, int, int]) -> None:
    host, _, _ = linked
    document = await api.get(f"/v1/accounts/1a{api.admin}/hosts")
    assert [each["id"] for each in document["data"]] == [f"1h{host}"]


async def test_posting_to_a_link_creates_with_the_reference_set(api: Api, linked: tuple[int, int, int]) -> None:
    host, pool, _ = linked
    made = await api.post(f"/v1/hosts/1h{host}/storagepoolhostmaps", storagePoolId=f"1sp{pool}", name="second")
    assert (made["hostId"], made["storagePoolId"], made["type"]) == (f"1h{host}", f"1sp{pool}", "storagePoolHostMap")
    assert (await api.http.post(f"/v1/hosts/1h{host}/storagepools", json={})).status_code == 405
    assert (await api.http.post(f"/v1/hosts/1h{host}/nothing", json={})).status_code == 404
