"""The images of hosts, as their agents answer: or don't, or in another's name."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import nats
import pytest
from nats.aio.msg import Msg

from agents.wire import Message, command_subject
from eventstore.postgres import PostgresStore
from gateway import host_images
from tests.support.http import Api, serving

BUSYBOX = {"id": "sha256:0f", "names": ["busybox:1"], "digests": [], "size": 2_000_000, "created": 1_700_000_000}

UNDATED = {**BUSYBOX, "id": "sha256:0e", "created": -62_135_596_800}

NEVER = {**BUSYBOX, "id": "sha256:0d", "created": 10**17}

_agents = itertools.count(95_000)


@pytest.fixture
async def api(store: PostgresStore, database: str, nats_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    monkeypatch.setattr(host_images, "AGAIN", 0.1)
    async with serving(store, database, nats=nats_url) as api:
        yield api


@asynccontextmanager
async def an_agent(url: str, number: int, deaf: int = 0, in_the_name_of: int | None = None, **answer: Any) -> AsyncIterator[None]:
    """It leaves out the first `deaf` questions."""
    asked = itertools.count()

    async def hear(heard: Msg) -> None:
        request = Message.decode(heard.data)
        subject = (request.replyTo or "").replace(f".a{number}.", f".a{in_the_name_of or number}.")
        if next(asked) >= deaf:
            await client.publish(subject, request.reply(**answer).encode())

    client = await nats.connect(url)
    try:
        await client.subscribe(command_subject(number, "ping"), cb=hear)
        await client.flush()
        yield
    finally:
        await client.close()


async def a_host(api: Api, **fields: Any) -> tuple[int, str]:
    """-> its agent, and its id"""
    agent = next(_agents)
    host = await api.add("host", kind="docker", agentId=agent, **fields)
    return agent, f"1h{host}"


async def images(api: Api, path: str = "/v1/hosts/images") -> dict[str, Any]:
    await api.settled()
    document: dict[str, Any] = await api.get(path)
    return document


async def test_each_image_is_told_with_its_host(api: Api, nats_url: str) -> None:
    one, first = await a_host(api, name="one")
    two, second = await a_host(api, name="two")
    async with an_agent(nats_url, one, data={"images": [BUSYBOX]}), an_agent(nats_url, two, deaf=2, data={"images": [BUSYBOX, UNDATED]}):
        everywhere = await images(api)
        assert [(each["hostId"], each["hostName"]) for each in everywhere["data"]] == [(first, "one"), (second, "two"), (second, "two")]
        assert everywhere["data"][0] == {
            **BUSYBOX, "type": "hostImage", "hostId": first, "hostName": "one", "created": "2023-11-14T22:13:20.000Z",
            "createdTS": 1_700_000_000_000,
        }  # fmt: skip
        assert (everywhere["data"][2]["created"], everywhere["data"][2]["createdTS"]) == (None, None)
        assert everywhere["unanswered"] == []
        assert (await images(api, f"/v1/hosts/{first}/images"))["data"] == everywhere["data"][:1]


async def test_who_can_not_or_does_not_answer_is_named_with_the_reason(api: Api, nats_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_images, "SECONDS", 3.0)
    broken, _ = await a_host(api, name="broken")
    _, _ = await a_host(api, name="silent")
    old, _ = await a_host(api, name="old")
    robbed, _ = await a_host(api, name="robbed")
    await api.add("host", kind="docker", name="without")
    await api.add("host", kind="sim", name="simulated")
    async with (
        an_agent(nats_url, broken, transitioning="error", message="the Docker engine at /sock can't be reached"),
        an_agent(nats_url, old, data={"resources": []}),
        an_agent(nats_url, robbed, in_the_name_of=robbed + 1000, data={"images": [BUSYBOX]}),
    ):
        found = await images(api)
    assert found["data"] == []
    reasons = {each["hostName"]: each["reason"] for each in found["unanswered"]}
    assert reasons.pop("broken") == "the Docker engine at /sock can't be reached"
    assert "is away" in reasons.pop("silent")
    assert "is away" in reasons.pop("robbed"), "what another agent says in its name does not count"
    assert "is older than this server" in reasons.pop("old")
    assert reasons == {"without": "the host has no agent", "simulated": "hosts of kind sim have no images that could be listed"}


async def test_who_is_heard_by_nobody_is_not_waited_for(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_images, "SECONDS", 600.0)
    await a_host(api, name="silent")
    async with asyncio.timeout(60):
        assert [each["hostName"] for each in (await images(api))["unanswered"]] == ["silent"]


async def test_what_is_no_host_has_no_images(api: Api) -> None:
    for path in ("/v1/hosts/1h99/images", "/v1/hosts/nonsense/images", "/v1/accounts/images", "/v1/hosts/1h1/images/more"):
        assert (await api.http.get(path)).status_code == 404, path


async def test_without_nats_nobody_is_asked_and_that_is_said(store: PostgresStore, database: str) -> None:
    async with serving(store, database, nats="nats://127.0.0.1:1") as api:
        await api.add("host", kind="docker", agentId=next(_agents))
        answer = await api.http.get("/v1/hosts/images")
        assert answer.status_code == 503
        assert "NATS is away" in answer.text


async def test_a_time_that_is_none_takes_nobody_s_images_from_the_list(api: Api, nats_url: str) -> None:
    one, first = await a_host(api, name="one")
    two, second = await a_host(api, name="two")
    async with an_agent(nats_url, one, data={"images": [BUSYBOX]}), an_agent(nats_url, two, data={"images": [NEVER]}):
        everywhere = await images(api)
    assert [(each["hostId"], each["createdTS"]) for each in everywhere["data"]] == [(first, 1_700_000_000_000), (second, None)]
