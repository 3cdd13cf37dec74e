"""What every store does with an append: all or nothing, at the versions expected, in one order, refused for what it can't hold."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from eventstore import BadData, Claim, Event, Release, Store, Work, Write, WrongVersion
from tests.contracts.writes import claiming, write


async def test_an_append_tells_what_readers_will_see(store: Store) -> None:
    writes = [
        Write("instance-1", 0, (Event("created", {"a": 1}), claiming(Claim("instance.uuid", "u-1"), releases=[Release("x", "y")]))),
        Write("volume-1", 0, (Event("created", {"b": 2}, {"pid": "p"}),), root="instance-1"),
    ]
    appended = await store.append(writes)
    assert (appended.first, appended.last) == (1, 3)
    assert appended.recorded(writes) == await store.read_all()


async def test_the_streams_of_an_append_are_written_together_or_not_at_all(store: Store) -> None:
    await store.append([write("b-1")])
    with pytest.raises(WrongVersion):
        await store.append([write("a-1"), write("b-1", 0)])
    assert await store.read("a-1") == []
    assert await store.head() == 1


async def test_a_wrong_version_says_which_stream_is_at_which_version(store: Store) -> None:
    await store.append([write("a-1", 0, Event("created", {}), Event("updated", {}))])
    with pytest.raises(WrongVersion) as caught:
        await store.append([write("a-1", 1)])
    assert (caught.value.stream, caught.value.expected, caught.value.actual) == ("a-1", 1, 2)
    with pytest.raises(WrongVersion) as caught:
        await store.append([write("a-2", 3)])
    assert (caught.value.stream, caught.value.expected, caught.value.actual) == ("a-2", 3, 0)


async def test_a_stream_that_a_decision_only_read_must_not_have_moved(store: Store) -> None:
    await store.append([write("host-1")])
    await store.append([write("instance-1")], unchanged={"host-1": 1})
    with pytest.raises(WrongVersion) as caught:
        await store.append([write("instance-2")], unchanged={"host-1": 0})
    assert (caught.value.stream, caught.value.actual) == ("host-1", 1)
    await store.append([write("instance-2")], unchanged={"host-9": 0})
    assert await store.head() == 3


async def test_a_root_that_a_decision_knows_whole_must_have_no_other_stream(store: Store) -> None:
    await store.append([write("instance-1"), Write("volume-1", 0, (Event("created", {}),), "instance-1")], work=[Work("instance-1", 3)])
    both: dict[str, Any] = {"whole": ["instance-1"], "done": ["instance-1"]}
    with pytest.raises(WrongVersion) as caught:  # it does not know the volume
        await store.append([write("instance-1", 1)], **both)
    assert (caught.value.stream, caught.value.expected, caught.value.actual) == ("volume-1", 0, 1)
    assert [each.root for each in await store.due_work([3])] == ["instance-1"]
    await store.append([write("instance-1", 1)], unchanged={"volume-1": 1}, **both)
    assert await store.due_work([3]) == []
    another = Write("volume-2", 0, (Event("created", {}),), "instance-1")
    await store.append([write("instance-1", 2), another], unchanged={"volume-1": 1}, **both)
    await store.append([Write("volume-2", 1, (Event("purged", {}, {"closed": True}),))])
    await store.append([write("instance-1", 3)], unchanged={"volume-1": 1}, **both)  # what is closed can't begin anything


async def test_a_write_without_events_only_checks_its_version(store: Store) -> None:
    appended = await store.append([Write("a-1", 0, ())])
    assert (appended.first, appended.last, appended.recorded([Write("a-1", 0, ())])) == (1, 0, [])
    with pytest.raises(WrongVersion):
        await store.append([Write("a-1", 1, ())])
    assert await store.head() == 0


async def test_an_append_names_a_stream_once(store: Store) -> None:
    with pytest.raises(ValueError, match="each stream once"):
        await store.append([write("a-1"), write("a-1", 1)])
    with pytest.raises(ValueError, match="needs a name"):
        await store.append([write("")])
    with pytest.raises(ValueError, match="the store itself writes"):
        await store.append([write("a-1", 0, Event("created", {}, {"root": "b-1"}))])


@pytest.mark.parametrize(
    "bad",
    [
        Write("a-1", 0, (Event("created", {"name": "nul\0"}),)),
        Write("a-1", 0, (Event("created", {"nul\0": 1}),)),
        Write("a-1", 0, (Event("created", {"name": "back\\\0slash"}),)),
        Write("a-1", 0, (Event("created", {"name": "half \ud800"}),)),
        Write("a-1", 0, (Event("created", {}, {"note": "\0"}),)),
        Write("a-1", 0, (Event("created", {"n": 2**70}),)),
        Write("a-1", 0, (Event("created", {"what": object()}),)),
        Write("a-" + "9" * 1001, 0, (Event("created", {}),)),
        Write("a\0-1", 0, (Event("created", {}),)),
        Write("a-\udfff", 0, (Event("created", {}),)),
        Write("a-1", 0, (Event("cre\0ated", {}),)),
        Write("a-1", 0, (Event("created", {}),), root="r\0"),
        Write("a-1", 0, (Event("created", {}, claims=(Claim("port", "80\0"),)),)),
        Write("a-1", 0, (Event("created", {}, releases=(Release("po\0rt", "80"),)),)),
    ],
)
async def test_what_json_in_a_database_cannot_hold_is_refused(store: Store, bad: Write) -> None:
    with pytest.raises(BadData):
        await store.append([bad])
    assert await store.head() == 0


async def test_many_callers_at_once_each_land_once_and_without_gaps(store: Store) -> None:
    async def caller(number: int) -> list[int]:
        landed = []
        for version in range(10):
            appended = await store.append([write(f"a-{number}", version, n=version)])
            landed.append(appended.first)
        return landed

    landed = await asyncio.gather(*(caller(number) for number in range(40)))
    events = await store.read_all(limit=1000)
    assert [e.position for e in events] == list(range(1, 401))
    assert sorted(p for each in landed for p in each) == list(range(1, 401))
    for number, positions in enumerate(landed):
        assert [e.position for e in events if e.stream == f"a-{number}"] == positions


async def test_of_many_that_race_for_one_version_one_wins(store: Store) -> None:
    outcomes = await asyncio.gather(*(store.append([write("a-1", 0, n=n)]) for n in range(50)), return_exceptions=True)
    assert sum(not isinstance(each, BaseException) for each in outcomes) == 1
    assert all(isinstance(each, WrongVersion) and each.actual == 1 for each in outcomes if isinstance(each, BaseException))
    assert await store.head() == 1


async def test_appends_to_one_stream_keep_the_order_in_which_they_were_asked(store: Store) -> None:
    await asyncio.gather(*(store.append([write("a-1", n), write(f"b-{n % 3}", n // 3)]) for n in range(30)))
    assert [e.version for e in await store.read("a-1")] == list(range(1, 31))


async def test_an_append_without_events_needs_no_stream(store: Store) -> None:
    appended = await store.append([], work=[Work("a-1", 3)])
    assert (appended.first, appended.last) == (1, 0)
    assert [w.root for w in await store.due_work([3])] == ["a-1"]
