"""The herd's habits on two real Docker engines: containers created, listed, addressed by their engine's id, over HTTP and NATS."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import docker
import httpx
import nats
import orjson
import pytest

from agents.docker.container import UUID_LABEL
from tests.support.cluster import Cluster, a_cluster
from tests.support.lab import IMAGE, LabHost

TIER = f"web-{secrets.token_hex(4)}"
SLEEPS = {"Image": IMAGE, "Cmd": ["sh", "-c", "trap exit TERM; sleep 1000 & wait"], "Labels": {"tier": TIER}}

Json = dict[str, Any]


@pytest.fixture
async def cluster(tmp_path: Path, docker_hosts: dict[str, LabHost]) -> AsyncIterator[Cluster]:
    """Two servers that serve the API, and one for the agent of each of two hosts."""
    async with a_cluster(tmp_path) as cluster:
        await cluster.start(gateway={"roles": "gateway,engine,projector"}, other={"roles": "gateway"})
        for name, host in zip(("one", "two"), docker_hosts.values(), strict=False):
            await cluster.start(**{name: {"roles": "agents", "hosts": "docker", "docker": host.base_url}})
        yield cluster


async def ask(http: httpx.AsyncClient, action: str, status: int = 200, **given: Any) -> Json:
    answer = await http.post("/", json={"action": action, **given}, timeout=120)
    assert answer.status_code == status, answer.text
    return dict(answer.json())


def state(hosts: dict[str, LabHost], id: str) -> str | None:
    """As its engine itself says."""
    for host in hosts.values():
        client = host.client()
        try:
            return str(client.containers.get(id).status)
        except docker.errors.NotFound:
            continue
        finally:
            client.close()
    return None


@pytest.mark.timeout(300)
async def test_a_herd_of_two_engines(cluster: Cluster, docker_hosts: dict[str, LabHost], tmp_path: Path) -> None:
    async with cluster.http() as http, cluster.http("other") as other:
        async with asyncio.timeout(60):
            while len((await http.get("/v1/hosts?state=active")).json()["data"]) < 2:
                await asyncio.sleep(0.2)
        folder = cluster["gateway"].home / "templates"
        folder.mkdir()
        (folder / "web.json").write_bytes(orjson.dumps(SLEEPS))

        made = await ask(http, "create-container", template="web", instances=5)
        answers = made["containers"]
        assert {each["statusCode"] for each in answers} == {201}, answers
        assert {(each["Response"]["Body"]["Warnings"], len(each["Response"]["Body"]["Id"])) for each in answers} == {(None, 64)}
        assert sorted(Counter(each["dockerInstance"] for each in answers).values()) == [2, 3]
        ids = [each["Response"]["Body"]["Id"] for each in answers]
        assert {state(docker_hosts, id) for id in ids} == {"running"}

        listed = (await ask(other, "list-containers", all=True))["containers"]
        assert {each["statusCode"] for each in listed} == {200}
        assert set(ids) <= {one["Id"] for each in listed for one in each["Response"]["Body"]}
        one = await ask(other, "list-containers", dockerInstance=answers[0]["dockerInstance"])
        assert ids[0] in {each["Id"] for each in one["Response"]["Body"] if each["Labels"].get("tier") == TIER}
        images = (await ask(other, "list-images", all=True))["images"]
        assert all(IMAGE in (tag for each in host["Response"]["Body"] for tag in each["RepoTags"] or ()) for host in images)

        inspected = await ask(other, "inspect-container", id=ids[0][:12])
        assert (inspected["Response"]["Body"]["Id"], inspected["dockerInstance"]) == (ids[0], answers[0]["dockerInstance"])
        done = {"Response": "", "dockerInstance": answers[0]["dockerInstance"], "statusCode": 204}
        for action, after in (("stop", "exited"), ("start", "running"), ("restart", "running")):
            assert await ask(other, f"{action}-container", id=ids[0][:12]) == done
            assert state(docker_hosts, ids[0]) == after

        client = await nats.connect(cluster.nats.url)
        told = await client.request(f"corral.instance.{ids[0][:12]}.stop-container", b"", timeout=60)
        assert orjson.loads(told.data) == done
        assert state(docker_hosts, ids[0]) == "exited"
        told = await client.request("corral.herd", orjson.dumps({"action": "delete-container", "id": ids[0]}), timeout=60)
        assert orjson.loads(told.data) == done
        assert state(docker_hosts, ids[0]) is None, "what is deleted is gone from its engine"
        await client.close()
        assert (await ask(http, "stop-container", 404, id=ids[0]))["code"] == "Not Found"

        raw = {**SLEEPS, "HostConfig": {"NetworkMode": "nowhere"}}
        refused = await ask(http, "create-raw-container", body=raw)
        assert (refused["statusCode"], refused["Response"]["Body"]["message"]) == (404, "network nowhere not found")
        refused = await ask(http, "create-raw-container", body={**SLEEPS, "HostConfig": {"Memory": 1}}, instances=1)
        assert refused["containers"][0]["statusCode"] == 400
        assert "memory" in refused["containers"][0]["Response"]["Body"]["message"].lower()

        leaver = answers[1]["dockerInstance"]
        assert await ask(http, "unregister", dockerInstance=leaver) == {**done, "dockerInstance": leaver}
        assert state(docker_hosts, ids[1]) == "running", "what runs there is left running"
        await asyncio.sleep(6)  # heartbeats and pings of its agent don't bring it back
        more = (await ask(http, "create-container", template="web", instances=2))["containers"]
        assert leaver not in {each["dockerInstance"] for each in more}
        listed = (await ask(http, "list-containers", all=True))["containers"]
        assert [each["dockerInstance"] for each in listed] == [more[0]["dockerInstance"]]
        assert (await ask(http, "stop-container", id=ids[1][:12]))["statusCode"] == 204
        assert await ask(http, "register", dockerInstance=leaver) == {**done, "dockerInstance": leaver}
        back = (await ask(http, "create-container", template="web", instances=2))["containers"]
        assert leaver in {each["dockerInstance"] for each in back}

        history = [each["type"] for each in (await http.get("/v1/events?limit=1000")).json()["data"] if each["stream"] == "instance-1"]
        assert history[0] == "created", "the log knows all of it"
        for each in (*answers, *more, *back):
            id = each["Response"]["Body"]["Id"]
            if id != ids[0]:
                assert (await ask(http, "delete-container", id=id))["statusCode"] == 204
        client_hosts = [host.client() for host in docker_hosts.values()]
        left = [each for client in client_hosts for each in client.containers.list(all=True, filters={"label": f"tier={TIER}"})]
        for engine in client_hosts:
            engine.close()
        assert [each.labels[UUID_LABEL] for each in left] == []
