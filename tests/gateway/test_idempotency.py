"""Idempotency-Key: the same request, however often and by whatever gateways, has one effect and one answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from commands.accepting.service import Commands
from commands.catalogue.builtin import CATALOGUE
from commands.settings.settings import DEFAULTS
from eventstore import Event
from eventstore.postgres import PostgresStore
from gateway.app import build_app
from gateway.services import Services
from projections.views import Views
from tests.support.http import Api, listening, serving

HOST = {"Host": "10.9.8.7"}
"""As a load balancer would hand it on: links in answers are made from it."""


@pytest.fixture
async def other(api: Api, database: str) -> AsyncIterator[httpx.AsyncClient]:
    """A second gateway on the same log, with connections and memory of its own."""
    store = await PostgresStore.open(database)
    views = await Views.open(database, CATALOGUE)
    commands = Commands(store, CATALOGUE, DEFAULTS)
    app = build_app(Services(store, views, commands, CATALOGUE, DEFAULTS))
    async with listening(app) as url, httpx.AsyncClient(base_url=url, timeout=20) as http:
        yield http
    await views.close()
    await store.close()


async def ask(http: httpx.AsyncClient, method: str, path: str, key: str, body: Any = None) -> httpx.Response:
    return await http.request(method, path, json=body, headers={"Idempotency-Key": key, **HOST})


def told(answer: httpx.Response) -> tuple[int, Any, str | None]:
    return answer.status_code, answer.json(), answer.headers.get("X-Corral-Position")


async def all_alike(api: Api, other: httpx.AsyncClient, method: str, path: str, key: str, body: Any = None) -> httpx.Response:
    """Asks ten times at once over two gateways, and once more afterwards; all answers must be equal. -> one of them"""
    answers = await asyncio.gather(*(ask(http, method, path, key, body) for http in (api.http, other) for _ in range(5)))
    await api.settled()
    answers.append(await ask(other, method, path, key, body))
    first = told(answers[0])
    for each in answers:
        assert told(each) == first
    return answers[0]


async def test_a_create_by_two_gateways_at_once_makes_one_thing(api: Api, other: httpx.AsyncClient) -> None:
    made = await all_alike(api, other, "POST", "/v1/containers", "k", {"imageUuid": "sim:1", "name": "once", "uuid": "u-once"})
    assert made.status_code == 201
    assert [each["id"] for each in (await api.get("/v1/containers", name="once"))["data"]] == [made.json()["id"]]


async def test_many_made_by_one_request_are_made_once(api: Api, other: httpx.AsyncClient) -> None:
    made = await all_alike(api, other, "POST", "/v1/containers", "k", {"imageUuid": "sim:1", "name": "three", "count": 3})
    assert len(made.json()["data"]) == 3
    assert len((await api.get("/v1/containers", name="three"))["data"]) == 3
    listed = await all_alike(api, other, "POST", "/v1/accounts", "l", [{"name": "a", "kind": "user"}, {"name": "b", "kind": "user"}])
    assert [each["name"] for each in listed.json()["data"]] == ["a", "b"]


async def test_an_action_is_not_judged_by_the_state_that_it_made_itself(api: Api, other: httpx.AsyncClient) -> None:
    number = await api.add("account", name="somebody", kind="user")
    await ended(api, f"account-{number}", "active")
    path = f"/v1/accounts/1a{number}?action=deactivate"
    before = await api.store.head()
    asked = await all_alike(api, other, "POST", path, "k")
    assert asked.status_code == 202, asked.text
    assert asked.json()["state"] == "deactivating"
    begun = [event for event in await api.store.read_all(before) if event.type == "process-started"]
    assert len(begun) == 1
    await ended(api, f"account-{number}", "inactive")
    assert told(await ask(other, "POST", path, "k")) == told(asked)
    without = await api.http.post(path)
    assert (without.status_code, without.json()["code"]) == (422, "ActionNotAvailable"), "without the key it is another request"


async def ended(api: Api, stream: str, state: str) -> None:
    """The process under way is done, as an engine would have it."""
    started = [event for event in await api.store.read(stream) if event.type == "process-started"][-1]
    done = {"pid": started.data["pid"], "process": started.data["process"], "field": "state", "to": state}
    await api.happened(stream, Event("process-succeeded", done))
    await api.settled()


async def test_an_update_is_repeated_as_it_was_answered_whatever_came_after_it(api: Api, other: httpx.AsyncClient) -> None:
    number = await api.add("host", name="before", kind="sim")
    await api.settled()
    path = f"/v1/hosts/1h{number}"
    named = await all_alike(api, other, "PUT", path, "k", {"name": "first"})
    assert named.json()["name"] == "first"
    assert (await ask(api.http, "PUT", path, "k2", {"name": "second"})).json()["name"] == "second"
    assert told(await ask(other, "PUT", path, "k", {"name": "first"})) == told(named)
    assert (await api.get(path))["name"] == "second"


async def test_a_deletion_is_repeated_as_it_was_answered(api: Api, other: httpx.AsyncClient) -> None:
    number = await api.add("account", name="leaving", kind="user")
    await api.settled()
    gone = await all_alike(api, other, "DELETE", f"/v1/accounts/1a{number}", "k")
    assert gone.status_code == 200, gone.text


async def test_what_had_nothing_to_do_has_nothing_to_do_later_either(api: Api, other: httpx.AsyncClient) -> None:
    number = await api.add("host", name="mine", kind="sim")
    await api.settled()
    path = f"/v1/hosts/1h{number}"
    head = await api.store.head()
    same = await all_alike(api, other, "PUT", path, "k", {"name": "mine"})
    assert await api.store.head() == head
    assert (await ask(api.http, "PUT", path, "k2", {"name": "yours"})).status_code == 200
    assert told(await ask(api.http, "PUT", path, "k", {"name": "mine"})) == told(same)
    assert (await api.get(path))["name"] == "yours"


async def test_another_request_with_the_same_key_is_refused_and_told_so(api: Api, other: httpx.AsyncClient) -> None:
    made = await ask(api.http, "POST", "/v1/hosts", "k", {"name": "h", "kind": "sim"})
    assert made.status_code == 201, made.text
    others = [
        ("POST", "/v1/hosts", {"name": "another", "kind": "sim"}),
        ("POST", "/v1/hosts", [{"name": "h", "kind": "sim"}, {"name": "h2", "kind": "sim"}]),
        ("POST", "/v1/containers", {"imageUuid": "sim:1"}),
        ("PUT", f"/v1/hosts/{made.json()['id']}", {"name": "h"}),
        ("DELETE", f"/v1/hosts/{made.json()['id']}", None),
    ]
    for method, path, body in others:
        refused = await ask(other, method, path, "k", body)
        assert (refused.status_code, refused.json()["code"]) == (422, "IdempotencyKeyReused"), refused.text
        assert "use a new key for a new request" in refused.json()["message"]


async def test_a_refusal_is_not_kept(api: Api) -> None:
    body = {"imageUuid": "none:1"}
    assert (await ask(api.http, "POST", "/v1/containers", "k", body)).status_code == 422
    await api.add("image", uuid="none:1", name="one", kind="image", instanceKind="container")
    assert (await ask(api.http, "POST", "/v1/containers", "k", body)).status_code == 201


@pytest.mark.parametrize("key", ["x" * 256, "caf\u00e9".encode().decode("latin-1"), "a\tb"])
async def test_a_key_that_can_not_be_kept_is_refused(api: Api, key: str) -> None:
    headers = [(b"Idempotency-Key", key.encode("latin-1"))]
    refused = await api.http.post("/v1/hosts", json={"name": "h", "kind": "sim"}, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (422, "InvalidIdempotencyKey"), refused.text


async def test_a_request_is_the_same_callers_before_the_views_know_any(store: PostgresStore, database: str) -> None:
    body = {"imageUuid": "sim:1", "name": "early"}
    async with serving(store, database, projecting=False) as api:
        early = await ask(api.http, "POST", "/v1/containers", "k", body)
        assert early.status_code == 201, early.text
        assert early.json()["accountId"] == f"1a{api.admin}"
        async with api.project():
            await api.settled()
            assert (await ask(api.http, "POST", "/v1/containers", "k", body)).json()["id"] == early.json()["id"]
