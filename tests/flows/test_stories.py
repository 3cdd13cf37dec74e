"""What Cattle's users rely on of instances, hosts and simulated agents, told over HTTP against the real server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.server import Server

SIMULATOR = "io.cattle.platform.agent.connection.simulator.AgentConnectionSimulator"
SECONDS = 20.0


class Told:
    """The API as a patient client reads it: what is under way is waited for."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def get(self, where: str, **params: Any) -> Any:
        return self._http.get(where, params=params or None).raise_for_status().json()

    def create(self, path: str, **fields: Any) -> Any:
        return self.rested(self._http.post(f"/v1/{path}", json=fields).raise_for_status().json())

    def change(self, resource: Any, **fields: Any) -> Any:
        return self._http.put(resource["links"]["self"], json=fields).raise_for_status().json()

    def act(self, resource: Any, action: str, **given: Any) -> Any:
        """Through the link that the resource offers."""
        response = self._http.post(self.again(resource)["actions"][action], json=given)
        assert response.status_code == 202, response.text
        return self.rested(response.json())

    def remove(self, resource: Any) -> Any:
        return self.rested(self._http.delete(resource["links"]["self"]).raise_for_status().json())

    def again(self, resource: Any) -> Any:
        return self.get(resource["links"]["self"])

    def follow(self, resource: Any, link: str) -> list[Any]:
        found: list[Any] = self.get(resource["links"][link])["data"]
        return found

    def rested(self, resource: Any) -> Any:
        deadline = time.monotonic() + SECONDS
        while resource["transitioning"] == "yes":
            assert time.monotonic() < deadline, resource
            time.sleep(0.01)
            resource = self.again(resource)
        return resource


@pytest.fixture(scope="module")
def told(shared_home: Path) -> Iterator[Told]:
    with Server(shared_home) as server, server.http() as http:
        yield Told(http)


@pytest.fixture(scope="module")
def host(told: Told) -> Any:
    """A simulated host that only those get who ask for it."""
    agent = told.create("agents", uri="sim://stories", uuid="stories", managedConfig=False)
    (host,) = told.follow(agent, "hosts")
    return host


def test_a_simulated_agent_brings_what_its_data_says(told: Told) -> None:
    shape = {SIMULATOR: {"hosts": 2, "storagePoolsPerHost": 2}}
    agent = told.create("agents", uri="sim://two", uuid="two", managedConfig=False, data=shape)
    assert agent["state"] == "active"
    account = told.get(agent["links"]["account"])
    assert (account["kind"], account["uuid"]) == ("agent", f"agentAccount{agent['id'].removeprefix('1a')}")
    (key,) = told.follow(account, "credentials")
    assert (key["kind"], key["state"], len(key["publicValue"]), len(key["secretValue"])) == ("agentApiKey", "active", 20, 40)
    hosts = told.follow(agent, "hosts")
    assert [(each["uuid"], each["kind"], each["name"], each["computeFree"]) for each in hosts] == [
        ("two-0", "sim", None, 1_000_000), ("two-1", "sim", None, 1_000_000),
    ]  # fmt: skip
    assert {told.get(each["links"]["physicalHost"])["uuid"] for each in hosts} == {"two-physical-host"}
    assert [each["uuid"] for each in told.follow(hosts[1], "storagePools")] == ["two-1-0", "two-1-1"]
    (external,) = [each for each in told.get("/v1/storagepools")["data"] if each["uuid"] == "sim-ext-pool"]
    assert (external["external"], external["kind"], external["state"]) == (True, "sim", "active")
    for each in hosts:
        told.act(each, "deactivate")  # nobody else's instances land on them


def test_what_cannot_be_started_when_it_is_created_is_removed_and_says_why(told: Told) -> None:
    failed = told.create("containers", imageUuid="sim:x", data={"compute.instance.activate::fail": True})
    assert (failed["state"], failed["transitioning"]) == ("removed", "error")
    assert failed["transitioningMessage"] == "Failing [compute.instance.activate]"
    assert failed["removeTimeTS"] - failed["removedTS"] == 60_000
    assert set(failed["actions"]) == {"purge", "restore"}


