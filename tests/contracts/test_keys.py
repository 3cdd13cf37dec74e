"""Keys of secrets, as every store keeps them: one a stream, gone with the append that closes it."""

from __future__ import annotations

import asyncio

import pytest

from eventstore import Event, Store, WrongVersion
from tests.contracts.writes import write


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
