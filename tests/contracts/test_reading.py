"""What every store reads back: streams, roots, the whole log, and what was there at one moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from eventstore import Claim, Event, Held, Json, Recorded, Resumed, Snapshot, Store, Write
from tests.contracts.writes import claiming, write


async def test_an_event_is_read_as_it_was_appended(store: Store) -> None:
    data: Json = {"name": "wéb", "n": 1, "f": 0.5, "none": None, "list": [1, {"a": True}], "big": 2**53, "slash": "\\u0000"}
    appended = await store.append([Write("instance-1", 0, (Event("created", data, {"actor": 3}),))])
    [event] = await store.read("instance-1")
    assert event == Recorded(1, "instance-1", 1, "created", data, {"actor": 3}, appended.at)
    assert (event.id, event.root) == ("instance-1@1", "instance-1")
    assert appended.at.tzinfo is not None


async def test_a_stream_is_read_after_a_version_and_up_to_a_position(store: Store) -> None:
    for version in range(4):
        await store.append([write("a-1", version, n=version)])
        await store.append([write(f"other-{version}")])
    assert [e.version for e in await store.read("a-1", after=1)] == [2, 3, 4]
    assert [e.version for e in await store.read("a-1", to_position=4)] == [1, 2]
    assert [e.version for e in await store.read("a-1", 1, 5)] == [2, 3]
    assert await store.read("a-9") == []


async def test_a_root_is_read_with_all_its_streams_in_order(store: Store) -> None:
    await store.append([write("instance-1"), write("volume-1", root="instance-1")])
    await store.append([write("instance-2")])
    await store.append([write("instance-1", 1)])
    await store.append([write("volume-1", 1)])  # its root is kept, also when a later write doesn't name it
    await store.append([write("volume-1", 2, root="elsewhere-1")])
    assert [e.id for e in await store.read_root("instance-1")] == ["instance-1@1", "volume-1@1", "instance-1@2", "volume-1@2", "volume-1@3"]
    assert [e.id for e in await store.read_root("instance-1", to_position=2)] == ["instance-1@1", "volume-1@1"]
    assert await store.read_root("volume-1") == []
    assert await store.read_root("elsewhere-1") == []


async def test_many_roots_are_resumed_together(store: Store) -> None:
    await store.append([write("instance-1"), write("volume-1", root="instance-1")])
    await store.append([write("instance-2")])
    await store.append([write("instance-3")])
    await store.append([write("volume-1", 1)])
    await store.snapshot([Snapshot("volume-1", "form", 1, 2, {"root": "instance-1"})])
    found = await store.resume_roots(["instance-3", "instance-1", "gone-1"], "form")
    assert [each.stream for each in found.snapshots] == ["volume-1"]
    assert [event.id for event in found.events] == ["instance-1@1", "instance-3@1", "volume-1@2"]
    assert await store.resume_roots([], "form") == Resumed([], [])


async def test_the_log_is_read_in_pieces_and_by_type(store: Store) -> None:
    await store.append([Write("a-1", 0, tuple(Event("created" if n % 3 == 0 else "updated", {"n": n}) for n in range(10)))])
    assert [e.position for e in await store.read_all(3, 4)] == [4, 5, 6, 7]
    assert [e.position for e in await store.read_all(3, to_position=5)] == [4, 5]
    assert [e.data["n"] for e in await store.read_all(types=["created"])] == [0, 3, 6, 9]
    assert [e.data["n"] for e in await store.read_all(1, 2, types=["created", "removed"])] == [3, 6]
    assert await store.read_all(10) == []


async def test_time_never_goes_back_in_the_log(store: Store) -> None:
    for n in range(20):
        await store.append([write(f"a-{n}")])
    at = [event.at for event in await store.read_all()]
    assert at == sorted(at)
    assert abs(at[-1] - datetime.now(UTC)) < timedelta(minutes=1)


async def test_the_store_tells_the_time_of_the_next_append(store: Store) -> None:
    before = store.now()
    first = await store.append([write("a-1")])
    between = store.now()
    second = await store.append([write("a-2")])
    assert before <= first.at <= between <= store.now()
    assert between - first.at < timedelta(minutes=1)
    assert second.at <= store.now()


async def test_what_a_reader_does_to_an_event_stays_with_the_reader(store: Store) -> None:
    data: Json = {"list": [1]}
    await store.append([Write("a-1", 0, (Event("created", data),))])
    data["list"].append(2)
    [event] = await store.read("a-1")
    event.data["list"].append(3)
    assert (await store.read("a-1"))[0].data == {"list": [1]}


async def test_some_streams_and_claims_are_loaded_as_of_one_position(store: Store) -> None:
    share = Claim("host-1/compute", "instance-1", 2, limit=3)
    await store.append([write("host-1"), write("instance-1", 0, claiming(share, Claim("host-1/port", "80")))])
    await store.append([write("hostile-1"), write("host-10"), write("pool-1", 0, claiming(Claim("pool-1", "instance-1", 1, limit=1)))])
    loaded = await store.load(["host", "pool"], ["host-", "subnet-"])
    assert loaded.position == 5
    assert [e.stream for e in loaded.events] == ["host-1", "host-10", "pool-1"]
    assert loaded.claims == [Held("instance-1", share), Held("instance-1", Claim("host-1/port", "80"))]
    assert len((await store.load([], ["host-", "pool-", "none-"])).claims) == 3
    assert (await store.load([])).claims == []


async def test_streams_are_found_by_a_part_of_one_of_their_events(store: Store) -> None:
    def put(stream: str, version: int, data: Json) -> Write:
        return Write(stream, version, (Event("updated", data),))

    await store.append([put("volume-1", 0, {"changes": {"instanceId": 1, "name": "a"}})])
    await store.append([put("volume-10", 0, {"changes": {"instanceId": 10}})])
    await store.append([put("volume-1", 1, {"changes": {"instanceId": 2}}), put("volumes-1", 0, {"changes": {"instanceId": 1}})])
    await store.append([write("volume-2", 0, claiming(Claim("host-1/compute", "a", 1, 5), Claim("x", "y")), instanceId=True)])
    await store.append([put("volume-1", 2, {"changes": {"name": "b"}})])
    assert [e.position for e in await store.read_having("volume", {"data": {"changes": {"instanceId": 1}}})] == [1, 3, 6]
    assert [e.position for e in await store.read_having("volume", {"data": {"changes": {"instanceId": 1}}}, 4)] == [1, 3]
    assert [e.position for e in await store.read_having("volume", {"data": {"changes": {"instanceId": 2}}}, 2)] == []
    assert [e.position for e in await store.read_having("volume", {"metadata": {"claims": [["host-1/compute"]]}})] == [5]
    assert [e.position for e in await store.read_having("volume", {"metadata": {"claims": [["a", "x"]]}})] == []
    assert [e.stream for e in await store.read_having("volumes", {})] == ["volumes-1"]
    assert await store.read_having("host", {}) == []