def test_a_later_start_that_fails_ends_stopped_until_one_succeeds(told: Told) -> None:
    running = told.create("containers", imageUuid="sim:x")
    stopped = told.act(running, "stop")
    told.change(stopped, data={"compute.instance.activate::fail": True})
    failed = told.act(stopped, "start")
    assert (failed["state"], failed["transitioning"]) == ("stopped", "error")
    assert failed["transitioningMessage"] == "Failing [compute.instance.activate]"
    told.change(stopped, data={"compute.instance.activate::fail": None, "other": 1})
    removed = told.remove(failed)
    assert (removed["state"], removed["transitioning"], removed["transitioningMessage"]) == ("removed", "no", None)


def test_what_a_host_has_free_goes_down_and_up_again(told: Told, host: Any) -> None:
    def free() -> int:
        value: int = told.again(host)["computeFree"]
        return value

    before = free()
    running = told.create("containers", imageUuid="sim:x", compute=5, requestedHostId=host["id"])
    assert running["state"] == "running"
    assert [each["id"] for each in told.follow(running, "hosts")] == [host["id"]]
    assert free() == before - 5

    kept = told.act(running, "stop")
    assert (kept["allocationState"], free()) == ("active", before - 5)
    assert [each["state"] for each in told.follow(kept, "instanceHostMaps")] == ["inactive"]

    told.act(kept, "start")
    left = told.act(kept, "stop", deallocateFromHost=True)
    assert (left["allocationState"], free(), told.follow(left, "hosts")) == ("inactive", before, [])
    assert [each["state"] for each in told.follow(left, "volumes")] == ["inactive"]

    told.act(left, "start")
    assert free() == before - 5
    removed = told.remove(left)
    assert (removed["state"], free()) == ("removed", before - 5)
    restored = told.act(removed, "restore")
    assert (restored["state"], restored["removed"], restored["removeTime"]) == ("stopped", None, None)
    told.remove(restored)
    purged = told.act(restored, "purge")
    assert (purged["state"], purged["allocationState"], purged["actions"], free()) == ("purged", "inactive", {}, before)


@pytest.mark.parametrize("compute", [0, -5])
def test_an_instance_may_take_nothing_of_a_host(told: Told, host: Any, compute: int) -> None:
    before = told.again(host)["computeFree"]
    running = told.create("containers", imageUuid="sim:x", compute=compute, requestedHostId=host["id"])
    assert running["state"] == "running"
    assert told.again(host)["computeFree"] == before
    told.act(running, "stop", remove=True)


def test_a_full_host_and_an_inactive_one_take_nobody(told: Told, host: Any) -> None:
    before = told.again(host)["computeFree"]
    assert told.change(host, computeFree=0)["computeFree"] == 0
    refused = told.create("containers", imageUuid="sim:x", requestedHostId=host["id"])
    assert (refused["state"], refused["transitioning"], refused["allocationState"]) == ("removed", "error", "inactive")
    assert refused["transitioningMessage"].startswith("Failed to find a placement")
    assert told.change(host, computeFree=before)["computeFree"] == before

    told.change(host, computeFree=2**63 - 1)
    assert told.create("containers", imageUuid="sim:x", requestedHostId=host["id"])["state"] == "running", "no number is too big for a host"
    assert told.change(host, computeFree=before)["computeFree"] == before

    told.act(host, "deactivate")
    refused = told.create("containers", imageUuid="sim:x", validHostIds=[host["id"]])
    assert (refused["state"], refused["transitioning"]) == ("removed", "error")
    told.act(host, "activate")
    assert told.create("containers", imageUuid="sim:x", validHostIds=[host["id"]])["state"] == "running"


def test_keys_are_generated_or_kept_as_given(told: Told) -> None:
    account = told.create("accounts", name="user", kind="user")
    keys = {each["type"]: each for each in told.follow(account, "credentials")}
    assert set(keys) == {"apiKey", "registrationToken"}
    assert "publicValue" not in keys["registrationToken"]
    made = told.create("apikeys", accountId=account["id"])
    assert made["publicValue"] == made["publicValue"].upper()
    assert (len(made["publicValue"]), len(made["secretValue"])) == (20, 40)
    assert not set(made["secretValue"]) & set("O0lI+/=")
    given = told.create("apikeys", publicValue="p", secretValue="s")
    assert (given["publicValue"], given["secretValue"], given["kind"]) == ("p", "s", "apiKey")
