"""The images of hosts, as their agents list them: or don't."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agents.driver import DriverError
from agents.live import Question
from agents.process.agent import Agent
from agents.simulated import SimulatedDriver
from eventstore.postgres import PostgresStore
from gateway.live import lists
from tests.support.http import Api, serving

Json = dict[str, Any]

BUSYBOX = {"Id": "sha256:0f", "RepoTags": ["busybox:1"], "RepoDigests": None, "Size": 2_000_000, "Created": 1_700_000_000}

NEWER = {**BUSYBOX, "Id": "sha256:11", "Created": 1_800_000_000}

UNDATED = {**BUSYBOX, "Id": "sha256:0e", "RepoTags": ["<none>:<none>"], "RepoDigests": ["<none>@<none>"], "Created": -62_135_596_800}

NEVER = {**BUSYBOX, "Id": "sha256:0d", "Created": 10**17}

_agents = itertools.count(95_000)


class Engine(SimulatedDriver):
    """One that has images."""

    def __init__(self, pieces: Sequence[Any], *, stuck: bool = False, broken: str | None = None) -> None:
        super().__init__("engine")
        self._pieces, self._stuck, self._broken = pieces, stuck, broken

    def live_verbs(self, question: Question) -> frozenset[str]:
        return frozenset({"images"})

    async def live(self, question: Question, given: AsyncIterator[Json]) -> AsyncGenerator[Json, None]:
        if self._broken:
            raise DriverError(self._broken)
        for each in self._pieces:
            yield {"listed": each}
        if self._stuck:
            await asyncio.Event().wait()


@pytest.fixture
async def api(store: PostgresStore, database: str, nats_url: str) -> AsyncIterator[Api]:
    async with serving(store, database, nats=nats_url) as api:
        yield api


@asynccontextmanager
async def an_agent(url: str, number: int, driver: SimulatedDriver, folder: Path) -> AsyncIterator[None]:
    async with Agent(number, f"agent-{number}", driver, folder / str(number), url) as agent:
        await agent.ready.wait()
        yield


async def a_host(api: Api, **fields: Any) -> tuple[int, str]:
    """-> its agent, and its id"""
    agent = next(_agents)
    host = await api.add("host", kind="docker", agentId=agent, **fields)
    return agent, f"1h{host}"


async def images(api: Api, path: str = "/v1/hosts/images") -> Json:
    await api.settled()
    document: Json = await api.get(path)
    return document


async def test_each_image_is_told_with_its_host_the_newest_first(api: Api, nats_url: str, tmp_path: Path) -> None:
    one, first = await a_host(api, name="one")
    two, second = await a_host(api, name="two")
    many = Engine([[NEVER, UNDATED], [BUSYBOX, NEWER]])
    async with an_agent(nats_url, one, Engine([[BUSYBOX]]), tmp_path), an_agent(nats_url, two, many, tmp_path):
        everywhere = await images(api)
        assert [(each["hostId"], each["hostName"]) for each in everywhere["data"]] == [(first, "one"), *[(second, "two")] * 4]
        assert everywhere["data"][0] == {
            "type": "hostImage", "hostId": first, "hostName": "one", "id": "sha256:0f", "names": ["busybox:1"], "digests": [],
            "size": 2_000_000, "created": "2023-11-14T22:13:20.000Z", "createdTS": 1_700_000_000_000,
        }  # fmt: skip
        dated = [(each["id"], each["createdTS"]) for each in everywhere["data"][1:]]
        assert dated == [
            ("sha256:11", 1_800_000_000_000), ("sha256:0f", 1_700_000_000_000), ("sha256:0d", None), ("sha256:0e", None),
        ], "a time that is none takes nobody's images from the list"  # fmt: skip
        assert (everywhere["data"][4]["names"], everywhere["data"][4]["digests"]) == ([], [])
        assert everywhere["unanswered"] == []
        assert (await images(api, f"/v1/hosts/{first}/images"))["data"] == everywhere["data"][:1]


async def test_who_can_not_or_does_not_answer_is_named_with_the_reason(
    api: Api, nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "SECONDS", 5.0)
    broken, _ = await a_host(api, name="broken")
    await a_host(api, name="silent")
    stuck, _ = await a_host(api, name="stuck")
    odd, _ = await a_host(api, name="odd")
    old, _ = await a_host(api, name="old")
    await api.add("host", kind="docker", name="without")
    away = "the Docker engine at /sock can't be reached"
    async with (
        an_agent(nats_url, broken, Engine([], broken=away), tmp_path),
        an_agent(nats_url, stuck, Engine([[BUSYBOX]], stuck=True), tmp_path),
        an_agent(nats_url, odd, Engine(["all of them"]), tmp_path),
        an_agent(nats_url, old, SimulatedDriver("engine"), tmp_path),
    ):
        found = await images(api)
    assert found["data"] == []
    reasons = {each["hostName"]: each["reason"] for each in found["unanswered"]}
    assert reasons.pop("broken") == away
    assert "of silent is not connected" in reasons.pop("silent")
    assert reasons.pop("stuck") == "stuck did not list its images within 5 seconds"
    assert "what odd lists is no list of at most" in reasons.pop("odd")
    assert "can't answer images" in reasons.pop("old")
    assert reasons == {"without": "without has no agent"}


async def test_hosts_that_have_no_images_are_not_asked_for_them(api: Api) -> None:
    simulated = await api.add("host", kind="sim", name="simulated")
    assert await images(api) | {"links": {}} == {
        "type": "collection", "resourceType": "hostImage", "links": {}, "data": [], "unanswered": [],
    }  # fmt: skip
    (unanswered,) = (await images(api, f"/v1/hosts/1h{simulated}/images"))["unanswered"]
    assert unanswered["reason"] == "hosts of kind sim have no images that could be listed", "who asks for its images is told"


async def test_what_is_no_host_has_no_images(api: Api) -> None:
    for path in ("/v1/hosts/1h99/images", "/v1/hosts/nonsense/images", "/v1/accounts/images", "/v1/hosts/1h1/images/more"):
        assert (await api.http.get(path)).status_code == 404, path


async def test_without_nats_nobody_is_asked_and_that_is_said(store: PostgresStore, database: str) -> None:
    async with serving(store, database, nats="nats://127.0.0.1:1") as api:
        await api.add("host", kind="docker", agentId=next(_agents))
        answer = await api.http.get("/v1/hosts/images")
        assert answer.status_code == 503
        assert "NATS is away" in answer.text
