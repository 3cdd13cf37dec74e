"""Snapshots, as every store keeps them: a reader of their form gets them and what came after, all others the whole stream."""

from __future__ import annotations

from eventstore import Event, Resumed, Snapshot, Store, Write


async def write(store: Store, stream: str, count: int, root: str = "", expected: int = 0) -> None:
    await store.append([Write(stream, expected, tuple(Event("updated", {"n": n}) for n in range(count)), root)])


def kept(stream: str, version: int, position: int, form: str = "f", text: str = "") -> Snapshot:
    return Snapshot(stream, form, version, position, {"text": text, "n": [1, {"a": None}]})


def ids(resumed: Resumed) -> list[str]:
    return [event.id for event in resumed.events]


async def test_without_a_snapshot_a_stream_is_resumed_from_its_beginning(store: Store) -> None:
    await write(store, "a-1", 2)
    assert await store.resume("a-1", "f") == Resumed([], await store.read("a-1"))
    assert await store.resume("a-9", "f") == Resumed([], [])


async def test_a_stream_is_resumed_from_its_snapshot(store: Store) -> None:
    await write(store, "a-1", 5)
    await store.snapshot([kept("a-1", 3, 3)])
    resumed = await store.resume("a-1", "f")
    assert resumed == Resumed([kept("a-1", 3, 3)], (await store.read("a-1"))[3:])
    await store.snapshot([kept("a-1", 5, 5)])
    assert await store.resume("a-1", "f") == Resumed([kept("a-1", 5, 5)], [])


async def test_reading_itself_never_looks_at_snapshots(store: Store) -> None:
    await write(store, "a-1", 5)
    await store.snapshot([kept("a-1", 3, 3)])
    assert [event.version for event in await store.read("a-1")] == [1, 2, 3, 4, 5]
    assert [event.version for event in await store.read_root("a-1")] == [1, 2, 3, 4, 5]


async def test_another_form_sees_the_whole_stream(store: Store) -> None:
    await write(store, "a-1", 3)
    await store.snapshot([kept("a-1", 2, 2)])
    assert await store.resume("a-1", "g") == Resumed([], await store.read("a-1"))
    assert await store.resume_root("a-1", "g") == Resumed([], await store.read("a-1"))
    assert ids(await store.resume("a-1", "")) == ["a-1@1", "a-1@2", "a-1@3"]


async def test_a_newer_snapshot_stays_and_another_form_replaces_it(store: Store) -> None:
    await write(store, "a-1", 5)
    await store.snapshot([kept("a-1", 4, 4, text="new")])
    await store.snapshot([kept("a-1", 2, 2, text="old")])
    assert (await store.resume("a-1", "f")).snapshots == [kept("a-1", 4, 4, text="new")]
    await store.snapshot([kept("a-1", 2, 2, form="g")])
    assert (await store.resume("a-1", "g")).snapshots == [kept("a-1", 2, 2, form="g")]
    assert ids(await store.resume("a-1", "f")) == [f"a-1@{version}" for version in range(1, 6)]


async def test_of_several_snapshots_of_a_stream_the_last_counts_and_none_is_nothing(store: Store) -> None:
    await write(store, "a-1", 5)
    await store.snapshot([])
    await store.snapshot([kept("a-1", 2, 2), kept("a-1", 4, 4)])
    assert (await store.resume("a-1", "f")).snapshots == [kept("a-1", 4, 4)]


async def test_a_root_is_resumed_stream_by_stream(store: Store) -> None:
    await write(store, "a-1", 2)
    await write(store, "b-1", 3, root="a-1")
    await write(store, "c-1", 1, root="a-1")
    await write(store, "a-1", 2, expected=2)
    await write(store, "a-2", 2)
    await store.snapshot([kept("a-1", 2, 2), kept("b-1", 3, 5)])
    resumed = await store.resume_root("a-1", "f")
    assert sorted(resumed.snapshots, key=lambda each: each.stream) == [kept("a-1", 2, 2), kept("b-1", 3, 5)]
    assert ids(resumed) == ["c-1@1", "a-1@3", "a-1@4"]
    assert await store.resume_root("b-1", "f") == Resumed([], [])


async def test_categories_are_loaded_from_their_snapshots(store: Store) -> None:
    await write(store, "host-1", 3)
    await write(store, "hosting-1", 1)
    await write(store, "pool-1", 2)
    await store.snapshot([kept("host-1", 2, 2), kept("hosting-1", 1, 4), kept("pool-1", 2, 6)])
    loaded = await store.load(["host", "pool"], form="f")
    assert loaded.position == 6
    assert sorted(loaded.snapshots, key=lambda each: each.stream) == [kept("host-1", 2, 2), kept("pool-1", 2, 6)]
    assert [event.id for event in loaded.events] == ["host-1@3"]
    assert len((await store.load(["host", "pool"])).events) == 5


async def test_streams_that_have_grown_are_known(store: Store) -> None:
    for number, count in enumerate([1, 3, 5], start=1):
        await write(store, f"a-{number}", count)
    assert await store.grown(3, "f") == ["a-2", "a-3"]
    assert await store.grown(3, "f", limit=1) == ["a-2"]
    await store.snapshot([kept("a-3", 4, 8)])
    assert await store.grown(3, "f") == ["a-2"]
    assert await store.grown(3, "g") == ["a-2", "a-3"]
    assert await store.grown(1, "f", after=4) == ["a-3"]
    assert await store.grown(1, "f", after=await store.head()) == []


async def test_a_log_is_read_by_correlation(store: Store) -> None:
    for number in range(6):
        event = Event("odd" if number % 2 else "even", {}, {"correlation": f"r{number % 3}"} if number < 5 else {})
        await store.append([Write(f"a-{number}", 0, (event,))])
    assert [event.position for event in await store.read_all(correlation="r0")] == [1, 4]
    assert [event.position for event in await store.read_all(after=1, correlation="r0")] == [4]
    assert [event.position for event in await store.read_all(limit=1, correlation="r1")] == [2]
    assert [event.position for event in await store.read_all(to_position=3, correlation="r1")] == [2]
    assert [event.position for event in await store.read_all(types=["odd"], correlation="r0")] == [4]
    assert await store.read_all(correlation="r9") == []


async def test_a_log_is_read_by_the_trace_of_its_requests_too(store: Store) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    told = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    for correlation, more in (("a", told), ("b", {}), ("c", told), (trace, told)):
        await store.append([Write(f"thing-{correlation}", 0, (Event("made", {}, {"correlation": correlation, **more}),))])
    assert [event.position for event in await store.read_all(correlation=trace)] == [1, 3, 4]
    assert [event.position for event in await store.read_all(after=1, limit=1, correlation=trace)] == [3]
    assert [event.position for event in await store.read_all(correlation="a")] == [1]
