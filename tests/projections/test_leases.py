"""What is leased has a row from its claim to its release, and no trace after it."""

from __future__ import annotations

from commands import events
from commands.catalogue.builtin import CATALOGUE
from eventstore import Claim, Event, Release
from projections.query import Query
from projections.rebuild import rebuild
from tests.projections.conftest import Cloud, created


def taken(scope: str, *items: str, gives: tuple[tuple[str, str], ...] = ()) -> Event:
    claims = tuple(Claim(scope, item) for item in items)
    return Event(events.UPDATED, {"changes": {}}, claims=claims, releases=tuple(Release(*each) for each in gives))


def given(*held: tuple[str, str]) -> Event:
    return Event(events.UPDATED, {"changes": {}}, releases=tuple(Release(*each) for each in held))


async def leases(cloud: Cloud) -> list[tuple[object, ...]]:
    await cloud.project()
    rows = [each.resource.row for each in await cloud.views.rows(Query(CATALOGUE.type("resourcePool")))]
    return sorted(tuple(row[name] for name in ("poolType", "poolId", "qualifier", "item", "ownerType", "ownerId")) for row in rows)


async def test_each_kind_of_lease_is_told_in_cattles_words(cloud: Cloud) -> None:
    await cloud.append("ipAddress-5", created(), taken("subnet-7/address", "10.0.0.2"))
    await cloud.append("network-3", created(), taken("global-1/macPrefix", "02:00:01"))
    await cloud.append("nic-4", created(), taken("network-3/mac", "02:00:01:00:00:01"))
    await cloud.append("instanceLink-2", created(), taken("networkService-9/linkPort", "20000", "20001"))
    await cloud.append("instance-1", created(), taken("host-1/hostPort", "30000"))
    others = (("host-1/vnet-map", "vnet-1"), ("host-1/port", "80/tcp"), ("image.uuid", "u"), ("x/mac", "y"))
    await cloud.append("instance-6", created(), *(taken(*each) for each in others))
    assert await leases(cloud) == [
        ("global", 1, "macPrefix", "02:00:01", "network", 3),
        ("host", 1, "hostPort", "30000", "instance", 1),
        ("network", 3, "mac", "02:00:01:00:00:01", "nic", 4),
        ("networkService", 9, "linkPort", "20000", "instanceLink", 2),
        ("networkService", 9, "linkPort", "20001", "instanceLink", 2),
        ("subnet", 7, "default", "10.0.0.2", "ipAddress", 5),
    ]


async def test_a_lease_that_is_given_back_has_no_row_and_its_next_holder_a_new_one(cloud: Cloud) -> None:
    await cloud.append("ipAddress-5", created(), taken("subnet-7/address", "a"))
    assert await leases(cloud) == [("subnet", 7, "default", "a", "ipAddress", 5)]
    [first] = await cloud.views.rows(Query(CATALOGUE.type("resourcePool")))
    await cloud.append("ipAddress-6", created(), given(("subnet-7/address", "a")))  # not its own: nothing
    assert len(await leases(cloud)) == 1
    await cloud.append("ipAddress-5", taken("subnet-7/address", "b", gives=(("subnet-7/address", "a"),)))
    await cloud.append("ipAddress-6", taken("subnet-7/address", "a"))
    assert await leases(cloud) == [("subnet", 7, "default", "a", "ipAddress", 6), ("subnet", 7, "default", "b", "ipAddress", 5)]
    assert await cloud.views.get("resourcePool", first.resource.id) is None
    await cloud.append("ipAddress-6", given(("subnet-7/address", "a")), taken("subnet-7/address", "a"), given(("subnet-7/address", "a")))
    await cloud.append("ipAddress-5", given(("subnet-7/address", "b")))
    assert await leases(cloud) == []


async def test_views_built_anew_hold_the_same_leases(cloud: Cloud) -> None:
    for number in range(1, 20):
        stream = f"ipAddress-{number}"
        await cloud.append(stream, created(), taken("subnet-7/address", f"10.0.0.{number}"))
        if number % 2:
            await cloud.project()  # so that batches end in different places
        if number % 3 == 0:
            await cloud.append(stream, given(("subnet-7/address", f"10.0.0.{number}")))
    await cloud.project()
    result = await rebuild(cloud.store, cloud.dsn)
    assert result.equal
    assert {each.view: each.rows for each in result.after}["claims"] == 13
    assert len(await leases(cloud)) == 13
