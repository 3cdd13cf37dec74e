"""Leases under load, with a real log: addresses, macs and ports are given out once each, without anybody trying twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from ipaddress import IPv4Address
from typing import Any

import pytest

from commands.resource import Resource, fold_all
from commands.turns.claimed import Claimed, leased
from eventstore import Claim, Event, Full, Held, Recorded, Store, Taken, Write, WrongVersion
from eventstore.memory import MemoryStore
from tests.support.cloud import Cloud, a_running_cloud

ASKED, ROOM = 300, 249
NO_ADDRESS = "Failed to allocate IP from subnet : IP allocation error"
KEPT = {"object.remove.time.delay.seconds": 3600}


def watched(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """The conflicts of the appends from now on."""
    conflicts: list[Exception] = []
    append = store.append

    async def appending(*given: Any, **more: Any) -> Any:
        try:
            return await append(*given, **more)
        except (Taken, Full, WrongVersion) as conflict:
            conflicts.append(conflict)
            raise

    monkeypatch.setattr(store, "append", appending)
    return conflicts


async def a_subnet(cloud: Cloud, **fields: Any) -> None:
    network = await cloud.create("network")
    await cloud.until(network.stream, "active")
    subnet = await cloud.create("subnet", networkId=network.id, networkAddress="10.42.7.0", **fields)
    await cloud.until(subnet.stream, "active")


async def all_of(store: Store, *types: str) -> list[Resource]:
    loaded = await store.load(types)
    return sorted(fold_all(loaded.events).values(), key=lambda each: each.id)


@pytest.mark.timeout(180)
async def test_of_300_creates_at_once_on_a_subnet_of_249_each_gets_an_address_or_a_clean_error(
    store: Store, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_running_cloud(store, nats_url, settings=KEPT) as cloud:
        await a_subnet(cloud)
        made = await cloud.create("container", imageUuid="sim:x", networkIds=[1])
        first = await cloud.until(made.stream, "running")
        conflicts = watched(store, monkeypatch)
        many = await asyncio.gather(*(cloud.create("container", imageUuid="sim:x", networkIds=[1]) for _ in range(ASKED - 1)))
        ended = [first, *(await asyncio.gather(*(cloud.until(each.stream, "running", "removed", seconds=120) for each in many)))]

        assert Counter(each.state for each in ended) == {"running": ROOM, "removed": ASKED - ROOM}
        assert {each.fields["transitioningMessage"] for each in ended if each.state == "removed"} == {NO_ADDRESS}
        assert conflicts == []

        addresses = [each.row["address"] for each in await all_of(store, "ipAddress") if each.row.get("address")]
        whole = {str(IPv4Address("10.42.7.2") + offset) for offset in range(ROOM)}
        assert (len(addresses), set(addresses)) == (ROOM, whole)
        macs = [each.row["macAddress"] for each in await all_of(store, "nic") if each.row.get("macAddress")]
        assert len(macs) == len(set(macs)) == ROOM

        await a_purge_makes_room(cloud, next(each for each in ended if each.state == "running"))


async def a_purge_makes_room(cloud: Cloud, leaving: Resource) -> None:
    [nic] = [each for each in await all_of(cloud.store, "nic") if each.row["instanceId"] == leaving.id]
    await cloud.commands.delete("container", leaving.id, cloud.actor)
    await cloud.until(leaving.stream, "removed")
    await cloud.commands.run("nic", nic.id, "purge", {}, cloud.actor)
    await cloud.until(nic.stream, "purged")
    made = await cloud.create("container", imageUuid="sim:x", networkIds=[1])
    await cloud.until(made.stream, "running")


async def test_who_loses_an_address_to_another_engine_takes_the_next_at_once(nats_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    async with a_running_cloud(store, nats_url, settings=KEPT) as cloud:
        await a_subnet(cloud, startAddress="10.42.7.10", endAddress="10.42.7.11")
        conflicts = watched(store, monkeypatch)
        append = store.append

        async def behind_another(writes: list[Write], **more: Any) -> Any:
            """Another engine, of which this one has not heard yet, claims the same address a moment before."""
            wanted = [claim for write in writes for event in write.events for claim in event.claims if claim.scope == "subnet-1/address"]
            if wanted:
                monkeypatch.setattr(store, "append", append)
                await append([Write("ipAddress-999", 0, (Event("created", {}, claims=(wanted[0],)),))])
            return await append(writes, **more)

        monkeypatch.setattr(store, "append", behind_another)
        lucky = await cloud.create("container", imageUuid="sim:x", networkIds=[1])
        await cloud.until(lucky.stream, "running")
        unlucky = await cloud.create("container", imageUuid="sim:x", networkIds=[1])
        assert (await cloud.until(unlucky.stream, "removed")).fields["transitioningMessage"] == NO_ADDRESS
        assert [type(each) for each in conflicts if isinstance(each, Taken)] == [Taken]


async def test_a_new_engine_knows_what_is_leased(store: Store, nats_url: str) -> None:
    async with a_running_cloud(store, nats_url, settings=KEPT) as cloud:
        await a_subnet(cloud, startAddress="10.42.7.10", endAddress="10.42.7.11")
        made = await cloud.create("container", imageUuid="sim:x", networkIds=[1], ports=["8080:80"])
        await cloud.until(made.stream, "running")
    async with a_running_cloud(store, nats_url, settings=KEPT) as cloud:
        await cloud.agent.listen(1)  # the host's agent is that of before
        fleet = cloud.engine.fleet
        address = (await cloud.resource("ipAddress-1")).row["address"]
        assert fleet.holder("subnet-1/address", address) == "ipAddress-1"
        assert fleet.holder("host-1/port", "8080/tcp") == made.stream
        second = await cloud.create("container", imageUuid="sim:x", networkIds=[1])
        await cloud.until(second.stream, "running")
        third = await cloud.create("container", imageUuid="sim:x", networkIds=[1])
        assert (await cloud.until(third.stream, "removed")).fields["transitioningMessage"] == NO_ADDRESS


# --- how the fleet chooses, without a log ---

SCOPE = "subnet-1/address"


def event(position: int, stream: str, *claims: str, releases: tuple[str, ...] = ()) -> Recorded:
    metadata = {"claims": [[SCOPE, item, 1, None] for item in claims], "releases": [[SCOPE, item] for item in releases]}
    return Recorded(position, stream, position, "updated", {}, metadata, datetime(2026, 1, 1, tzinfo=UTC))


def test_the_search_goes_round_from_where_it_starts() -> None:
    claimed = Claimed()
    for item in ("3", "4", "0"):
        claimed.claim(Held("ipAddress-1", Claim(SCOPE, item)))
    assert claimed.pick(SCOPE, 5, str, 3) == "1"
    claimed.note(Claim(SCOPE, "1"))
    assert claimed.pick(SCOPE, 5, str, 3) == "2"
    assert claimed.pick(SCOPE, 5, str, 3, but=["2"]) is None
    assert claimed.pick(SCOPE, 5, str, 3) == "2"


def test_a_range_that_is_used_up_is_not_searched_again_until_something_is_free() -> None:
    claimed = Claimed()
    for number in range(1000):
        claimed.claim(Held(f"ipAddress-{number}", Claim(SCOPE, str(number))))
    looked: list[int] = []

    def item_of(index: int) -> str:
        looked.append(index)
        return str(index)

    for _ in range(5):
        assert claimed.pick(SCOPE, 1000, item_of, 7) is None
    assert len(looked) <= 1000 + 5
    claimed.take_claims(event(1, "ipAddress-5", releases=("5",)))
    assert claimed.pick(SCOPE, 1000, item_of, 7) == "5"


def test_only_the_holder_can_give_an_item_back() -> None:
    claimed = Claimed()
    claimed.take_claims(event(1, "ipAddress-1", "7"))
    claimed.take_claims(event(2, "ipAddress-2", releases=("7",)))
    assert claimed.holder(SCOPE, "7") == "ipAddress-1"
    claimed.take_claims(event(3, "ipAddress-1", "8", releases=("7",)))
    assert (claimed.holder(SCOPE, "7"), claimed.holder(SCOPE, "8")) == (None, "ipAddress-1")


def test_ten_thousand_leases_are_given_out_of_a_16_without_searching() -> None:
    claimed = Claimed()
    steps = 0

    def item_of(index: int) -> str:
        nonlocal steps
        steps += 1
        return str(index)

    for number in range(10_000):
        item = claimed.pick(SCOPE, 65_530, item_of, number * 7919 % 65_530)
        assert item is not None
        claimed.claim(Held(f"ipAddress-{number}", Claim(SCOPE, item)))
    assert claimed.held(SCOPE) == 10_000
    assert steps < 40_000


def test_what_is_a_lease_is_told_by_its_scope() -> None:
    leases = ("subnet-1/address", "network-1/mac", "global-1/macPrefix", "host-2/port", "networkService-1/linkPort")
    others = ("host-1/compute", "image.uuid", "network-1/vnet", "host-1/vnet-map", "host-1/address-map")
    assert [leased(each) for each in (*leases, *others)] == [True] * 5 + [False] * 5
