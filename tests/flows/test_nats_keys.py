"""Where NATS asks for keys: agents have their own, what is taken back is out within seconds, and nothing of it lies in NATS."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import nats
import pytest
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error

from agents.crowd.crowd import Crowd, CrowdOptions
from agents.joining.access import own_seed, public
from agents.joining.credentials import Credentials
from agents.process.connection import disconnect
from agents.run import AgentOptions, run_agent
from commands.secrets.sealing import MasterKeys
from deploy.embedded import EmbeddedNats, hold, noted
from deploy.nats import WATCHER, access_config, keys_of
from tests.deploy.test_cli import Cli
from tests.support.certificates import self_signed
from tests.support.server import Server
from tests.support.waiting import comes, until

SECURE = "api.security.enabled=true"


def admin(home: Path) -> Credentials:
    key = json.loads((home / "admin.key").read_bytes())
    return Credentials(key["access"], key["secret"])


def api(server: Server, url: str = "", **given: Any) -> httpx.Client:
    key = admin(server.home)
    return httpx.Client(base_url=url or server.url, auth=(key.access_key, key.secret_key), timeout=20, **given)


@asynccontextmanager
async def at_work(options: AgentOptions) -> AsyncIterator[list[str]]:
    """An agent, in this process. -> what it says"""
    said: list[str] = []
    task = asyncio.create_task(run_agent(options, said.append))
    try:
        yield said
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=20)


async def seen(look: Any, right: Any) -> Any:
    return await asyncio.to_thread(until, look, right)


def agent_state(http: httpx.Client, uuid: str) -> str:
    found = http.get("/v1/agents", params={"uuid": uuid}).json()["data"]
    return str(found[0]["state"]) if found else ""


async def let_in(url: str, seed: str | None) -> bool:
    client = Client()

    async def quiet(error: Exception) -> None: ...

    try:
        await client.connect(url, nkeys_seed_str=seed, allow_reconnect=False, connect_timeout=5, error_cb=quiet)
        return client.is_connected
    except Error:
        return False
    finally:
        await disconnect(client)


async def until_let_in(url: str, seed: str, wanted: bool) -> None:
    """An engine decides by the log as far as it has read it: a moment after an answer it has."""
    await comes(lambda: let_in(url, seed), lambda inside: inside is wanted, 30)


def act(http: httpx.Client, path: str, action: str) -> None:
    assert http.post(f"/v1/{path}", params={"action": action}).status_code == 202


@pytest.mark.timeout(300)
async def test_an_agent_works_with_its_key_until_it_is_taken_back_and_again_once_it_is_given_back(home: Path, tmp_path: Path) -> None:
    with Server(home, hosts="none", set=SECURE) as server, api(server) as http:
        options = AgentOptions(server.url, tmp_path / "agent", sim=True, name="paper", uuid="paper", credentials=admin(home))
        nats_url = str(noted(home)["nats"])
        async with at_work(options):
            await seen(lambda: agent_state(http, "paper"), lambda state: state == "active")
            seed = own_seed(tmp_path / "agent")
            [agent] = http.get("/v1/agents").json()["data"]
            assert agent["data"]["natsKey"] == public(seed)
            made = http.post("/v1/containers", json={"imageUuid": "sim:hello"}).json()
            await seen(lambda: http.get(made["links"]["self"]).json()["state"], lambda state: state == "running")
            assert not await let_in(nats_url, None)
            assert await let_in(nats_url, seed)

            [key] = http.get("/v1/credentials", params={"accountId": agent["accountId"], "kind": "agentApiKey"}).json()["data"]
            act(http, f"credentials/{key['id']}", "deactivate")
            await seen(lambda: agent_state(http, "paper"), lambda state: state in ("reconnecting", "disconnected"))
            await until_let_in(nats_url, seed, False)
            os.kill(server.embedded("nats-server"), signal.SIGKILL)  # it starts again by itself, and knows nothing
            await seen(lambda: http.get("/readyz").json()["ready"], bool)
            assert not await let_in(nats_url, seed)

            act(http, f"credentials/{key['id']}", "activate")
            await seen(lambda: agent_state(http, "paper"), lambda state: state == "active")

            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start, port=str(httpx.URL(options.url).port))
            await seen(lambda: agent_state(http, "paper"), lambda state: state == "active")
            act(http, f"agents/{agent['id']}", "deactivate")
            await seen(lambda: agent_state(http, "paper"), lambda state: state == "inactive")
            await until_let_in(nats_url, seed, False)


@pytest.mark.timeout(200)
async def test_a_key_that_is_replaced_is_out_and_nobody_takes_anothers(home: Path, tmp_path: Path) -> None:
    with Server(home, hosts="sim", set=SECURE) as server, api(server) as http:
        nats_url = str(noted(home)["nats"])
        made = http.post("/v1/agents", json={"uri": "event://bash", "managedConfig": False}).json()
        before, after, other = (own_seed(tmp_path / name) for name in ("before", "after", "other"))
        told: dict[str, Any] = {}
        for seed in (before, after):
            told = http.post("/corral/nats/keys", json={"key": public(seed), "agentId": made["id"]}).json()
            number = told["of"].removeprefix("agent-")
            assert told["hears"] == [f"corral.agent.a{number}.>"]
            await until_let_in(nats_url, seed, True)
        await until_let_in(nats_url, before, False)
        refused = http.post("/corral/nats/keys", json={"key": public(after)})
        assert refused.status_code == 409, "it is the agent's"
        assert told["of"] in refused.json()["message"]
        assert http.post("/corral/nats/keys", json={"key": None, "agentId": made["id"]}).status_code == 200
        await until_let_in(nats_url, after, False)

        # An agent's account gives its own agent a key, and no other.
        [key] = http.get("/v1/credentials", params={"accountId": _account(http, made), "kind": "agentApiKey"}).json()["data"]
        mine = (key["publicValue"], key["secretValue"])
        assert http.post("/corral/nats/keys", json={"key": public(other)}, auth=mine).json()["of"] == told["of"]
        foreign = http.post("/corral/nats/keys", json={"key": public(before), "agentId": "1a1"}, auth=mine)
        assert (foreign.status_code, foreign.json()["code"]) == (422, "InvalidReference")
        assert http.post("/corral/nats/keys", json={"key": public(before)}, auth=("x", "y")).status_code == 401
        for wrong in ({}, {"key": "U"}, {"key": 7}, {"key": public(before), "externalHandlerId": "1eh9"}):
            assert http.post("/corral/nats/keys", json=wrong).status_code == 422, wrong
        http.post(f"/v1/agents/{made['id']}", params={"action": "deactivate"})
        until(lambda: http.get(made["links"]["self"]).json()["state"], lambda state: state == "inactive")
        assert http.delete(made["links"]["self"]).status_code in (200, 202)
        until(lambda: http.get(made["links"]["self"]).json()["removed"], bool)
        gone = http.post("/corral/nats/keys", json={"key": public(before), "agentId": made["id"]})
        assert (gone.status_code, "is removed" in gone.json()["message"]) == (422, True), gone.text


def _account(http: httpx.Client, agent: dict[str, Any]) -> str:
    found: str = until(lambda: http.get(agent["links"]["self"]).json()["accountId"], bool)
    until(lambda: http.get("/v1/credentials", params={"accountId": found, "state": "active"}).json()["data"], bool)
    return found


@pytest.mark.timeout(200)
async def test_handlers_and_people_have_keys_of_their_own(home: Path, tmp_path: Path) -> None:
    with Server(home, hosts="sim", set=SECURE) as server, api(server) as http:
        nats_url = str(noted(home)["nats"])
        key = admin(home)
        corral = Cli(home, {"CORRAL_ACCESS_KEY": key.access_key, "CORRAL_SECRET_KEY": key.secret_key})
        http.post("/v1/externalhandlers", json={"name": "demo", "processNames": ["pre.instance.start"]})
        until(lambda: http.get("/v1/externalhandlers", params={"state": "active"}).json()["data"], bool)
        told = corral.json("nats-key", "--handler", "demo", "--home", str(tmp_path / "demo"))
        assert told["says"] == ["corral.reply.*.handler-demo.>"]
        client = await nats.connect(nats_url, nkeys_seed=told["seed"])
        watcher = await nats.connect(nats_url, nkeys_seed=str(home / WATCHER))
        try:
            subjects: list[str] = []

            async def answer(message: Msg) -> None:
                await message.respond(b'{"data": {"+data": {"hello": "world"}}}')

            async def note(message: Msg) -> None:
                subjects.append(message.subject)

            await client.subscribe("corral.handler.demo.>", cb=answer)
            await watcher.subscribe("corral.>", cb=note)
            await client.flush()
            await watcher.flush()
            made = http.post("/v1/containers", json={"imageUuid": "sim:hello"}).json()
            shown = await seen(lambda: http.get(made["links"]["self"]).json(), lambda each: each["state"] == "running")
            assert shown["data"]["hello"] == "world"
            assert {each.split(".")[1] for each in subjects} >= {"agent", "reply", "handler", "event"}
            [handler] = http.get("/v1/externalhandlers").json()["data"]
            act(http, f"externalhandlers/{handler['id']}", "deactivate")
            await until_let_in(nats_url, Path(told["seed"]).read_text().strip(), False)
        finally:
            await disconnect(client)
            await disconnect(watcher)

        assert corral.json("watch", "-n", "1", "-o", "json")["subject"].startswith("corral.")
        assert corral.json("env")["NATS_NKEY"] == str(home / WATCHER)
        mine = corral.json("nats-key", "--home", str(tmp_path / "mine"))
        await until_let_in(nats_url, Path(mine["seed"]).read_text().strip(), True)
        assert corral.json("nats-key", "--home", str(tmp_path / "mine"), "--revoke")["key"] is None
        await until_let_in(nats_url, Path(mine["seed"]).read_text().strip(), False)


@pytest.mark.timeout(200)
async def test_over_tls_an_agent_believes_what_the_server_says_or_what_it_is_given(home: Path, tmp_path: Path) -> None:
    cert, private = self_signed(tmp_path)
    (tmp_path / "other").mkdir()
    other, _ = self_signed(tmp_path / "other")
    with Server(home, hosts="sim", set=SECURE, nats_tls_certificate=str(cert), nats_tls_key=str(private)) as server, api(server) as http:
        assert str(noted(home)["nats"]).startswith("tls://127.0.0.1:")
        assert http.get("/corral/info").json()["natsCa"] == cert.read_text()
        options = AgentOptions(server.url, tmp_path / "agent", sim=True, name="paper", uuid="paper", credentials=admin(home))
        async with at_work(options):
            await seen(lambda: agent_state(http, "paper"), lambda state: state == "active")

        wrong = AgentOptions(
            server.url, tmp_path / "wrong", sim=True, uuid="wrong", credentials=admin(home), nats_ca=other.read_text()
        )  # fmt: skip
        with structlog.testing.capture_logs() as logs:
            async with at_work(wrong) as said:
                await seen(lambda: [each["event"] for each in logs if each.get("action") == "nats-away"], bool)
                assert not any(each.startswith("It hears") for each in said)
        told = next(each["event"] for each in logs if each.get("action") == "nats-away")
        assert "NATS' certificate is not believed" in told
        assert "--nats-ca" in told
        assert Cli(home).json("watch", "-n", "1", "-o", "json")["subject"].startswith("corral.")


@pytest.mark.timeout(300)
async def test_several_servers_share_a_nats_that_was_set_up_with_what_corral_prints(tmp_path: Path, database: str) -> None:
    config = await asyncio.to_thread(lambda: Cli(tmp_path / "cli").ended("nats-config", "--postgres", database).stdout)
    assert config.endswith(access_config(await keys_of(database, MasterKeys())))
    with hold(tmp_path / "nats-home") as held:
        async with EmbeddedNats(held, preferred=0, access=config) as server:
            shared: dict[str, Any] = {"postgres": database, "nats": server.url, "nats_keys": "true", "hosts": "none", "set": SECURE}
            gateway = Server(tmp_path / "gateway", **{**shared, "roles": "gateway,projector"})
            engines = [Server(tmp_path / f"engine{each}", **{**shared, "roles": "engine"}) for each in (1, 2)]
            locals_ = Server(tmp_path / "agents", **{**shared, "roles": "agents", "hosts": "sim"})
            servers = [*engines, gateway, locals_]
            for each in servers:
                each.launch()
            try:
                for each in servers:
                    await asyncio.to_thread(each.serving)
                await asyncio.to_thread(gateway.restart)  # its admin has a key by now, which it keeps in its home
                with api(gateway) as http:
                    options = AgentOptions(gateway.url, tmp_path / "agent", sim=True, uuid="paper", credentials=admin(gateway.home))
                    async with at_work(options):
                        await seen(lambda: agent_state(http, "paper"), lambda state: state == "active")
                        await asyncio.to_thread(engines[0].kill)
                        await server.stop()
                        await server.start()
                        await seen(lambda: agent_state(http, "paper"), lambda state: state == "active")
                        [agent] = http.get("/v1/agents", params={"uuid": "paper"}).json()["data"]
                        seed = own_seed(tmp_path / "agent")
                        await until_let_in(server.url, seed, True)
                        act(http, f"agents/{agent['id']}", "deactivate")
                        await until_let_in(server.url, seed, False)
            finally:
                for each in servers:
                    if each.alive:
                        each.kill()


@pytest.mark.timeout(200)
async def test_simulated_hosts_have_a_key_each(home: Path, tmp_path: Path) -> None:
    with Server(home, hosts="none", set=SECURE) as server, api(server) as http:
        crowd = Crowd(CrowdOptions(server.url, tmp_path / "crowd", 3, credentials=admin(home)))
        task = asyncio.create_task(crowd.run())
        try:
            await seen(lambda: [agent_state(http, crowd.uuid(each)) for each in range(3)], lambda states: states == ["active"] * 3)
            keys = {each["data"]["natsKey"] for each in http.get("/v1/agents", params={"kind": "sim"}).json()["data"]}
            assert len(keys) == 3
        finally:
            task.cancel()
            await asyncio.wait({task}, timeout=20)
