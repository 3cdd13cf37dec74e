"""The past as it was: at every position what the views showed there, by id and by every link, however much has happened since."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from commands.catalogue.builtin import CATALOGUE
from commands.catalogue.model import Link, ResourceType
from commands.resource import Resource
from commands.turns.decide import Delete, Run
from eventstore import Claim, Event, Recorded, Release, Write
from projections import leases
from projections.history import rows_of, state_at
from projections.moments import read_moment
from projections.past import Past, time_of
from projections.rows import Seen
from tests.projections.conftest import Cloud
from tests.support.story import Story, a_cloud

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def a_story() -> Story:
    story = a_cloud(hosts=2)
    for name in ("a", "b"):
        story.create("container", name=name, imageId=1, accountId=1)
        story.answer_all()
    story.command("instance-1", Run("stop", {"deallocateFromHost": True}))
    story.answer_all()
    story.command("instance-1", Delete())
    story.answer_all()
    return story


async def append(cloud: Cloud, events: list[Recorded]) -> None:
    for event in events:
        metadata = {name: value for name, value in event.metadata.items() if name not in ("root", "claims", "releases")}
        given = Event(event.type, event.data, metadata)
        given = replace(given, claims=event.claims, releases=event.releases)
        await cloud.store.append([Write(event.stream, event.version - 1, (given,), event.root)])


def links_of(resource: Resource) -> list[tuple[ResourceType, Link]]:
    type = CATALOGUE.type(resource.type)
    return [(type, link) for link in type.links.values() if link.cardinality != "ref" and CATALOGUE.root_type(link.to).stored]


def told(seen: Seen) -> tuple[Any, ...]:
    """What a view holds of it."""
    return seen.resource.stream, seen.resource.version, seen.resource.row, seen.resource.root, seen.claimed


async def test_at_every_position_it_is_what_the_views_were_there(cloud: Cloud) -> None:
    log = a_story().log
    rows: dict[int, dict[str, Seen]] = {}
    linked: dict[int, dict[tuple[str, str], list[Seen]]] = {}
    for begin in range(0, len(log), 25):
        await append(cloud, log[begin : begin + 25])
        await cloud.project()
        position = await cloud.store.head()
        rows[position] = {seen.resource.stream: seen for seen in rows_of(await state_at(cloud.store, position), removed=True)}
        linked[position] = {}
        for stream, seen in rows[position].items():
            for _, link in links_of(seen.resource):
                found = await cloud.views.linked(link, [seen.resource.id])
                linked[position][stream, link.name] = found[seen.resource.id]
    assert any(found for each in linked.values() for (_, name), found in each.items() if name == "volumes")

    looked = 0
    for position in list(rows)[::2]:
        past = Past(cloud.store, CATALOGUE, position, await time_of(cloud.store, position))
        for stream, seen in rows[position].items():
            if seen.resource.type == leases.TYPE:
                continue
            assert await past.get(seen.resource.type, seen.resource.id) == seen, f"{stream} at {position}"
        for (stream, name), expected in linked[position].items():
            if not expected and looked % 7:  # what leads nowhere is looked at now and then: it is most of them
                looked += 1
                continue
            looked += 1
            resource = rows[position][stream].resource
            link = CATALOGUE.type(resource.type).links[name]
            led_to = (await past.linked(link, [resource]))[resource.id]
            assert [told(seen) for seen in led_to] == [told(seen) for seen in expected], f"{name} of {stream} at {position}"
        for other in rows[max(rows)].keys() - rows[position].keys():
            kind, _, number = other.rpartition("-")
            assert await past.get(kind, int(number)) is None, f"{other} was not there yet at {position}"


async def test_what_was_claimed_of_a_host_then_is_not_free_then(cloud: Cloud) -> None:
    await append(cloud, a_story().log)
    head = await cloud.store.head()
    free: list[int] = []
    for position in range(head + 1):
        seen = await Past(cloud.store, CATALOGUE, position, NOW).get("host", 1)
        if seen is not None and isinstance(seen.resource.row.get("computeFree"), int):
            shown = seen.shown.row["computeFree"]
            if not free or free[-1] != shown:
                free.append(shown)
    assert len(free) > 1, "something was placed there"
    assert min(free) < free[0]


async def test_what_is_leased_is_there_as_long_as_it_is_held(cloud: Cloud) -> None:
    await cloud.store.append([Write("port-1", 0, (Event("created", {"changes": {}}, claims=(Claim("host-1/hostPort", "80"),)),))])
    await cloud.store.append([Write("host-9", 0, (Event("created", {"changes": {}}),))])
    await cloud.store.append([Write("port-1", 1, (Event("updated", {}, releases=(Release("host-1/hostPort", "80"),)),))])
    number = leases.FIRST + 1000
    found = [await Past(cloud.store, CATALOGUE, position, NOW).get(leases.TYPE, number) for position in range(4)]
    assert [each and each.resource.row["item"] for each in found] == [None, "80", "80", None]
    for nothing in (leases.FIRST, leases.FIRST + 1001, leases.FIRST + 2000, leases.FIRST + 10**9, 5):
        assert await Past(cloud.store, CATALOGUE, 3, NOW).get(leases.TYPE, nothing) is None


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("0", 0),
        ("120", 120),
        ("90m", NOW - timedelta(minutes=90)),
        ("2026-11-19", datetime(2026, 11, 19, tzinfo=UTC)),
        ("2026-11-19T14:05", datetime(2026, 11, 19, 14, 5, tzinfo=UTC)),
        ("2026-11-19T14:05:00+01:00", datetime(2026, 11, 19, 13, 5, tzinfo=UTC)),
        ("2026-11-19T14:05:00 01:00", datetime(2026, 11, 19, 13, 5, tzinfo=UTC)),  # what becomes of a + in a URL
        ("2026-11-19T14:05Z", datetime(2026, 11, 19, 14, 5, tzinfo=UTC)),
    ],
)
def test_a_moment_is_a_position_a_time_or_how_long_ago(text: str, meant: int | datetime) -> None:
    assert read_moment(text, NOW, UTC) == meant


@pytest.mark.parametrize("text", ["", "soon", "-1", "1.5", "2026-13-01", "9999999999999999999", "999999999d", "2026-11-21", "٣"])
def test_what_is_no_moment_or_still_to_come_is_said(text: str) -> None:
    with pytest.raises(ValueError, match=r"no moment|still to come|longer ago"):
        read_moment(text, NOW, UTC)
