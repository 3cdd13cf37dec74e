"""What every store must do: the same tests run against Postgres and the in-memory twin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from eventstore import (
    BadData,
    Claim,
    CommandKey,
    Event,
    Full,
    Held,
    Json,
    KeyReused,
    Lease,
    LostLease,
    Recorded,
    Release,
    Repeated,
    Resumed,
    Snapshot,
    Store,
    Taken,
    Unavailable,
    Work,
    Write,
    WrongVersion,
)
from eventstore.memory import MemoryStore
from eventstore.postgres import PostgresStore
from tests.support.servers import NewDatabase


@pytest.fixture(params=["memory", "postgres"])
async def store(request: pytest.FixtureRequest, database_factory: NewDatabase) -> AsyncIterator[Store]:
    opened: Store = MemoryStore() if request.param == "memory" else await PostgresStore.open(await database_factory())
    yield opened
    await opened.close()


def write(stream: str, expected: int = 0, *events: Event, root: str = "", **data: Any) -> Write:
    return Write(stream, expected, events or (Event("created", data),), root)


def claiming(*claims: Claim, releases: Sequence[Release] = ()) -> Event:
    return Event("updated", {}, claims=claims, releases=tuple(releases))


# --- appending and reading


async def test_an_event_is_read_as_it_was_appended(store: Store) -> None:
    data: Json = {"name": "wéb", "n": 1, "f": 0.5, "none": None, "list": [1, {"a": True}], "big": 2**53, "slash": "\\u0000"}
    appended = await store.append([Write("instance-1", 0, (Event("created", data, {"actor": 3}),))])
    [event] = await store.read("instance-1")
    assert event == Recorded(1, "instance-1", 1, "created", data, {"actor": 3}, appended.at)
    assert (event.id, event.root) == ("instance-1@1", "instance-1")
    assert appended.at.tzinfo is not None


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


async def test_what_a_reader_does_to_an_event_stays_with_the_reader(store: Store) -> None:
    data: Json = {"list": [1]}
    await store.append([Write("a-1", 0, (Event("created", data),))])
    data["list"].append(2)
    [event] = await store.read("a-1")
    event.data["list"].append(3)
    assert (await store.read("a-1"))[0].data == {"list": [1]}


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


# --- claims


async def test_an_exclusive_claim_belongs_to_one_stream(store: Store) -> None:
    claim = Claim("instance.uuid", "u-1")
    await store.append([write("instance-1", 0, claiming(claim))])
    with pytest.raises(Taken) as caught:
        await store.append([write("instance-2", 0, claiming(claim))])
    assert (caught.value.scope, caught.value.item, caught.value.holder) == ("instance.uuid", "u-1", "instance-1")
    assert await store.holder("instance.uuid", "u-1") == "instance-1"
    assert await store.holder("instance.uuid", "u-2") is None
    assert await store.read("instance-2") == []


async def test_claiming_again_what_one_holds_changes_nothing(store: Store) -> None:
    exclusive, share = Claim("port", "80"), Claim("host-1/compute", "instance-1", 2, limit=3)
    for version in range(3):
        await store.append([write("instance-1", version, claiming(exclusive, share))])
    assert await store.holder("port", "80") == "instance-1"
    assert await store.used("host-1/compute") == 2


async def test_a_counted_scope_takes_no_more_than_its_limit(store: Store) -> None:
    await store.append([write("instance-1", 0, claiming(Claim("host-1/compute", "instance-1", 2, limit=3)))])
    with pytest.raises(Full) as caught:
        await store.append([write("instance-2", 0, claiming(Claim("host-1/compute", "instance-2", 2, limit=3)))])
    full = caught.value
    assert (full.scope, full.item, full.amount, full.used, full.limit) == ("host-1/compute", "instance-2", 2, 2, 3)
    await store.append([write("instance-2", 0, claiming(Claim("host-1/compute", "instance-2", 1, limit=3)))])
    assert await store.used("host-1/compute") == 3
    assert await store.used("host-2/compute") == 0
    assert await store.holder("host-1/compute", "instance-1") is None  # a share is not the scope


async def test_what_is_released_can_be_claimed_by_others(store: Store) -> None:
    claims = (Claim("port", "80"), Claim("host-1/compute", "instance-1", 2, limit=2))
    releases = [Release("port", "80"), Release("host-1/compute", "instance-1")]
    await store.append([write("instance-1", 0, claiming(*claims))])
    await store.append([write("instance-1", 1, claiming(releases=releases))])
    assert await store.used("host-1/compute") == 0
    await store.append([write("instance-2", 0, claiming(Claim("port", "80"), Claim("host-1/compute", "instance-2", 2, limit=2)))])
    assert await store.holder("port", "80") == "instance-2"


async def test_a_late_release_frees_nothing_that_another_took_over(store: Store) -> None:
    await store.append([write("instance-1", 0, claiming(Claim("port", "80")))])
    await store.append([write("instance-1", 1, claiming(releases=[Release("port", "80")]))])
    await store.append([write("instance-2", 0, claiming(Claim("port", "80")))])
    await store.append([write("instance-1", 2, claiming(releases=[Release("port", "80"), Release("port", "81")]))])
    assert await store.holder("port", "80") == "instance-2"


async def test_one_event_can_swap_a_claim_for_another(store: Store) -> None:
    await store.append([write("instance-1", 0, claiming(Claim("host-1/compute", "instance-1", 2, limit=2)))])
    larger = claiming(Claim("host-1/compute", "instance-1", 5, limit=5), releases=[Release("host-1/compute", "instance-1")])
    await store.append([write("instance-1", 1, larger)])
    assert await store.used("host-1/compute") == 5


async def test_an_append_that_loses_one_claim_takes_none(store: Store) -> None:
    await store.append([write("instance-1", 0, claiming(Claim("port", "80")))])
    with pytest.raises(Taken):
        await store.append(
            [
                write("instance-2", 0, claiming(Claim("port", "81"), Claim("host-1/compute", "instance-2", 1, limit=9))),
                write("instance-3", 0, claiming(Claim("port", "80"))),
            ]
        )
    assert await store.holder("port", "81") is None
    assert await store.used("host-1/compute") == 0
    assert await store.head() == 1


async def test_of_five_hundred_that_want_a_hundred_places_exactly_a_hundred_get_one(store: Store) -> None:
    async def place(number: int) -> bool:
        claims = (Claim("instance.uuid", f"u-{number}"), Claim("host-1/compute", f"instance-{number}", 1, limit=100))
        try:
            await store.append([write(f"instance-{number}", 0, claiming(*claims))])
        except Full as full:
            return (full.used, full.limit, full.item) != (100, 100, f"instance-{number}")
        return True

    placed = await asyncio.gather(*(place(number) for number in range(500)))
    assert sum(placed) == 100
    assert await store.used("host-1/compute") == 100
    assert await store.head() == 100
    held = [await store.holder("instance.uuid", f"u-{number}") for number in range(500)]
    assert [holder is not None for holder in held] == placed


async def test_of_many_that_claim_one_thing_together_one_gets_it(store: Store) -> None:
    outcomes = await asyncio.gather(
        *(store.append([write(f"instance-{n}", 0, claiming(Claim("port", "80")))]) for n in range(30)), return_exceptions=True
    )
    winner = await store.holder("port", "80")
    won = [n for n, each in enumerate(outcomes) if not isinstance(each, BaseException)]
    assert [f"instance-{n}" for n in won] == [winner]
    assert all(isinstance(each, Taken) and each.holder == winner for each in outcomes if isinstance(each, BaseException))


# --- idempotent commands


async def test_a_repeated_command_says_what_it_did_the_first_time(store: Store) -> None:
    key = CommandKey("1a1", "k-1", "hash-1", status=202)
    await store.append([write("other-1")])
    appended = await store.append([write("a-1"), write("b-1")], command=key)
    with pytest.raises(Repeated) as caught:
        await store.append([write("a-1"), write("b-1")], command=key)
    again = caught.value
    assert (again.key, again.status, again.first, again.last, again.at) == ("k-1", 202, appended.first, appended.last, appended.at)
    assert await store.head() == 3


async def test_a_key_is_for_one_request_of_one_account(store: Store) -> None:
    await store.append([write("a-1")], command=CommandKey("1a1", "k-1", "hash-1"))
    with pytest.raises(KeyReused):
        await store.append([write("a-2")], command=CommandKey("1a1", "k-1", "hash-2"))
    await store.append([write("a-2")], command=CommandKey("1a2", "k-1", "hash-2"))


async def test_a_refused_command_is_not_kept(store: Store) -> None:
    await store.append([write("a-1")])
    key = CommandKey("1a1", "k-1", "hash-1")
    with pytest.raises(WrongVersion):
        await store.append([write("a-1", 0)], command=key)
    await store.append([write("a-1", 1)], command=key)


async def test_the_same_command_sent_often_at_once_is_carried_out_once(store: Store) -> None:
    key = CommandKey("1a1", "k-1", "hash-1")
    outcomes = await asyncio.gather(*(store.append([write("a-1")], command=key) for _ in range(20)), return_exceptions=True)
    [appended] = [each for each in outcomes if not isinstance(each, BaseException)]
    assert all(isinstance(each, Repeated) and each.first == appended.first for each in outcomes if isinstance(each, BaseException))
    assert await store.head() == 1


async def test_the_positions_of_a_command_are_its_own_also_in_a_crowd(store: Store) -> None:
    await store.append([write("a-3")])

    async def caller(n: int) -> None:
        key, writes = CommandKey("1a1", f"k-{n}", "h"), [write(f"a-{n}", 0, *[Event("created", {})] * (n % 4))]
        try:
            appended = await store.append(writes, command=key)
        except WrongVersion:
            assert n == 3
            return
        with pytest.raises(Repeated) as caught:
            await store.append(writes, command=key)
        assert (caught.value.first, caught.value.last) == (appended.first, appended.last)
        assert [e.stream for e in await store.read_all(appended.first - 1, to_position=appended.last)] == [f"a-{n}"] * (n % 4 or 1)

    await asyncio.gather(*(caller(n) for n in range(30)))


async def test_whether_a_command_was_carried_out_can_be_asked_before(store: Store) -> None:
    key = CommandKey("1a1", "k-1", "hash-1", status=202)
    assert await store.done_before(key) is None
    appended = await store.append([write("a-1"), write("b-1")], command=key)
    told = await store.done_before(key)
    assert told is not None
    assert (told.status, told.first, told.last, told.at) == (202, appended.first, appended.last, appended.at)
    with pytest.raises(KeyReused):
        await store.done_before(CommandKey("1a1", "k-1", "hash-2"))
    assert await store.done_before(CommandKey("1a2", "k-1", "hash-1")) is None


async def test_a_command_that_had_nothing_to_do_is_remembered_without_events(store: Store) -> None:
    await store.append([write("a-1")])
    key = CommandKey("1a1", "k-1", "hash-1", status=202)
    await store.append([], command=key)
    assert await store.head() == 1
    with pytest.raises(Repeated) as caught:
        await store.append([], command=key)
    assert (caught.value.status, caught.value.last) == (202, 1)
    await store.append([write("a-1", 1)])
    told = await store.done_before(key)
    assert told is not None
    assert told.last == 1


# --- leases


async def test_a_lease_has_one_holder_until_it_ends(store: Store) -> None:
    [mine] = await store.acquire(["p-1"], "me", 60)
    assert (mine.name, mine.holder, mine.epoch) == ("p-1", "me", 1)
    assert await store.acquire(["p-1"], "you", 60) == []
    [yours] = await store.acquire(["p-1", "p-2"], "you", 60)
    assert yours.name == "p-2"


async def test_an_ended_lease_goes_to_another_with_a_higher_epoch(store: Store) -> None:
    [mine] = await store.acquire(["p-1"], "me", 0.05)
    await asyncio.sleep(0.1)
    [yours] = await store.acquire(["p-1"], "you", 60)
    assert yours.epoch == mine.epoch + 1
    assert await store.renew([mine, yours], 60) == [yours]
    with pytest.raises(LostLease) as caught:
        await store.append([write("a-1")], lease=mine)
    assert (caught.value.name, caught.value.epoch) == ("p-1", mine.epoch)
    await store.append([write("a-1")], lease=yours)


async def test_its_holder_may_take_a_lease_anew_and_older_epochs_are_refused(store: Store) -> None:
    [first] = await store.acquire(["p-1"], "me", 60)
    [second] = await store.acquire(["p-1", "p-1"], "me", 60)
    assert second.epoch == first.epoch + 1
    with pytest.raises(LostLease):
        await store.append([write("a-1")], lease=first)
    await store.append([write("a-1")], lease=second)


async def test_a_renewed_lease_lasts(store: Store) -> None:
    [mine] = await store.acquire(["p-1"], "me", 0.3)
    assert await store.renew([mine], 60) == [mine]
    await asyncio.sleep(0.4)
    assert await store.acquire(["p-1"], "you", 60) == []
    await store.append([write("a-1")], lease=mine)


async def test_a_lease_given_up_is_free_at_once_and_its_epoch_never_returns(store: Store) -> None:
    [mine] = await store.acquire(["p-1"], "me", 60)
    await store.give_up([mine, Lease("p-9", "me", 1)])
    with pytest.raises(LostLease):
        await store.append([write("a-1")], lease=mine)
    assert await store.renew([mine], 60) == []
    [yours] = await store.acquire(["p-1"], "you", 60)
    assert yours.epoch > mine.epoch
    await store.give_up([mine])  # too late: it is another's
    await store.append([write("a-1")], lease=yours)


async def test_the_leases_of_a_prefix_that_are_held_now_are_told(store: Store) -> None:
    [one] = await store.acquire(["engine-a"], "a", 60)
    [two] = await store.acquire(["engine-b"], "b", 60)
    await store.acquire(["engine-c"], "c", 0.05)
    [other] = await store.acquire(["partition-1"], "a", 60)
    await asyncio.sleep(0.1)
    assert await store.leases("engine-") == [one, two]
    await store.give_up([one])
    assert await store.leases() == [two, other]


async def test_a_lease_that_nobody_gave_is_refused(store: Store) -> None:
    with pytest.raises(LostLease):
        await store.append([write("a-1")], lease=Lease("p-1", "me", 1))
    with pytest.raises(ValueError, match="needs a name"):
        await store.acquire(["p-1"], "", 1)


# --- work, ids, load


async def test_work_is_due_when_its_time_has_come_and_until_it_is_done(store: Store) -> None:
    now = datetime.now(UTC)
    await store.append([write("a-1")], work=[Work("a-1", 1, now - timedelta(seconds=5)), Work("a-2", 2, now - timedelta(seconds=9))])
    await store.append([], work=[Work("a-3", 1, now + timedelta(hours=1)), Work("a-4", 7)])
    await store.append([], work=[Work("a-5", 1), Work("a-5", 2)])  # the last one counts
    assert [w.root for w in await store.due_work([1, 2])] == ["a-2", "a-1", "a-5"]
    assert [w.root for w in await store.due_work([1, 2], limit=1)] == ["a-2"]
    await store.append([], work=[Work("a-1", 1, now + timedelta(hours=1))], done=["a-2", "a-9"])
    assert [w.root for w in await store.due_work([1, 2, 7])] == ["a-4", "a-5"]
    [work] = await store.due_work([7])
    assert work.due is not None
    assert abs(work.due - now) < timedelta(minutes=1)


async def test_work_that_waits_for_an_answer_keeps_its_place_among_what_is_due(store: Store) -> None:
    now = datetime.now(UTC)
    await store.append([], work=[Work("a-1", 1, now - timedelta(seconds=9)), Work("a-2", 1, now - timedelta(seconds=5))])
    await store.append([], work=[Work("a-1", 1, waits_for=7), Work("a-3", 1, waits_for=2**40)])
    found = await store.due_work([1])
    assert [(each.root, each.waits_for) for each in found] == [("a-1", 7), ("a-2", None), ("a-3", 2**40)]
    assert [each.root for each in await store.due_work([1], waiting=False)] == ["a-2"]
    await store.append([], work=[Work("a-1", 1)])
    assert [(each.root, each.waits_for) for each in await store.due_work([1], waiting=False)] == [("a-2", None), ("a-1", None)]


async def test_work_that_waits_tells_who_waits_longest(store: Store) -> None:
    for root in ("a-3", "a-1", "a-2"):
        await store.append([write(root)], work=[Work(root, 1, waits_for=7)])
    await asyncio.gather(*(store.append([write(f"b-{number}")], work=[Work(f"b-{number}", 1, waits_for=7)]) for number in range(20)))
    found = sorted(await store.due_work([1]), key=lambda each: each.since)
    assert [each.root for each in found[:3]] == ["a-3", "a-1", "a-2"]
    appended = {event.stream: event.position for event in await store.read_all(0, 100)}
    assert [each.root for each in found[3:]] == sorted((each.root for each in found[3:]), key=lambda root: appended[root])


async def test_work_that_was_for_later_and_waits_for_an_answer_now_is_due_now(store: Store) -> None:
    await store.append([], work=[Work("a-1", 1, datetime.now(UTC) + timedelta(hours=1))])
    await store.append([], work=[Work("a-1", 1, waits_for=7)])
    assert [each.root for each in await store.due_work([1])] == ["a-1"]


async def test_a_refused_append_leaves_work_as_it_is(store: Store) -> None:
    await store.append([write("a-1")], work=[Work("a-1", 1)])
    with pytest.raises(WrongVersion):
        await store.append([write("a-1", 0)], work=[Work("a-2", 1)], done=["a-1"])
    assert [w.root for w in await store.due_work([1])] == ["a-1"]


async def test_work_wins_over_done_in_one_append(store: Store) -> None:
    await store.append([], work=[Work("a-1", 1)], done=["a-1"])
    assert [w.root for w in await store.due_work([1])] == ["a-1"]


async def test_ids_count_from_one_and_are_never_given_twice(store: Store) -> None:
    assert await store.ids("instance") == range(1, 2)
    assert await store.ids("volume") == range(1, 2)
    given = [n for r in await asyncio.gather(*(store.ids("instance", 1 + n % 5) for n in range(40))) for n in r]
    assert len(set(given)) == len(given) == 120
    assert 1 not in given
    three = await store.ids("instance", 3)
    assert len(three) == 3
    assert not set(three) & set(given)
    with pytest.raises(ValueError, match="at least one"):
        await store.ids("instance", 0)


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


# --- keys of secrets


async def test_a_stream_keeps_the_first_key_that_it_was_given(store: Store) -> None:
    assert await store.add_keys({"a-1": b"one", "a-2": b"two"}) == {"a-1": b"one", "a-2": b"two"}
    assert await store.add_keys({"a-2": b"other", "a-3": b"three"}) == {"a-2": b"two", "a-3": b"three"}
    assert await store.keys(["a-1", "a-2", "a-9"]) == {"a-1": b"one", "a-2": b"two"}
    assert await store.add_keys({}) == {}
    assert await store.keys([]) == {}


async def test_all_who_give_a_stream_its_key_at_once_get_the_same_one(store: Store) -> None:
    streams = [f"a-{number}" for number in range(5)]
    given = [{stream: f"{stream} of {caller}".encode() for stream in streams[caller % 5 :] + streams[: caller % 5]} for caller in range(20)]
    in_force = await asyncio.gather(*(store.add_keys(keys) for keys in given))
    assert all(keys == in_force[0] for keys in in_force)
    assert await store.keys(streams) == in_force[0]


async def test_a_key_goes_with_the_append_that_closes_its_stream(store: Store) -> None:
    await store.add_keys({"a-1": b"one", "a-2": b"two", "a-3": b"three"})
    closing = Event("transitioned", {}, {"closed": True})
    await store.append([write("a-1"), write("a-2")])
    with pytest.raises(WrongVersion):
        await store.append([write("a-2", 1, closing), write("a-1", 7)])
    assert set(await store.keys(["a-1", "a-2"])) == {"a-1", "a-2"}, "nothing was closed"
    await store.append([write("a-1", 1, Event("updated", {}), closing), write("a-2", 1), write("a-3", 0, closing)])
    assert await store.keys(["a-1", "a-2", "a-3"]) == {"a-2": b"two"}


async def test_keys_are_changed_page_by_page_unless_they_changed_meanwhile(store: Store) -> None:
    await store.add_keys({"a-1": b"1", "a-2": b"2", "b-1": b"3"})
    assert await store.keys_after("", 2) == {"a-1": b"1", "a-2": b"2"}
    assert await store.keys_after("a-2", 2) == {"b-1": b"3"}
    assert await store.keys_after("b-1") == {}
    await store.change_keys({"a-1": (b"1", b"new"), "a-2": (b"not this", b"new"), "c-1": (b"", b"new")})
    assert await store.keys_after("") == {"a-1": b"new", "a-2": b"2", "b-1": b"3"}


# --- following


async def test_a_follower_gets_what_was_there_and_then_what_comes(store: Store) -> None:
    await store.append([Write("a-1", 0, tuple(Event("created", {"n": n}) for n in range(1500)))])
    seen: list[Recorded] = []

    async def follower() -> None:
        async with aclosing(store.follow(after=10)) as batches:
            async for batch in batches:
                assert 0 < len(batch) <= 1000
                seen.extend(batch)
                if len(seen) == 1492:
                    return

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(follower())
        await asyncio.sleep(0.1)
        await store.append([write("b-1")])
        await asyncio.sleep(0.05)
        await store.append([write("b-2")])
    assert [e.position for e in seen] == list(range(11, 1503))


async def test_followers_are_woken_at_once(store: Store) -> None:
    batches = store.follow()
    loop = asyncio.get_running_loop()
    waits = []
    for n in range(5):
        waiting = asyncio.ensure_future(anext(batches))
        await asyncio.sleep(0.1)
        began = loop.time()
        await store.append([write(f"a-{n}")])
        [event] = await asyncio.wait_for(waiting, 5)
        waits.append(loop.time() - began)
        assert event.position == n + 1
    assert min(waits) < 0.2


async def test_following_ends_with_the_store(store: Store) -> None:
    async def follower() -> None:
        async for _ in store.follow():
            pass

    task = asyncio.create_task(follower())
    await asyncio.sleep(0.05)
    await store.close()
    await asyncio.wait_for(task, 5)
    with pytest.raises(Unavailable):
        await store.append([write("a-1")])
    with pytest.raises(Unavailable):
        await store.read("a-1")
