"""Secrets sealed before an append and opened where they are needed; nothing in between knows them, and a purge ends them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any

import pytest

from commands import events
from commands.accepting.service import Actor, Commands
from commands.catalogue.builtin import CATALOGUE
from commands.catalogue.secrets import is_sealed, masked, replaced, secret_names, secrets_of
from commands.resource import Json, Resource, fold
from commands.secrets.sealing import MasterKeys, Unreadable, WrongMasterKey, seal, unseal
from commands.secrets.vault import CANARY, Vault
from commands.settings.settings import DEFAULTS
from commands.turns.decide import Run
from eventstore import Event, Store, Write
from eventstore.memory import MemoryStore
from eventstore.postgres import PostgresStore
from tests.support.cloud import a_running_cloud
from tests.support.story import a_cloud

SECRET = "s3cret-of-mine"


class Counted(MemoryStore):
    """Counts what is asked about keys."""

    asked = 0

    async def keys(self, streams: Sequence[str]) -> dict[str, bytes]:
        self.asked += 1
        return await super().keys(streams)

    async def add_keys(self, keys: Any) -> dict[str, bytes]:
        self.asked += 1
        await asyncio.sleep(0)  # a database takes its time, and meanwhile others come
        return await super().add_keys(keys)


def write(stream: str, *data: Json, expected: int = 0) -> Write:
    return Write(stream, expected, tuple(Event(events.UPDATED, each) for each in data))


async def append(store: Store, vault: Vault, *writes: Write) -> None:
    await store.append(await vault.sealed(writes))


async def resource(store: Store, stream: str) -> Resource:
    return fold(stream, await store.read(stream))


EVERYWHERE: list[Json] = [
    {"changes": {"libvirtVncPassword": SECRET, "token": SECRET}},
    {"changes": {"+data": {"+fields": {"libvirtVncPassword": SECRET}, "token": SECRET}}},
    {"changes": {"+data": {"fields": {"libvirtVncPassword": SECRET}}}},
    {"changes": {"data": {"fields": {"libvirtVncPassword": SECRET}, "a": 1}}},
    {"changes": {"data": {"+fields": {"+libvirtVncPassword": {"merged": SECRET}}}}},
    {"pid": "p", "input": {"password": SECRET}},
]


@pytest.mark.parametrize("data", EVERYWHERE)
async def test_wherever_a_secret_stands_in_an_event_it_is_appended_sealed_and_read_back(data: Json) -> None:
    store = MemoryStore()
    vault = Vault(store, CATALOGUE)
    started = {"process": "instance.start", "field": "state", "from": "stopped", "via": "starting", **data}
    await append(store, vault, Write("instance-1", 0, (Event(events.PROCESS_STARTED, started),)))
    [event] = await store.read("instance-1")
    assert SECRET not in str(event)
    assert "sealed" not in str(masked(event.data, secret_names(CATALOGUE)))
    if "pid" in data:
        opened = await Vault(store, CATALOGUE).opened(await resource(store, "instance-1"))
        assert opened.open["state"].input == {"password": SECRET}
        return
    folded = await resource_of_changes(event.data["changes"])
    opened = await Vault(store, CATALOGUE).opened(folded)
    assert str(opened.row).count(SECRET) == str(data).count(SECRET)
    assert opened.get("libvirtVncPassword") in (SECRET, {"merged": SECRET})


async def resource_of_changes(changes: Json) -> Resource:
    store = MemoryStore()
    await store.append([Write("instance-1", 0, (Event(events.CREATED, {"changes": changes}),))])
    return await resource(store, "instance-1")


async def test_what_is_named_like_a_secret_inside_a_free_map_is_the_users_own() -> None:
    store = MemoryStore()
    vault = Vault(store, CATALOGUE)
    environment = {"token": "the container's", "secretValue": "the container's"}
    changes = {"name": "token", "+data": {"+fields": {"environment": environment}, "dockerInspect": {"token": 1}}}
    await append(store, vault, write("instance-1", {"changes": changes}), write("volume-1", {"changes": {"token": "no field of a volume"}}))
    assert [event.data["changes"] for event in await store.read_all()] == [changes, {"token": "no field of a volume"}]


async def test_without_a_secret_the_store_is_asked_for_nothing() -> None:
    store = Counted()
    vault = Vault(store, CATALOGUE)
    await append(store, vault, write("instance-1", {"changes": {"name": "n", "token": None}}), write("account-1", {"changes": {"a": 1}}))
    await vault.opened(await resource(store, "instance-1"))
    assert store.asked == 0
    await append(store, vault, write("instance-1", {"changes": {"token": SECRET}}, expected=1))
    await append(store, vault, write("instance-1", {"changes": {"token": "another"}}, expected=2))
    assert (await vault.opened(await resource(store, "instance-1"))).row["token"] == "another"
    assert store.asked == 1, "a known key is not asked for again"
    await asyncio.gather(*(vault.sealed([write(f"instance-{n}", {"changes": {"token": SECRET}})]) for n in range(2, 40)))
    assert store.asked <= 3, "those who wait at the same time ask together"


async def test_two_writers_of_one_stream_at_once_use_one_key(database: str) -> None:
    store = await PostgresStore.open(database)
    try:
        vaults = [Vault(store, CATALOGUE) for _ in range(6)]
        [*sealed] = await asyncio.gather(*(vault.sealed([write("credential-1", {"changes": {"secretValue": SECRET}})]) for vault in vaults))
        values = [each[0].events[0].data["changes"]["secretValue"] for each in sealed]
        assert len({value["sealed"] for value in values}) == len(vaults), "the same secret looks different each time"
        assert await Vault(store, CATALOGUE).values([("credential-1", "secretValue", value) for value in values]) == [SECRET] * 6
    finally:
        await store.close()


async def test_a_key_is_made_for_what_holds_a_secret_and_for_nothing_else(database: str, nats_url: str) -> None:
    store = await PostgresStore.open(database)
    try:
        async with a_running_cloud(store, nats_url) as cloud:
            instance = await cloud.create("container", imageUuid="sim:1")
            await cloud.until(instance.stream, "running")
            await cloud.create("credential", kind="apiKey", accountId=1, publicValue="open")
            await cloud.create("credential", kind="apiKey", accountId=1, publicValue="open too", secretValue=SECRET)
        log = await store.read_all()
        holders = {event.stream for event in log if "'sealed'" in str(event.data)}
        assert {instance.stream} < holders < {event.stream for event in log}
        assert set(await store.keys_after("")) == holders
    finally:
        await store.close()


async def test_a_sealed_value_opens_with_its_own_key_and_as_it_was_made() -> None:
    key = os.urandom(32)
    sealed = seal(key, "credential-1", "secretValue", SECRET, os.urandom)
    assert is_sealed(sealed)
    assert unseal(key, sealed) == SECRET
    with pytest.raises(Unreadable):
        unseal(os.urandom(32), sealed)
    for broken in ("", "credential-1/secretValue:no base64!", "AAAA", sealed["sealed"].replace("credential-1", "credential-2")):
        with pytest.raises(Unreadable):
            unseal(key, {"sealed": broken})


@pytest.mark.parametrize("forged", ["", "Zm9yZ2Vk", "credential-2/secretValue:Zm9yZ2Vk", "credential-9/secretValue:Zm9yZ2Vk"])
async def test_what_only_looks_sealed_reads_as_none(forged: str) -> None:
    store = MemoryStore()
    vault = Vault(store, CATALOGUE)
    await append(store, vault, write("credential-2", {"changes": {"secretValue": {"sealed": forged}, "name": "n"}}))
    assert (await vault.opened(await resource(store, "credential-2"))).row["secretValue"] is None


async def test_a_secret_that_a_decision_takes_to_another_resource_is_sealed_anew_for_it() -> None:
    store = MemoryStore()
    vault = Vault(store, CATALOGUE)
    await append(store, vault, write("credential-1", {"changes": {"secretValue": SECRET}}))
    taken = (await resource(store, "credential-1")).row["secretValue"]
    assert await vault.values([("instance-1", "token", taken)]) == [None], "as it is, it opens nowhere else"
    changes = {"token": taken, "+data": {"+fields": {"libvirtVncPassword": taken}}}
    await append(store, Vault(store, CATALOGUE), write("instance-1", {"changes": changes}))
    [event] = await store.read("instance-1")
    assert taken["sealed"] not in str(event)
    await store.append([Write("credential-1", 1, (Event(events.UPDATED, {}, {"closed": True}),))])
    row = (await Vault(store, CATALOGUE).opened(await resource(store, "instance-1"))).row
    assert (row["token"], row["data"]["fields"]["libvirtVncPassword"]) == (SECRET, SECRET), "it is the instance's own now"
    assert await Vault(store, CATALOGUE).values([("credential-1", "secretValue", taken)]) == [None]


async def test_a_crash_between_a_key_and_its_append_does_no_harm() -> None:
    store = MemoryStore()
    change = write("credential-1", {"changes": {"secretValue": SECRET}})
    await Vault(store, CATALOGUE).sealed([change])  # and then the server is gone
    kept = await store.keys(["credential-1"])
    await append(store, Vault(store, CATALOGUE), change)
    assert await store.keys(["credential-1"]) == kept
    assert (await Vault(store, CATALOGUE).opened(await resource(store, "credential-1"))).row["secretValue"] == SECRET


async def test_a_log_from_before_secrets_were_sealed_reads_as_it_did() -> None:
    store = MemoryStore()
    await store.append([write("credential-1", {"changes": {"secretValue": "clear", "publicValue": "p"}})])
    assert (await Vault(store, CATALOGUE).opened(await resource(store, "credential-1"))).row["secretValue"] == "clear"


async def test_the_same_secret_once_more_is_no_change_and_another_one_is() -> None:
    store = MemoryStore()
    commands = Commands(store, CATALOGUE, DEFAULTS)
    made = (await commands.create("apiKey", {"publicValue": "p", "secretValue": SECRET}, Actor(1))).resource
    for changes, more in (({"secretValue": SECRET, "publicValue": "p"}, 0), ({"secretValue": "new"}, 1), ({"secretValue": "new"}, 0)):
        before = await store.head()
        outcome = await commands.update("apiKey", made.id, changes, Actor(1))
        assert await store.head() == before + more
        assert (await commands.vault.opened(outcome.resource)).row["secretValue"] == changes["secretValue"]
    assert SECRET not in str(await store.read_all())


async def test_after_the_purge_a_secret_is_gone_also_for_who_has_the_log_and_remembers_nothing() -> None:
    store = MemoryStore()
    vault = Vault(store, CATALOGUE)
    await append(store, vault, write("credential-1", {"changes": {"secretValue": SECRET, "state": "removed"}}))
    copy = await store.read_all()
    purged = Event(events.TRANSITIONED, {"process": "credential.purge", "field": "state", "to": "purged"}, {"closed": True})
    await append(store, vault, Write("credential-1", 1, (purged,)))
    then = fold("credential-1", copy)
    assert (await Vault(store, CATALOGUE).opened(then)).row["secretValue"] is None
    now = await resource(store, "credential-1")
    assert (await vault.opened(now)).row["secretValue"] is None, "not even where the key is still remembered"
    assert now.state == "purged"


def test_the_turn_that_purges_closes_the_stream() -> None:
    story = a_cloud()
    key = story.create("apiKey", publicValue="p", secretValue=SECRET, accountId=1)
    story.command(key.stream, Run("deactivate"))
    story.command(key.stream, Run("remove"))
    story.pass_time(61)
    assert story.resource(key.stream).state == "purged"
    closed = [event for event in story.log if event.metadata.get("closed")]
    assert [(event.stream, event.version) for event in closed] == [(key.stream, story.resource(key.stream).version)]


# --- the master key


def keys(*numbers: int) -> MasterKeys:
    return MasterKeys([bytes([number]) * 32 for number in numbers])


async def test_with_a_master_key_a_copy_of_the_table_of_keys_opens_nothing() -> None:
    store = MemoryStore()
    vault = Vault(store, CATALOGUE, keys(1))
    await vault.check()
    await append(store, vault, write("credential-1", {"changes": {"secretValue": SECRET}}))
    [kept] = (await store.keys(["credential-1"])).values()
    sealed = (await resource(store, "credential-1")).row["secretValue"]
    for start in range(len(kept) - 31):
        with pytest.raises(Unreadable):
            unseal(kept[start : start + 32], sealed)
    again = Vault(store, CATALOGUE, keys(1))
    await again.check()
    assert await again.values([("credential-1", "secretValue", sealed)]) == [SECRET]


@pytest.mark.parametrize(("given", "said"), [((), "none was given"), ((2,), "is another")])
async def test_a_start_without_the_right_master_key_is_refused_in_words(given: tuple[int, ...], said: str) -> None:
    store = MemoryStore()
    await Vault(store, CATALOGUE, keys(1)).check()
    with pytest.raises(WrongMasterKey, match=said):
        await Vault(store, CATALOGUE, keys(*given)).check()


async def test_a_wrapped_key_is_of_its_stream_alone() -> None:
    store = MemoryStore()
    vault = Vault(store, CATALOGUE, keys(1))
    await append(store, vault, write("credential-1", {"changes": {"secretValue": SECRET}}))
    moved = await store.keys(["credential-1"])
    with pytest.raises(WrongMasterKey, match="not as it was written"):
        keys(1).unwrap("credential-2", moved["credential-1"])


async def test_a_key_that_another_server_still_wrapped_with_the_old_master_key_is_wrapped_anew_at_the_last_start() -> None:
    store = MemoryStore()
    await Vault(store, CATALOGUE, keys(1)).check()
    first, last = Vault(store, CATALOGUE, keys(2, 1)), Vault(store, CATALOGUE, keys(1, 2))
    await first.check()
    await append(store, last, write("credential-1", {"changes": {"secretValue": SECRET}}))
    await Vault(store, CATALOGUE, keys(2, 1)).check()
    now = Vault(store, CATALOGUE, keys(2))
    await now.check()
    assert (await now.opened(await resource(store, "credential-1"))).row["secretValue"] == SECRET


@pytest.mark.parametrize(("before", "between", "after"), [((), (1,), (1,)), ((1,), (2, 1), (2,))])
async def test_a_new_master_key_takes_over_at_a_start_that_knows_both(
    before: tuple[int, ...], between: tuple[int, ...], after: tuple[int, ...]
) -> None:
    store = MemoryStore()
    vault = Vault(store, CATALOGUE, keys(*before))
    await vault.check()
    await append(store, vault, write("credential-1", {"changes": {"secretValue": SECRET}}))
    old = await store.keys_after("")
    for _ in range(2):
        await Vault(store, CATALOGUE, keys(*between)).check()
    new = await store.keys_after("")
    assert set(new) == {CANARY, "credential-1"}
    assert all(new[stream] != old[stream] for stream in new)
    last = Vault(store, CATALOGUE, keys(*after))
    await last.check()
    assert (await last.opened(await resource(store, "credential-1"))).row["secretValue"] == SECRET


def test_a_master_key_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        MasterKeys([b"short"])


def test_the_secrets_of_a_type_are_those_of_its_children_too() -> None:
    assert secrets_of(CATALOGUE, "instance") == {"libvirtVncPassword", "token"}
    assert secrets_of(CATALOGUE, "instance", told_agents=False) == {"libvirtVncPassword"}
    assert secrets_of(CATALOGUE, "credential") == {"secretValue"}
    assert secrets_of(CATALOGUE, "volume") == frozenset()


def test_a_row_without_secrets_stays_the_very_same() -> None:
    row: Json = {"name": "n", "data": {"fields": {"a": 1}}}
    assert replaced(row, frozenset({"secretValue"}), lambda name, value: "x") is row
