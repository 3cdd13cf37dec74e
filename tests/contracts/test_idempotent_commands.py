"""Commands with a key of the client's, as every store remembers them: carried out once, until they are forgotten."""

from __future__ import annotations

import asyncio

import pytest

from eventstore import CommandKey, Event, KeyReused, Repeated, Store, WrongVersion
from tests.contracts.writes import write


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


async def test_old_commands_are_forgotten_oldest_first_and_the_young_are_not(store: Store) -> None:
    keys = [CommandKey("1a1", f"k-{n}", "hash-1") for n in range(5)]
    for n, key in enumerate(keys):
        await store.append([write(f"a-{n}")], command=key)
    assert await store.forget_commands(3600) == 0
    await asyncio.sleep(0.01)
    assert await store.forget_commands(0.001, limit=2) == 2
    assert [await store.done_before(key) is not None for key in keys] == [False, False, True, True, True]
    await store.append([write("a-0", 1)], command=keys[0])  # it is a new one
    await asyncio.sleep(0.01)
    assert await store.forget_commands(0.001) == 4
    assert await store.forget_commands(0.001) == 0
