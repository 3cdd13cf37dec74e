"""resource.change and state.change: once a second at most for each resource, as each subscriber may see it."""

from __future__ import annotations

import asyncio
import time

import pytest

from eventstore import Event
from eventstore.postgres import PostgresStore
from gateway.bus import changes
from gateway.bus.subscriber import ENDED
from tests.gateway.access.test_access import account_with_key
from tests.support.http import Api, serving
from tests.support.subscriber import Subscriber, subscribed


def of(subscriber: Subscriber, ident: str, name: str = "resource.change") -> list[dict[str, object]]:
    return [each for each in subscriber.heard if (each["name"], each["resourceId"]) == (name, ident)]


async def test_a_change_shows_the_resource_as_the_api_does(api: Api) -> None:
    async with subscribed(api.http, "resource.change", "state.change") as subscriber:
        made = await api.post("/v1/hosts", name="web", kind="sim")
        event = await subscriber.until(lambda event: (event["name"], event["resourceId"]) == ("resource.change", made["id"]))
        assert (event["resourceType"], event["replyTo"]) == ("host", None)
        assert event["data"]["resource"] == await api.get(f"/v1/hosts/{made['id']}")
        state = await subscriber.until(lambda event: (event["name"], event["resourceId"]) == ("state.change", made["id"]))
        assert state["data"] == {"accountId": api.admin, "state": made["state"]}


async def test_many_changes_of_a_resource_are_told_as_one_and_the_last_is_always_told(api: Api) -> None:
    made = await api.post("/v1/hosts", name="0", kind="sim")
    async with subscribed(api.http, "resource.change") as subscriber:
        began = time.monotonic()
        for number in range(1, 30):
            await api.http.put(f"/v1/hosts/{made['id']}", json={"name": str(number)})
        await subscriber.until(lambda event: event["resourceId"] == made["id"] and event["data"]["resource"]["name"] == "29")
        assert len(of(subscriber, made["id"])) <= time.monotonic() - began + 1, "they are gathered for a second"
        states = of(subscriber, made["id"], "state.change")
        assert states == [], "nobody wanted to hear of states, and nothing moved one"


async def test_a_users_key_hears_of_its_own_things_and_an_admin_of_all(api: Api) -> None:
    account, key = await account_with_key(api, "user", "u")
    async with subscribed(api.http, "resource.change", auth=key) as user, subscribed(api.http, "resource.change") as admin:
        theirs = await api.post("/v1/images", name="theirs", isPublic=True)
        mine = (await api.http.post("/v1/containers", json={"imageUuid": "sim:x"}, auth=key)).json()
        event = await user.until(lambda event: event["resourceId"] == mine["id"])
        assert event["data"]["resource"] == (await api.http.get(f"/v1/containers/{mine['id']}", auth=key)).json()
        assert "accountId" not in event["data"]["resource"]
        await admin.until(lambda event: event["resourceId"] == theirs["id"] and event["resourceType"] == "image")
        seen = await admin.until(lambda event: event["resourceId"] == mine["id"] and event["resourceType"] == "instance")
        assert seen["data"]["resource"]["accountId"] == f"1a{account}"
        images = [each["resourceId"] for each in user.heard if each["resourceType"] == "image"]
        assert theirs["id"] not in images, "what is merely public is its owner's affair"


async def test_who_may_not_see_a_thing_hears_that_it_changed_and_no_more(api: Api) -> None:
    _, key = await account_with_key(api, "readAdmin", "r")
    async with subscribed(api.http, "resource.*", auth=key) as reader:
        made = await api.post("/v1/images", name="secret")
        assert (await reader.until(lambda event: event["resourceId"] == made["id"]))["data"] is None


async def test_what_views_do_not_hold_yet_is_told_all_the_same(store: PostgresStore, database: str, nats_url: str) -> None:
    async with serving(store, database, nats=nats_url) as early:
        made = await early.post("/v1/hosts", name="before", kind="sim")
        await early.settled()
    async with serving(store, database, nats=nats_url, projecting=False) as api, subscribed(api.http, "resource.change") as subscriber:
        number = int(made["id"].removeprefix("1h"))
        await api.happened(f"host-{number}", Event("updated", {"changes": {"name": "after"}}))
        event = await subscriber.until(lambda event: event["resourceId"] == made["id"])
        assert event["data"]["resource"]["name"] == "after"


async def test_the_log_is_followed_only_while_somebody_wants_it(api: Api) -> None:
    assert api.hub is not None
    async with subscribed(api.http, "my.event"):
        assert not api.hub.watched.is_set()
        async with subscribed(api.http, "resource.*"):
            assert api.hub.watched.is_set()
    async with asyncio.timeout(20):
        while len(api.hub):
            await asyncio.sleep(0.01)
    assert not api.hub.watched.is_set()


async def test_where_more_changes_than_can_be_told_whoever_wants_it_is_told_so(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "MOST_PENDING", 2)
    async with subscribed(api.http, "resource.change") as watcher, subscribed(api.http, "my.event") as other:
        for number in range(3):
            await api.add("host", name=str(number))
        assert "Subscribe again" in (await watcher.named(ENDED))["transitioningMessage"]
        await api.post("/v1/publish", name="my.event")
        await other.named("my.event")
