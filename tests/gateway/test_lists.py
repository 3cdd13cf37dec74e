"""Lists: filters, order, pages and included links, over real views."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from commands import events
from eventstore import Claim, Event
from tests.support.http import Api


async def names(api: Api, path: str, **params: Any) -> list[str]:
    return [each["name"] for each in (await api.get(path, **params))["data"]]


@pytest.fixture
async def hosts(api: Api) -> list[int]:
    numbers = [
        await api.add("host", name=name, computeTotal=total, isPublic=public, description=description)
        for name, total, public, description in (
            ("alpha", 10, True, None), ("beta", 20, False, "second"), ("al_ha", 30, False, "a%b"), ("gamma", 40, True, None),
        )
    ]  # fmt: skip
    await api.settled()
    return numbers


LISTS: list[tuple[dict[str, Any], list[str]]] = [
    ({"name": "beta"}, ["beta"]),
    ({"name_ne": "beta"}, ["alpha", "al_ha", "gamma"]),
    ({"name_prefix": "al"}, ["alpha", "al_ha"]),
    ({"name_like": "al%"}, ["alpha", "al_ha"]),
    ({"name_like": r"al\_ha"}, ["al_ha"]),
    ({"name_notlike": "al%"}, ["beta", "gamma"]),
    ({"name_notlike": "al\\"}, ["alpha", "beta", "al_ha", "gamma"]),  # a backslash that escapes nothing is one
    ({"name_like": "%\\"}, []),
    ({"description_null": ""}, ["alpha", "gamma"]),
    ({"description_notnull": "x"}, ["beta", "al_ha"]),
    ({"computeTotal_gt": 20}, ["al_ha", "gamma"]),
    ({"computeTotal_gte": 20, "name_ne": "gamma"}, ["beta", "al_ha"]),
    ({"computeTotal_lt": 20}, ["alpha"]),
    ({"computeTotal": "x"}, []),
    ({"computeTotal": 10**25}, []),
    ({"isPublic": "true"}, ["alpha", "gamma"]),
    ({"isPublic_ne": "true"}, ["beta", "al_ha"]),
    ({"accountId": "1a1"}, ["alpha", "beta", "al_ha", "gamma"]),
    ({"accountId": "1"}, []),
    ({"accountId": "1a2"}, []),
    ({"agentId": "1a1"}, []),
    ({"agentId_null": ""}, ["alpha", "beta", "al_ha", "gamma"]),
    ({"agentId_ne": "1a1"}, []),
    ({"id": "1h2"}, ["beta"]),
    ({"id_gt": "1h2"}, ["al_ha", "gamma"]),
    ({"name_gt": "b"}, ["alpha", "beta", "al_ha", "gamma"]),  # not a modifier of this field: passed over
    ({"nothing": "x", "_cache": "True"}, ["alpha", "beta", "al_ha", "gamma"]),
    ({"name": ["beta", "alpha"]}, []),  # the same twice: both must hold
    ({"name": "zz", "name_like": "g%"}, ["gamma"]),  # two modifiers of a field: the later stays
    ({"name": "a\0b"}, []),
    ({"created_gt": "2014-01-01T00:00:00Z"}, ["alpha", "beta", "al_ha", "gamma"]),
    ({"created_lt": "2014-01-01T00:00:00Z"}, []),
    ({"created": "nonsense"}, []),
    ({"sort": "name"}, ["al_ha", "alpha", "beta", "gamma"]),
    ({"sort": "name", "order": "desc"}, ["gamma", "beta", "alpha", "al_ha"]),
    ({"sort": "computeTotal", "order": "desc", "limit": 2}, ["gamma", "al_ha"]),
    ({"sort": "description"}, ["alpha", "gamma", "al_ha", "beta"]),
    ({"sort": "nothing"}, ["alpha", "beta", "al_ha", "gamma"]),
    ({"limit": "x"}, ["alpha", "beta", "al_ha", "gamma"]),
    ({"limit": 0}, ["alpha"]),
    ({"marker": "m2"}, ["al_ha", "gamma"]),
    ({"marker": "nonsense"}, ["alpha", "beta", "al_ha", "gamma"]),
]


async def test_what_a_list_holds(api: Api, hosts: list[int], subtests: pytest.Subtests) -> None:
    for params, expected in LISTS:
        with subtests.test(str(params)):
            assert await names(api, "/v1/hosts", **params) == expected


async def test_dates_compare_to_the_second_that_is_shown(api: Api, hosts: list[int]) -> None:
    created = (await api.get(f"/v1/hosts/1h{hosts[0]}"))["created"]
    assert "alpha" in await names(api, "/v1/hosts", created=created)
    assert "alpha" not in await names(api, "/v1/hosts", created_gt=created)


async def test_a_list_repeats_what_was_asked(api: Api, hosts: list[int]) -> None:
    document = await api.get("/v1/hosts", name_like="a%", sort="name", order="desc", limit=1)
    assert document["filters"]["name"] == [{"value": "a%", "modifier": "like"}]
    assert document["filters"]["state"] is None
    assert document["sort"]["name"] == "name"
    assert document["sort"]["order"] == "desc"
    assert "order=asc" in document["sort"]["reverse"]
    assert document["sortLinks"]["created"].startswith(f"{api.url}/v1/hosts?")
    assert document["createTypes"] == {}
    assert (await api.get("/v1/credentials"))["createTypes"]["apiKey"] == f"{api.url}/v1/apikeys"


async def test_pages_follow_each_other_to_the_end(api: Api, hosts: list[int]) -> None:
    seen: list[str] = []
    url: str | None = f"{api.url}/v1/hosts?limit=3&sort=name&computeTotal_gt=1"
    while url:
        document = (await api.http.get(url)).json()
        seen += [each["name"] for each in document["data"]]
        pagination = document["pagination"]
        assert pagination["partial"] is (pagination["next"] is not None)
        assert (pagination["limit"], pagination["total"]) == (3, None)
        url = pagination["next"]
    assert seen == ["al_ha", "alpha", "beta", "gamma"]


async def test_root_and_child_types_share_a_list(api: Api) -> None:
    await api.post("/v1/containers", imageUuid="sim:1", name="c")
    await api.post("/v1/virtualmachines", imageUuid="sim:1", name="v")
    await api.settled()
    both = (await api.get("/v1/instances"))["data"]
    assert [(each["type"], each["name"]) for each in both] == [("container", "c"), ("virtualMachine", "v")]
    assert await names(api, "/v1/containers") == ["c"]
    assert await names(api, "/v1/virtualMachines") == ["v"]


async def removed(api: Api, number: int, ago: float, purge_in: float) -> None:
    now = datetime.now(UTC)
    changes = {
        "removed": (now - timedelta(seconds=ago)).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "removeTime": (now + timedelta(seconds=purge_in)).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "state": "removed",
    }
    await api.happened(f"host-{number}", Event(events.UPDATED, {"changes": changes}))


async def test_lists_show_what_was_removed_just_now_only(api: Api, hosts: list[int]) -> None:
    await removed(api, hosts[0], ago=10, purge_in=50)
    await removed(api, hosts[1], ago=301, purge_in=50)
    await removed(api, hosts[2], ago=10, purge_in=-1)
    await api.settled()
    assert await names(api, "/v1/hosts") == ["alpha", "gamma"]
    assert await names(api, "/v1/hosts", removed_notnull="") == ["alpha"]
    assert await names(api, "/v1/hosts", removed_null="") == ["gamma"]
    assert (await api.get(f"/v1/hosts/1h{hosts[2]}"))["state"] == "removed"  # by id it stays readable


async def test_include_attaches_what_links_lead_to(api: Api, hosts: list[int]) -> None:
    pool = await api.add("storagePool", name="pool")
    for host in hosts[:2]:
        await api.add("storagePoolHostMap", hostId=host, storagePoolId=pool)
    await api.settled()
    document = await api.get("/v1/hosts", include=["storagePools", "account", "storagepoolhostmaps", "nothing"])
    first, _, third, _ = document["data"]
    assert [each["name"] for each in first["storagePools"]] == ["pool"]
    assert [each["type"] for each in first["storagePoolHostMaps"]] == ["storagePoolHostMap"]
    assert first["account"]["uuid"] == "admin"
    assert first["links"]["storagePools"]
    assert third["storagePools"] == []
    one = await api.get(f"/v1/hosts/1h{hosts[0]}", include="storagePools")
    assert one["storagePools"] == first["storagePools"]


async def test_a_host_shows_what_is_free_of_it(api: Api) -> None:
    host = await api.add("host", name="h", computeFree=100)
    claim = Event(events.UPDATED, {"changes": {}}, claims=(Claim(f"host-{host}/compute", "instance-1", 30, 100),))
    await api.happened("instance-1", Event(events.CREATED, {"changes": {}}), claim)
    await api.settled()
    assert (await api.get(f"/v1/hosts/1h{host}"))["computeFree"] == 70
    assert await names(api, "/v1/hosts", computeFree=70) == ["h"]
    response = await api.http.put(f"/v1/hosts/1h{host}", json={"name": "renamed"})
    assert (response.json()["name"], response.json()["computeFree"]) == ("renamed", 70)


async def test_what_is_included_counts_towards_the_limit_and_a_resource_comes_whole(api: Api, hosts: list[int]) -> None:
    for name in ("one", "two", "three"):
        pool = await api.add("storagePool", name=name)
        await api.add("storagePoolHostMap", hostId=hosts[0], storagePoolId=pool)
    await api.settled()
    seen: list[tuple[str, int]] = []
    pages: list[int] = []
    url: str | None = f"{api.url}/v1/hosts?limit=2&include=storagePools&sort=id"
    while url:
        document = (await api.http.get(url)).json()
        pages.append(len(document["data"]))
        seen += [(each["name"], len(each["storagePools"])) for each in document["data"]]
        url = document["pagination"]["next"]
    assert seen == [("alpha", 3), ("beta", 0), ("al_ha", 0), ("gamma", 0)]
    assert pages == [1, 2, 1]


async def test_what_is_purged_is_in_no_list_and_stays_readable(api: Api, hosts: list[int]) -> None:
    await api.happened(f"host-{hosts[0]}", Event(events.UPDATED, {"changes": {"state": "purged"}}))
    await api.settled()
    assert "alpha" not in await names(api, "/v1/hosts")
    assert (await api.get(f"/v1/hosts/1h{hosts[0]}"))["state"] == "purged"


async def test_names_are_listed_in_the_order_of_their_characters_whatever_the_database_speaks(api: Api) -> None:
    for name in ("b", "A", "a", "B", None, "\u00e4"):
        await api.add("image", name=name)
    await api.settled()
    assert await names(api, "/v1/images", sort="name") == [None, "A", "B", "a", "b", "\u00e4"]
    assert await names(api, "/v1/images", sort="name", order="desc") == ["\u00e4", "b", "a", "B", "A", None]
    assert await names(api, "/v1/images", name_prefix="\u00e4") == ["\u00e4"]
