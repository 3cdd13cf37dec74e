"""Events of old forms, read in the newest one: with a registry of the tests' own, since no type has an old form yet."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from commands import events
from commands.resource import Json, fold
from commands.upcast import FORM, newest_form, reader, stamped, upcast
from eventstore import Event, NewerEvent, Recorded, Write
from eventstore.memory import MemoryStore
from eventstore.postgres import PostgresStore
from tests.golden import corpus

AT = datetime(2026, 1, 1, tzinfo=UTC)


def split_name(data: Json) -> Json:
    """Form 2 of updated: what was one name is a first and a last one."""
    first, _, last = data["changes"]["name"].partition(" ")
    return {"changes": {"first": first, "last": last}}


def shout(data: Json) -> Json:
    """Form 3: the last name in capitals."""
    return {"changes": {**data["changes"], "last": data["changes"]["last"].upper()}}


OURS = {events.UPDATED: (split_name, shout)}


def updated(form: int | None, **changes: str) -> Recorded:
    return Recorded(1, "account-1", 1, events.UPDATED, {"changes": changes}, {FORM: form} if form else {}, AT)


@pytest.mark.parametrize(
    "event", [updated(None, name="Ada Lovelace"), updated(2, first="Ada", last="Lovelace"), updated(3, first="Ada", last="LOVELACE")]
)
def test_an_event_of_any_form_is_read_in_the_newest(event: Recorded) -> None:
    read = upcast(event, OURS)
    assert read.data == {"changes": {"first": "Ada", "last": "LOVELACE"}}
    assert read.metadata == {FORM: 3}
    assert upcast(read, OURS) is read, "once more changes nothing"


def test_what_is_in_the_newest_form_stays_the_very_same() -> None:
    event = updated(None, name="n")
    assert upcast(event, {}) is event
    assert upcast(Recorded(1, "a-1", 1, events.CREATED, {}, {}, AT), OURS).metadata == {}


@pytest.mark.parametrize("form", [4, 0, -1, "2", 1.5])
def test_a_form_that_nobody_knows_stops_the_reader(form: int) -> None:
    with pytest.raises(NewerEvent, match=r"account-1@1 \(updated\) is of form .* forms up to 3: start the newer"):
        upcast(Recorded(1, "account-1", 1, events.UPDATED, {}, {FORM: form}, AT), OURS)


def test_what_is_appended_says_its_form_unless_it_is_the_first() -> None:
    assert stamped(Event(events.UPDATED, {}, {"pid": "p"}), OURS).metadata == {"pid": "p", FORM: 3}
    plain = Event(events.CREATED, {}, {"pid": "p"})
    assert stamped(plain, OURS) is plain
    assert (newest_form(events.UPDATED, OURS), newest_form(events.CREATED, OURS)) == (3, 1)


def test_a_registry_is_of_types_that_exist_and_costs_nothing_while_it_is_empty() -> None:
    assert reader({}) is None
    with pytest.raises(ValueError, match="upgraded"):
        reader({"upgraded": (split_name,)})


@pytest.mark.parametrize("kind", ["memory", "postgres"])
async def test_a_store_reads_every_event_in_its_newest_form(kind: str, database: str) -> None:
    upcasting = reader(OURS)
    store = MemoryStore(upcast=upcasting) if kind == "memory" else await PostgresStore.open(database, upcast=upcasting)
    try:
        old, new = Event(events.UPDATED, {"changes": {"name": "Ada Lovelace"}}), Event(events.UPDATED, {"changes": {"last": "KING"}})
        await store.append([Write("account-1", 0, (old, stamped(new, OURS)))])
        loaded = await store.load(["account"])
        batches = store.follow(0)
        followed = await anext(batches)
        await batches.aclose()
        reads = (await store.read("account-1"), await store.read_root("account-1"), await store.read_all(), loaded.events, followed)
        for read in reads:
            assert [event.metadata for event in read] == [{FORM: 3}, {FORM: 3}]
            assert fold("account-1", read).row == {"first": "Ada", "last": "KING"}
    finally:
        await store.close()


def test_old_logs_fold_through_upcasters_as_they_did() -> None:
    """An upcaster that only renames what it then names back leaves every recorded state as it is; one that loses something does not."""

    def same(data: Json) -> Json:
        return {key: data[key] for key in sorted(data)}

    def forgetful(data: Json) -> Json:
        return {"changes": {}}

    [path] = [path for path in corpus.logs() if path.stem == "whole_life.1"]
    state, log = corpus.read_state(path), corpus.read_log(path)
    assert corpus.differences(state, corpus.state_of(log, {events.UPDATED: (same,)})) == []
    assert corpus.differences(state, corpus.state_of(log, {events.UPDATED: (forgetful,)}))
